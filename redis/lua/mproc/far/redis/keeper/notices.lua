-- SPDX-License-Identifier: MIT
-- What the owner tells its keeper beside tasks, by the function channel: what functions are called, and which jobs it
-- would like to call off. Used by mproc.far.redis.keeper alone.

local core = require("mproc.core")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local protocol = lazy.load("mproc.pool.protocol")

local Notices = {}
Notices.__index = Notices

local FUNCTION_SECONDS = 60 -- how long a function is waited for that was sent before its task

local function new(slot)
  return setmetatable({
    inherited = slot.inherited, known = {}, inbox = protocol.inbox(slot.channel), asked = {},
  }, Notices)
end

-- Takes one notice. False when none has come in time.
local function take(self, generation, number, _, notice, _, _, _, _, ok, value)
  if not generation then
    return false
  elseif notice == protocol.FUNCTION and ok then
    self.known[number] = value
  elseif notice == protocol.FORGET then
    self.known[number], self.inherited[number] = nil, nil
  elseif notice == protocol.CANCEL then
    self.asked[#self.asked + 1] = number
  end
  protocol.done(self.inbox, generation)
  return true
end

-- Takes what is there.
function Notices:read()
  local more
  repeat
    more = take(self, protocol.receive(self.inbox, 0))
  until not more
end

-- The cancel flags that were asked about since the last call.
function Notices:take_asked()
  local asked = self.asked
  if asked[1] then
    self.asked = {}
  end
  return asked
end

-- { name =, timeout = } of a function by its number.
function Notices:function_of(number)
  local inherited = self.inherited[number]
  if inherited and not self.known[number] then
    self.known[number] = core.unpack(inherited)
  end
  local deadline = core.time() + FUNCTION_SECONDS
  while not self.known[number] do
    if not take(self, protocol.receive(self.inbox, deadline - core.time())) then
      error(("function %d was never told"):format(number), 0)
    end
  end
  return self.known[number]
end

return { new = new }
