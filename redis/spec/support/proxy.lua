-- SPDX-License-Identifier: MIT
-- A proxy between worker programs and a server, a process of its own: delays, cuts connections in the middle of a
-- reply, swallows everything. Used by the specs of mproc-redis.
--
--   local p = proxy.start(port)    p.port    p:delay(seconds)  p:cut(bytes)  p:swallow(true)  p:stop()

local mproc = require("mproc")
local server = require("redis.spec.support.server")
local socket = require("socket")

local Proxy = {}
Proxy.__index = Proxy

local proxy = {}

local NAP = 0.002

-- One direction of a connection: what comes from `from` goes to `to` when its time has come. False when it is to end.
local function carry(way, settings)
  local bytes, message, partly = way.from:receive(65536)
  bytes = bytes or partly or ""
  if settings.swallow then
    bytes = ""
  end
  if bytes ~= "" then
    way.queue[#way.queue + 1] = { at = mproc.time() + settings.delay, bytes = bytes }
  end
  while way.queue[1] and way.queue[1].at <= mproc.time() do
    local piece = way.queue[1]
    if settings.cut and way.back then
      way.to:send(piece.bytes:sub(1, settings.cut))
      settings.cut = nil
      return false
    end
    local sent, why, upto = way.to:send(piece.bytes)
    if not sent and why ~= "timeout" then
      return false
    end
    piece.bytes = piece.bytes:sub((sent or upto) + 1)
    if piece.bytes ~= "" then
      break
    end
    table.remove(way.queue, 1)
  end
  return message ~= "closed"
end

local function accept(listener, port, ways)
  local client = listener:accept()
  if client then
    local upstream = socket.tcp()
    assert(upstream:connect("127.0.0.1", port))
    client:settimeout(0)
    upstream:settimeout(0)
    ways[#ways + 1] = { { from = client, to = upstream, queue = {} },
      { from = upstream, to = client, queue = {}, back = true } }
  end
end

-- Settings come through a queue of mproc.
local function main(listen_on, port, orders)
  local listener = assert(socket.bind("127.0.0.1", listen_on))
  listener:settimeout(0)
  local ways, settings = {}, { delay = 0 }
  while true do
    local order = orders:get(NAP)
    for name, value in pairs(order or {}) do
      settings[name] = value
    end
    accept(listener, port, ways)
    for i = #ways, 1, -1 do
      local out, back = carry(ways[i][1], settings), carry(ways[i][2], settings)
      if not (out and back) then
        ways[i][1].from:close()
        ways[i][1].to:close()
        table.remove(ways, i)
      end
    end
  end
end

function proxy.start(port)
  local self = setmetatable({ port = server.free_port(), orders = mproc.Queue() }, Proxy)
  self.process = mproc.Process({ target = main, args = { self.port, port, self.orders }, daemon = true }):start()
  local deadline = mproc.time() + 10
  repeat
    local s = socket.connect("127.0.0.1", self.port)
    if s then
      s:close()
    end
  until s or mproc.time() > deadline
  self.url = ("redis://127.0.0.1:%d/0?queue=spec"):format(self.port)
  return self
end

-- Each way.
function Proxy:delay(seconds)
  self.orders:put({ delay = seconds })
end

-- The next reply ends after so many bytes, and its connection with it.
function Proxy:cut(bytes)
  self.orders:put({ cut = bytes })
end

function Proxy:swallow(on)
  self.orders:put({ swallow = on })
end

function Proxy:stop()
  self.process:kill()
  self.process:join()
  self.process:close()
end

return proxy
