-- SPDX-License-Identifier: MIT
-- A worker of a pool without the pool: a child that runs pool.worker.main(slot), and what its owner does by hand.

local core = require("mproc.core")
local mproc = require("mproc")
local protocol = require("mproc.pool.protocol")

local worker_slot = {}

local SECONDS = 20 -- a report comes within these

local Slot = {}
Slot.__index = Slot

-- Starts one. `more`: fields of the slot beside the usual ones.
function worker_slot.start(more)
  local slot = {
    index = 3, number = 1, tasks = core.queue(0, "reports"), results = core.queue(0, "reports"), channel = core.queue(),
    words = protocol.words(), flags = protocol.flags(), inherited = {}, pool_size = 1, max_tasks = math.huge,
    newer_pipes = {},
  }
  for name, value in pairs(more or {}) do
    slot[name] = value
  end
  local self = setmetatable({ slot = slot, inbox = protocol.inbox(slot.results), nfunctions = 0 }, Slot)
  self.process = mproc.Process{ daemon = true, target = function()
    require("mproc.pool.worker").main(slot)
  end }:start()
  return self
end

local function read(self, generation, chunk, offset, status, count, who, value, _, ok, ...)
  if not generation then
    return nil
  end
  protocol.done(self.inbox, generation)
  local values = status == protocol.RETURNED and ok and (...) or { ... }
  return table.move(values, 1, values.n or #values, 1, {
    chunk = chunk, offset = offset, status = status, count = count, slot = who, nanoseconds = value, ok = ok,
  })
end

-- The next report; nil when there is none in time.
function Slot:report(seconds)
  return read(self, protocol.receive(self.inbox, seconds or SECONDS))
end

-- Sends a function by the channel: its number.
function Slot:publish(f)
  self.nfunctions = self.nfunctions + 1
  assert(protocol.post(self.slot.channel, self.nfunctions, 0, protocol.FUNCTION, 0, 0, 0, "function", f))
  return self.nfunctions
end

-- Sends a task. f: a function, which travels in it, or the number of one. header: chunk, offset, flag, count.
function Slot:task(mode, f, header, ...)
  header = header or {}
  local function post(number, ...)
    assert(protocol.post(self.slot.tasks, header.chunk or 1, header.offset or 0, mode, header.count or 1,
      header.flag or 0, number, "args", ...))
  end
  if type(f) == "function" then
    post(0, f, ...)
  else
    post(f, ...)
  end
end

-- Sends a single task and takes its report.
function Slot:call(f, ...)
  self:task(protocol.CALL, f, nil, ...)
  return self:report()
end

-- Sends a task of items and takes so many reports.
function Slot:list(mode, f, items, header)
  header = header or {}
  header.count = header.count or #items
  self:task(mode, f, header, items)
  local reports = {}
  for i = 1, header.count do
    reports[i] = self:report()
  end
  return reports
end

-- Waits for its end: the exit code.
function Slot:join()
  assert(self.process:join(SECONDS))
  return self.process.exitcode
end

-- Has it leave, and takes what it says.
function Slot:finish()
  protocol.post(self.slot.tasks, 0, 0, protocol.RETIRE, 0, 0, 0, "retire")
  local last
  repeat
    last = self:report()
  until not last or last.status == protocol.LEAVING
  local code = self:join()
  self.process:close()
  return last, code
end

-- Ends it whatever it does.
function Slot:kill()
  self.process:kill()
  self:join()
  self.process:close()
end

return worker_slot
