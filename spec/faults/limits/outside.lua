-- SPDX-License-Identifier: MIT
-- Every parameter that is a number, of descriptors, sockets and managers. As calls.lua, which says how.

local mproc = require("mproc")
local part_of = require("spec.faults.limits.part")

local calls = {}

local SECONDS = 20
local SHORT = 0.2 -- what others need to answer is less

-- A pair of connections, made once.
local pair
local function sockets()
  if not pair then
    local listener <close> = assert(mproc.Listener({ authkey = false }))
    local a = assert(mproc.Client({ address = listener.address, authkey = false }))
    pair = { a, assert(listener:accept(SECONDS)) }
  end
  return table.unpack(pair)
end

local function empty(c)
  while c:poll(0) do c:recv_bytes() end
end

-- A time that is over before anything could come gives the word alone.
local function in_time(v, ok, word, wanted)
  return ok and true or word == (wanted or "timeout") and v < SHORT
end

calls["Listener:accept"] = { words = { "timeout" }, call = function(v)
  local listener <close> = assert(mproc.Listener({ authkey = false }))
  local c <close> = assert(mproc.Client({ address = listener.address, authkey = false }))
  local d, word, code = listener:accept(v)
  if d then d:close() end
  if code then return nil, word, code end
  return in_time(v, d and c, word)
end }
calls["Listener{ backlog = }"] = { words = { "backlog" }, call = function(v)
  local listener, message, code = mproc.Listener({ backlog = v, authkey = false })
  if not listener then return nil, message, code end
  listener:close()
  return true
end }
for _, options in ipairs({ "Listener", "Client" }) do
  calls[options .. "{ max_bytes = }"] = { words = { "max_bytes" }, call = function(v)
    local listener <close> = assert(mproc.Listener({ max_bytes = options == "Listener" and v or nil, authkey = false }))
    local c <close> = assert(mproc.Client({ address = listener.address, authkey = false,
      max_bytes = options == "Client" and v or nil }))
    local d <close> = assert(listener:accept(SECONDS))
    local from, to = c, d
    if options == "Client" then from, to = d, c end
    from:send_bytes("abc")
    local s, _, code = to:recv_bytes(nil, SECONDS)
    return v >= 3 and s == "abc" or v < 3 and code == "EMSGSIZE"
  end }
end
calls["Client{ timeout = }"] = { words = { "timeout" }, call = function(v)
  local listener <close> = assert(mproc.Listener({ authkey = false }))
  local c, message, code = mproc.Client({ address = listener.address, authkey = false, timeout = v })
  if not c then return nil, message, code end
  c:close()
  return true
end }
calls["SocketConnection:send"] = { words = { "timeout" }, call = function(v)
  local a, b = sockets()
  empty(b)
  local ok, word = a:send(1, v)
  return in_time(v, ok, word)
end }
calls["SocketConnection:recv"] = { words = { "timeout" }, call = function(v)
  local a, b = sockets()
  empty(b)
  a:send("x")
  local value, word = b:recv(v)
  return in_time(v, value, word)
end }
calls["SocketConnection:poll"] = { words = { "timeout" }, call = function(v)
  local a, b = sockets()
  empty(b)
  a:send("x")
  local ok, word = b:poll(v)
  return in_time(v, ok, word)
end }
for i, name in ipairs({ "i", "j" }) do
  calls["SocketConnection:send_bytes, " .. name] = { words = { "i must", "j must", "whole number" }, call = function(v)
    local a, b = sockets()
    empty(b)
    local from, to = i == 1 and v or 1, i == 2 and v or -1
    a:send_bytes("\1\2\3", from, to, SECONDS)
    return b:recv_bytes(nil, SECONDS) == part_of("\1\2\3", from, to)
  end }
end
calls["SocketConnection:send_bytes, the time"] = { words = { "timeout" }, call = function(v)
  local a, b = sockets()
  empty(b)
  local ok, word = a:send_bytes("abc", 1, -1, v)
  return in_time(v, ok, word)
end }
calls["SocketConnection:recv_bytes, the length"] = { words = { "maxlength", "longer" }, call = function(v)
  local a, b = sockets()
  empty(b)
  a:send_bytes("abc")
  return b:recv_bytes(v, SECONDS) == "abc"
end }
calls["SocketConnection:recv_bytes, the time"] = { words = { "timeout" }, call = function(v)
  local a, b = sockets()
  empty(b)
  a:send_bytes("abc")
  local s, word = b:recv_bytes(nil, v)
  return in_time(v, s, word)
end }

calls["fd"] = { words = { "fd" }, call = function(v)
  local d, message, code = mproc.fd(v)
  if not d then return nil, message, code end
  d:close()
  return v >= 0 and v < 100
end }

local manager
local function managed()
  manager = manager or assert(mproc.Manager({
    constructors = { C = function() return { give = function(_, ...) return ... end } end }, address = "@mproc-limits",
  }))
  return manager
end

local proxies = {}
for name, connect in pairs({ Proxy = managed, ["Proxy beyond a socket"] = function()
  return assert(mproc.connect(managed().address))
end }) do
  local function proxy()
    proxies[name] = proxies[name] or { connect() }
    proxies[name][2] = proxies[name][2] or proxies[name][1]:create("C")
    return proxies[name][2]
  end
  calls[name .. ":call, the time"] = { words = { "timeout" }, call = function(v)
    local value, word = proxy():call("give", { 5 }, v)
    return in_time(v, value == 5, word)
  end }
  calls[name .. ":call, args.n"] = { words = { "args.n" }, call = function(v)
    local got = table.pack(proxy():call("give", { n = v, 1 }))
    return got.n == v or got.n == 2 and got[2] ~= nil
  end }
  calls[name .. ", an argument"] = { words = { "nothing" }, call = function(v)
    local got = proxy():give(v)
    return got == v or got ~= got and v ~= v
  end }
end
calls["connect{ timeout = }"] = { words = { "timeout" }, call = function(v)
  local m, message, code = mproc.connect(managed().address, { timeout = v })
  if not m then return nil, message, code end
  m:close()
  return true
end }
calls["Manager{ max_bytes = }"] = { words = { "max_bytes" }, call = function(v)
  local m <close> = assert(mproc.Manager({ constructors = {}, address = "@mproc-limits-2", max_bytes = v }))
  return m ~= nil
end }

return calls
