-- SPDX-License-Identifier: MIT
-- A pool's owner played by hand: plain XADD and XREAD, so that worker programs are tested without the keeper.

local core = require("mproc.core")
local keys = require("mproc.far.redis.keys")
local lazy = require("mproc.lazy")
local message = require("mproc.far.redis.message")
local mproc = require("mproc")
lazy.load("mproc.pool.errors") -- the metatable of its errors

local Owner = {}
Owner.__index = Owner

local owner = {}

local pools = 0

-- On that server; queue: its name with @version.
function owner.new(server, queue)
  pools = pools + 1
  local self = setmetatable({
    server = server, keys = keys.of(queue or "spec"), pool = ("%016x"):format(pools), k = 0, last = "0", found = {},
    times = {}, n = {}, items = 0, got = 0,
  }, Owner)
  self.result = self.keys.result(self.pool)
  server:call("XADD", self.result, "*", "hello", 1)
  return self
end

-- Adds a chunk, whose number it returns. task: f (of far_tasks), verb, n, and more for message.task; ...: what is in
-- its body.
function Owner:add(task, ...)
  self.k = self.k + 1
  task.k, task.pool, task.verb, task.n = self.k, self.pool, task.verb or "map", task.n or #(...)
  task.f = task.f:find(".", 1, true) and task.f or "far_tasks." .. task.f
  task.bytes = task.bytes or core.pool.pack_abroad("items", ...)
  self.n[self.k], self.items = task.n, self.items + task.n
  local fields = message.task(task)
  if task.m then
    fields[8] = task.m
  end
  self.server:call("XADD", self.keys.tasks, "*", table.unpack(fields))
  return self.k
end

function Owner:map(f, items, more)
  local task = more or {}
  task.f, task.verb = f, "map"
  return self:add(task, items)
end

function Owner:call(f, ...)
  return self:add({ f = f, verb = "call", n = 1 }, ...)
end

local function note(self, k, offset, records)
  local at, of = 1, self.found[k] or {}
  self.found[k] = of
  while at <= #records do
    local status, nanoseconds, bytes
    status, nanoseconds, bytes, at = message.RECORD:unpack(records, at)
    offset = offset + 1
    self.times[k] = (self.times[k] or 0) + 1
    assert(of[offset] == nil, ("item %d of chunk %d has two results"):format(offset, k))
    of[offset] = { status = status, nanoseconds = nanoseconds, core.pool.unpack_abroad(bytes) }
    self.got = self.got + 1
  end
end

-- Takes what has come in so far.
function Owner:look()
  local entries = self.server:call("XRANGE", self.result, self.last == "0" and "-" or "(" .. self.last, "+")
  for _, entry in ipairs(entries) do
    self.last = entry[1]
    for k, offset, records in message.results(entry[2]) do
      note(self, k, offset or 0, records)
    end
  end
end

-- Waits until every item has its result, in that time at most: chunk -> list of { status, values… }.
function Owner:await(seconds)
  local deadline = mproc.time() + (seconds or 10)
  repeat
    self:look()
    if self.got == self.items then
      return self.found
    end
    mproc.sleep(0.005)
  until mproc.time() > deadline
  error(("%d of %d items have a result"):format(self.got, self.items), 2)
end

-- The values of one chunk.
function Owner:values(k, seconds)
  local all = self:await(seconds)
  local values = {}
  for i = 1, self.n[k] do
    values[i] = all[k][i][1]
  end
  return values
end

-- It dies.
function Owner:vanish()
  self.server:call("DEL", self.result)
end

return owner
