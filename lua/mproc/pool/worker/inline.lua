-- SPDX-License-Identifier: MIT
-- The transport of a serial pool: its tasks run in the process that owns the pool, by the worker's own code, so that a
-- debugger or a print sees them. post() keeps a task, receive() runs the next one and gives its reports one after
-- another. User code runs where the caller of the pool is.
--
-- Fields: waiting (tasks that have not begun), reports (what is to be received), slot (what a worker's code needs),
-- running (the innermost task that runs: { task, reported, outer }), state ("new", "initializing", "ready", "broken",
-- "finished").

local context = require("mproc.pool.worker.context")
local core = require("mproc.core")
local protocol = require("mproc.pool.protocol")
local run = require("mproc.pool.worker.run")
local worker = require("mproc.pool.worker")

local inline = {}

local pack, unpack = table.pack, table.unpack
local INDEX = 1 -- of the only slot
local NO_TASK = { count = 0 }
local CLOSED = "the coroutine in which this task ran was closed"
local TOO_EARLY = "the initializer of a serial pool cannot run tasks of that pool"

-- --- lists that grow at both ends ---

local function new_list()
  return { first = 1, last = 0 }
end

local function append(list, value)
  local last = list.last + 1
  list[last] = value
  list.last = last
end

local function prepend(list, value)
  local first = list.first - 1
  list[first] = value
  list.first = first
end

local function take(list)
  local first = list.first
  local value = list[first]
  if value ~= nil then
    list.first = first + 1
    list[first] = nil
  end
  return value
end

-- --- user code ---

-- What core.outside gave for an xpcall. Ctrl-C is an error of the task's like others, and of who waits for it.
local function outcome(self, could_interrupt, outer, ok, ...)
  if outer and ok then
    return true, ...
  end
  local err = ...
  if not outer then
    err = context.describe(ok)
  end
  if outer == nil or could_interrupt and not core.catches_sigint() then
    self.interrupted = { err }
  end
  return false, err
end

local function call(self, f, ...)
  return outcome(self, core.may_interrupt(), core.outside(xpcall, f, context.describe, ...))
end

-- --- reports ---

-- Its task has reported the items up to that offset.
local function note_report(transport, chunk, offset)
  local running = transport.running
  while running and running.task.chunk ~= chunk do
    running = running.outer
  end
  if running then
    running.reported = offset - running.task.offset + 1
  end
end

local function keep(self, chunk, offset, status, count, nanoseconds, ...)
  local transport = self.transport
  if status <= protocol.FAILED then
    note_report(transport, chunk, offset)
  end
  local generation = transport.generation + 1
  transport.generation = generation
  local report = pack(generation, chunk, offset, status, count, INDEX, nanoseconds, 0, true, ...)
  if status == protocol.RETURNED then
    report = pack(generation, chunk, offset, status, count, INDEX, nanoseconds, 0, true, pack(...))
  end
  append(transport.reports, report)
  return core.time()
end

-- The rest of a chunk waits again, before all others.
local function put_back(self, task, offset, count, given, items)
  local rest = given and pack(true, given, items) or pack(true, items)
  prepend(self.transport.waiting, {
    task = { chunk = task.chunk, offset = offset, mode = task.mode, count = count, flag = task.flag, f = task.f },
    values = rest,
  })
  return true
end

-- --- running ---

-- When user code is left for good in the middle of a task, by closing its coroutine, what was not reported has failed.
local function leave(running)
  local transport, task = running.transport, running.task
  context.pretend(running.was)
  transport.running = running.outer
  if not running.ended then
    for k = running.reported, task.count - 1 do
      keep(transport.slot, task.chunk, task.offset + k, protocol.FAILED, 1, 0, CLOSED)
    end
  end
end

local RUNNING = { __close = leave }

local function enter(transport, task)
  local running = setmetatable({
    transport = transport, task = task, reported = 0, ended = false, outer = transport.running,
    was = context.pretend(transport.slot.record),
  }, RUNNING)
  transport.running = running
  return running
end

-- True when tasks may run.
local function initialize(transport)
  if transport.state == "new" then
    transport.state = "initializing"
    transport.state = worker.initialize(transport.slot) and "ready" or "broken"
  end
  return transport.state == "ready"
end

local function run_next(transport, waiting)
  local slot, task = transport.slot, waiting.task
  local running <close> = enter(transport, task)
  if not initialize(transport) then
    if transport.state == "initializing" then
      run.fail_all(slot, task, TOO_EARLY)
    end -- a broken pool's tasks have failed already
  elseif not protocol.claim(slot.flags, task.flag) then
    run.skip(slot, task)
  else
    worker.run(slot, task, core.time(), unpack(waiting.values, 1, waiting.values.n))
  end
  running.ended = true
end

-- Raises the Ctrl-C that has ended a task, whose report is kept.
local function raise_interrupt(slot)
  local interrupted = slot.interrupted
  if interrupted then
    slot.interrupted = nil
    error(interrupted[1], 0)
  end
end

-- --- the transport ---

-- As protocol.post.
local function post(transport, chunk, offset, mode, count, flag, f, _, ...)
  append(transport.waiting, {
    task = { chunk = chunk, offset = offset, mode = mode, count = count, flag = flag, f = f },
    values = pack(true, ...),
  })
  return core.time(), 0
end

-- As protocol.receive. It never waits: nobody else would do anything meanwhile.
local function receive(transport)
  local reports = transport.reports
  while reports[reports.first] == nil do
    local waiting = take(transport.waiting)
    if not waiting then
      return nil
    end
    run_next(transport, waiting)
    raise_interrupt(transport.slot)
  end
  local message = reports[reports.first]
  return unpack(message, 1, message.n)
end

-- As protocol.done.
local function done(transport, generation)
  local reports = transport.reports
  local message = reports[reports.first]
  if message and message[1] == generation then
    take(reports)
    return true
  end
  return false
end

-- As protocol.absorb and protocol.pending.
local function nothing()
  return 0
end

-- The orderly end: runs the finalizer, once.
local function finish(transport)
  if transport.state == "ready" or transport.state == "new" then
    transport.state = "finished"
    local running <close> = enter(transport, NO_TASK)
    worker.finalize(transport.slot)
    running.ended = true
  end
  raise_interrupt(transport.slot)
end

-- given: initializer, initargs (packed), finalizer, inherited (function number -> its packed form), flags.
function inline.new(given)
  local transport = {
    inline = true, absorb = nothing, pending = nothing, post = post, receive = receive, done = done, finish = finish,
    waiting = new_list(), reports = new_list(), generation = 0, state = "new", running = nil,
  }
  transport.tasks, transport.inbox = transport, transport
  transport.slot = {
    transport = transport, index = INDEX, flags = given.flags, inherited = given.inherited, known = {}, unknown = {},
    initializer = given.initializer, initargs = given.initargs, finalizer = given.finalizer,
    pool_size = 0, max_tasks = math.huge, call = call, keep = keep, put_back = put_back,
    record = { index = INDEX, pid = core.getpid(), tasks_done = 0, store = {}, serial = true },
  }
  return transport
end

return inline
