-- SPDX-License-Identifier: MIT
-- A caller's side of a manager beyond a socket: what link.lua is within a tree, over a connection. Used by init.lua.
--
-- A link belongs to the process that connected, and its proxies to the link: what they keep there goes with the
-- connection. Nothing of a reply is believed: it is decoded without functions and handles, and what has not the shape
-- of one is left out. link.calls and link.arrived are as in link.lua.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local manager_errors = require("mproc.manager.errors")
local protocol = require("mproc.manager.protocol")
local socket = require("mproc.socket")

local remote = {}

local GREETING_SECONDS = 10
local DROPPED_MOST = 1000 -- that one message names
local OPTIONS = { "authkey", "timeout", "max_bytes", "allow_md5" }
local NUMBERS = 1 << 53

local Link = { __close = protocol.end_innermost_call }
Link.__index = Link

local function under_way(link)
  local seq, depth = (link.seq + 1) % NUMBERS, link.depth + 1
  link.seq = seq
  link.calls[depth] = seq
  link.depth = depth
  return link, seq
end

-- The connection is over. why: a text, or nil.
local function die(link, why)
  link.dead, link.why = true, link.why or why
  link.connection:close()
end

-- --- requests ---

local function left_until(deadline)
  return deadline and math.max(deadline - core.time(), 0)
end

local function is_reply(value)
  return type(value) == "table" and math.type(value[1]) == "integer"
end

local function keep(link, reply)
  for i = 1, link.depth do
    if link.calls[i] == reply[1] then
      link.arrived[reply[1]] = reply
    end
  end
end

-- Takes what is there. False once the connection has ended.
local function take_in(link)
  while true do
    local value, word = link.connection:recv(0)
    if is_reply(value) then
      keep(link, value)
    elseif value == nil and word == "timeout" then
      return true
    elseif value == nil and word ~= nil then
      return false
    end
  end
end

-- Its bytes. A value that cannot go is the caller's mistake; what a hook raised is raised as it is.
local function pack(args)
  local bytes, reason, refused = protocol.pack_abroad("args", args)
  return bytes or errors.raise_unsendable(reason, refused)
end

-- True; nil, "timeout"; nil, "died". The request is plain data.
local function transmit(link, request, deadline)
  local ok, sent, word = pcall(link.connection.send, link.connection, request, left_until(deadline))
  if ok and sent then
    return true
  elseif ok and word == "timeout" then
    return nil, "timeout"
  elseif ok or not take_in(link) then
    die(link, ok and word or nil)
    return nil, "died"
  end
  return error(sent, 0) -- Ctrl-C, or there was no memory for it
end

-- Tells of proxies that are gone, without waiting.
local function tell_dropped(link)
  local list = link.dropped
  while #list > 0 and not link.dead do
    local some = table.move(list, 1, math.min(#list, DROPPED_MOST), 1, {})
    if not transmit(link, { 0, "drop", some }, core.time()) then
      return
    end
    for _ = 1, #some do
      list[#list] = nil
    end
  end
end

-- For finalizers, too: never waits.
function Link:drop(id)
  if self.caller ~= core.self() or self.dead then
    return
  end
  self.dropped[#self.dropped + 1] = id
  if self.depth == 0 then
    pcall(tell_dropped, self)
  end
end

-- --- replies ---

-- The reply; nil, "timeout"; nil, "died".
local function await(link, seq, deadline)
  while true do
    local reply = link.arrived[seq]
    if reply then
      return reply
    end
    local value, word, code = link.connection:recv(left_until(deadline))
    if is_reply(value) then
      keep(link, value)
    elseif value == nil and word == "timeout" then
      return nil, "timeout"
    elseif value == nil and word ~= nil and code ~= "EBADMSG" then
      die(link, code and word)
      return nil, "died"
    end
  end
end

local function read(link, bytes)
  local list, n = protocol.read_list(bytes, check.ARGUMENTS_MAX)
  if not list then
    die(link, "it has sent no results that are any")
    manager_errors.raise_died(link)
  end
  return list, n
end

local function unpack_results(list, n)
  return table.unpack(list, 1, n)
end

local function conclude(link, what, reply, why)
  if not reply then
    if why == "died" then
      manager_errors.raise_died(link, what)
    end
    return nil, why
  end
  local word, value = reply[2], reply[3]
  if word == "returned" then
    return unpack_results(read(link, value))
  elseif word == "object" then
    return value
  elseif word == "refused" then
    errors.raise("%s", tostring(value))
  end
  error(read(link, value)[1], 0)
end

-- --- calls ---

local function exchange(link, deadline, what, ...)
  if link.dead then
    manager_errors.raise_died(link)
  end
  local _ <close>, seq = under_way(link)
  tell_dropped(link)
  local sent, why = transmit(link, { seq, ... }, deadline)
  if not sent then
    return conclude(link, what, nil, why)
  end
  return conclude(link, what, await(link, seq, deadline))
end

-- As of link.lua.
function Link:call(id, name, deadline, ...)
  return exchange(self, deadline, name, "call", id, name, pack(table.pack(...)))
end

function Link:create(name, ...)
  return exchange(self, nil, "it", "create", 0, name, pack(table.pack(...)))
end

function Link:get(name)
  return exchange(self, nil, "it", "get", 0, name)
end

function Link:close()
  if not self.dead and self.caller == core.self() then
    self.ended = true
    die(self, "it was closed here")
  end
end

-- --- making ---

local function check_options(address, given)
  if type(address) ~= "string" then
    errors.raise("connect takes an address, as in mproc.connect(\"localhost:6000\", { authkey = \"secret\" }), got %s",
      errors.show(address))
  elseif given ~= nil and type(given) ~= "table" then
    errors.raise("connect's options must be a table, as in { authkey = \"secret\" }, got %s", errors.show(given))
  end
  local options = { address = address }
  for name, value in next, check.options(given or {}, "connect has", OPTIONS) do
    options[name] = value
  end
  return options
end

local function greet(link, deadline)
  local _ <close>, seq = under_way(link)
  local reply, why = transmit(link, { seq, "hello" }, deadline)
  if reply then
    reply, why = await(link, seq, deadline)
  end
  if reply and type(reply[3]) == "string" then
    link.name = reply[3]
    return true
  end
  link.connection:close()
  if why == "timeout" then
    return nil, ("%s: no manager has answered in time"):format(link.address), "ETIMEDOUT"
  end
  return nil, ("%s: there is no manager"):format(link.address), "EPROTO"
end

-- A link, or nil, message, NAME.
function remote.connect(address, given)
  local options = check_options(address, given)
  local timeout = check.timeout(options.timeout)
  local deadline = core.time() + (timeout or GREETING_SECONDS)
  local connection, message, name = socket.Client(options)
  if not connection then
    return nil, message, name
  end
  local link = setmetatable({ connection = connection, address = address, name = "?", caller = core.self(), seq = 0,
    calls = {}, depth = 0, arrived = {}, dropped = {}, dead = false, ended = false, why = nil, number = 1 }, Link)
  local ok
  ok, message, name = greet(link, deadline)
  if not ok then
    return nil, message, name
  end
  return link
end

return remote
