-- SPDX-License-Identifier: MIT
-- The workers of a pool, in its owner: starts them, and ends them. deaths.lua notices their ends, channels.lua gives
-- them functions, limits.lua ends what takes too long.
--
-- state.workers, which these four files alone write: list (index -> worker); by_pid; dead (pid -> death, of those whose
-- orphans may still come); nretiring (told to leave, and not gone); failed_starts (in a row); ends (of children of this
-- process, when they were last looked at); fill_again (when a start that failed is tried again); no_worker_since;
-- retired (totals of those that are gone); sources (what to wait for, or nil); pipes (inode -> true, of those that this
-- process could write when the pool was made).
-- A worker is one process: index, process, pid (nil while it is being started), channel (its functions), words (what it
-- runs), paths (package.path and cpath that it knows), ready, leaving; done, failed, working (seconds), started (time);
-- killed_for and killed_at (a chunk and the item's offset), limit and limited_by (a timeout) or told_to_end.
-- Invariant: a worker's place in the list is taken before it is started; this file alone starts and drops them. How
-- many there shall be is state.size; of a pool over several machines one, its keeper, whatever size is (far.lua).

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local far = require("mproc.pool.owner.far")
local inflight = require("mproc.pool.owner.inflight")
local job = require("mproc.pool.owner.job")
local pool_errors = require("mproc.pool.errors")
local Process = require("mproc.process")
local protocol = require("mproc.pool.protocol")
local worker_side = require("mproc.pool.worker")

local workers = {}

local AGAIN_SECONDS = 0.1 -- after a start that failed
local START_SECONDS = 5 -- so long starts may fail while no worker lives
local KILL_SECONDS = 10 -- how long the end of a killed process is waited for
local WITH_PROGRAMS = { tree = true } -- a worker's end takes the programs that its tasks started

-- The pipes by their inodes, of such a list.
local function pipes_of(writers)
  local pipes = {}
  for i = 2, #writers, 2 do
    pipes[writers[i]] = true
  end
  return pipes
end

-- The writing ends that this process has opened since the pool was made: no worker from before has them, and one that
-- takes another's place shall not keep their readers waiting. A list as core.pipe_writers gives it.
local function newer_pipes(state)
  local writers, newer = core.pipe_writers(), {}
  for i = 1, #writers, 2 do
    if not state.workers.pipes[writers[i + 1]] then
      table.move(writers, i, i + 1, #newer + 1, newer)
    end
  end
  return newer
end

function workers.prepare(state)
  state.workers = {
    list = {}, by_pid = {}, dead = {}, retired = { done = 0, failed = 0, working = 0, living = 0 },
    nretiring = 0, failed_starts = 0, ends = 0, fill_again = nil, no_worker_since = nil, sources = nil,
    pipes = pipes_of(core.pipe_writers()),
  }
end

-- Those that have been started, by their index.
function workers.started(state)
  local started = {}
  for _, worker in pairs(state.workers.list) do
    if worker.pid then
      started[#started + 1] = worker
    end
  end
  table.sort(started, function(a, b) return a.index < b.index end)
  return started
end

-- --- starting ---

-- Whether workers are forks of this process.
local function forks(state)
  return (state.method or core.state.start_method or "fork") == "fork"
end

-- Before the first start: the user's functions are sent with each worker that is no fork.
function workers.check_functions(state)
  for _, name in ipairs(forks(state) and {} or { "initializer", "finalizer" }) do
    local bytes, reason, refused = core.pack(state[name], name)
    if not bytes then
      errors.raise_unsendable(reason, refused)
    end
  end
end

-- What the child is given. It is inherited, or sent, so it names no more than it needs.
local function slot_for(state, index, channel)
  local worker, inherits = state.workers.list[index], forks(state)
  return {
    index = index, number = state.number, tasks = state.transport.tasks, results = state.results, channel = channel,
    words = worker.words, far = far.keeper_slot(state),
    flags = inherits and state.flags or { array = state.flags.array }, inherited = state.functions.packed,
    pool_size = state.size,
    max_tasks = state.maxtasksperchild or math.huge, max_memory = state.maxmemoryperchild,
    initializer = state.initializer, initargs = state.initargs, finalizer = state.finalizer, rlimit = state.rlimit,
    cpu = state.cpu_affinity and index - 1 or nil, newer_pipes = inherits and newer_pipes(state) or {},
  }
end

-- A place in the list, taken.
local function take_place(state)
  local list, index = state.workers.list, 1
  local worker = {
    index = 0, done = 0, failed = 0, working = 0, ready = false, leaving = false, pid = nil, process = nil,
    channel = nil, words = nil, paths = { package.path, package.cpath }, started = core.time(),
  }
  while list[index] do
    index = index + 1
  end
  list[index], worker.index = worker, index
  return worker
end

-- Forgets a worker that never was.
local function free_place(state, worker)
  local list = state.workers.list
  if list[worker.index] == worker then
    list[worker.index] = nil
  end
end

-- The process runs, whatever the program's own hooks did round its start.
local function note_start(state, worker, process)
  local all = state.workers
  worker.process, worker.pid, worker.started = process, process.pid, core.time()
  all.by_pid[worker.pid], all.sources, all.no_worker_since = worker, nil, nil
  if state.finishing then -- a hook has ended the pool meanwhile
    process:kill(WITH_PROGRAMS)
  end
end

local function after(before, ok, ...)
  if not ok and before and not core.may_interrupt() then
    core.interrupt_again()
    return true
  end
  return ok, ...
end

-- pcall for steps that can be taken again: Ctrl-C in one of them is no error of its, and comes again outside.
local function quietly(f, ...)
  return after(core.may_interrupt(), pcall(f, ...))
end
workers.quietly = quietly

local function start_process(worker, slot, state)
  local main = state.far and state.far.main or worker_side.main
  local process = Process{
    target = function() return main(slot) end, daemon = true,
    name = state.far and "PoolKeeper" or "PoolWorker-" .. worker.index,
    freeze_heap = state.freeze_heap, close_fds = state.close_fds,
  }
  class.record_of(process).method = state.method
  local ok, started, message, name = quietly(process.start, process)
  if process.pid then
    return process, not ok and started or nil
  elseif ok then
    return nil, message, name
  end
  return nil, started, "hook"
end

-- Starts one worker. True; or nil, message, NAME. A hook of the program's that raises: nil, its error, "hook"; or when
-- the worker runs all the same: true, its error.
local function start(state)
  local worker = take_place(state)
  local message, name
  worker.channel, message, name = core.queue()
  if worker.channel then
    worker.words, message, name = protocol.words()
  end
  if not worker.words then
    free_place(state, worker)
    return nil, message, name
  end
  local process
  process, message, name = start_process(worker, slot_for(state, worker.index, worker.channel), state)
  if not process then
    free_place(state, worker)
    return nil, message, name
  end
  note_start(state, worker, process)
  return true, message
end

-- How many workers there should be more; negative: fewer. Those that have been told to leave do not count.
function workers.missing(state)
  local living = 0
  for _ in pairs(state.workers.list) do
    living = living + 1
  end
  return (state.far and 1 or state.size) - (living - state.workers.nretiring)
end

-- Starts what is missing. True and maybe an error of a hook; or nil, message, NAME of the first that could not be.
function workers.fill(state)
  local hook_error
  state.workers.fill_again = nil
  while not state.finishing and workers.missing(state) > 0 do
    local ok, message, name = start(state)
    if not ok then
      state.workers.fill_again = core.time() + AGAIN_SECONDS
      return nil, message, name
    end
    hook_error = hook_error or message
  end
  return true, hook_error
end

-- Fails all that is pending, now and from now on.
function workers.break_down(state, err)
  if state.broken or state.phase == "terminated" then
    return
  end
  state.broken, state.broken_error = true, err
  state.takes_calls, state.call = false, false
  workers.kill(state)
  inflight.close(state)
  job.fail_all(state, err)
end

-- What no worker has taken goes: its job has failed.
local function drop_tasks(way)
  local inbox = protocol.inbox(way.tasks)
  local generation
  repeat
    generation = protocol.receive(inbox, 0)
    if generation then
      protocol.done(inbox, generation)
    end
  until not generation
end

-- The system has no room for workers: what is pending fails. The pool stays open, and what it is given next has it try
-- again.
local function give_up(state, err)
  state.workers.no_worker_since = nil
  job.fail_all(state, err)
  inflight.give_up(state)
  drop_tasks(state.transport)
end

-- Starts what is missing while there is something to do. A pool without a worker does not hope for ever.
function workers.refill(state)
  local all = state.workers
  if state.broken or state.finishing then
    return
  end
  local ok, message, name = workers.fill(state)
  if ok and message ~= nil then
    core.write_stderr(("mproc: an at_fork hook raised: %s\n"):format(errors.text_of(message)))
  end
  if ok or next(all.by_pid) then
    return
  end
  all.no_worker_since = all.no_worker_since or core.time()
  if core.time() - all.no_worker_since > START_SECONDS then
    local fail = name == "hook" and workers.break_down or give_up
    fail(state, pool_errors.no_workers(errors.text_of(message), name))
  end
end

-- --- reports ---

-- What a worker says of itself, and not of an item.
function workers.report(state, status, pid, slot, value)
  local worker = state.workers.list[slot]
  if status == protocol.BROKEN then
    workers.break_down(state, value)
  elseif status == protocol.FLEET then
    far.hear(state, value)
  elseif worker and worker.pid == pid then
    worker.ready = worker.ready or status == protocol.READY
    worker.leaving = worker.leaving or status == protocol.LEAVING
  end
end

-- An item's report came from the worker in that slot, which worked so long since its last.
function workers.count_report(state, slot, nanoseconds, failed)
  local worker = state.workers.list[slot]
  if not worker then
    return
  elseif failed then
    worker.failed = worker.failed + 1
  else
    worker.done = worker.done + 1
  end
  if nanoseconds > 0 then
    worker.working = worker.working + nanoseconds * 1e-9
  end
end

-- `n` items' results came from it.
function workers.count_plain(state, slot, n)
  local worker = state.workers.list[slot]
  if worker then
    worker.done = worker.done + n
  end
end

-- --- waiting and ending ---

-- A worker that has ended is forgotten; its totals stay.
function workers.drop(state, worker)
  local all = state.workers
  local retired = all.retired
  if all.list[worker.index] ~= worker then
    return
  end
  all.list[worker.index], all.by_pid[worker.pid], all.sources = nil, nil, nil
  retired.done, retired.failed = retired.done + worker.done, retired.failed + worker.failed
  retired.working = retired.working + worker.working
  retired.living = retired.living + core.time() - worker.started
  quietly(worker.process.close, worker.process)
end

-- A list of `first` and the workers' handles, for core.wait, and its length. The same until a worker comes or goes.
function workers.sources(state, first)
  local all = state.workers
  local list, n = all.sources, all.nsources
  if not list then
    list, n = { first }, 1
    for _, worker in ipairs(workers.started(state)) do
      n = n + 1
      list[n] = getmetatable(worker.process).__mproc_wait(worker.process)
    end
    all.sources, all.nsources = list, n
  end
  return list, n
end

function workers.kill_one(worker)
  worker.process:kill(WITH_PROGRAMS)
end

function workers.kill(state)
  for _, worker in ipairs(workers.started(state)) do
    workers.kill_one(worker)
  end
end

-- Asks all to end their tasks in order, and gives them so many seconds for it.
function workers.terminate(state, grace)
  local deadline = core.time() + grace
  for _, worker in ipairs(workers.started(state)) do
    worker.process:terminate()
  end
  for _, worker in ipairs(workers.started(state)) do
    worker.process:join(math.max(0, deadline - core.time()))
  end
end

-- Waits for the end of all that were told to leave or were killed. True, or false when the time is over.
function workers.join(state, deadline)
  for _, worker in ipairs(workers.started(state)) do
    if not worker.process:join(deadline and math.max(0, deadline - core.time())) then
      return false
    end
  end
  for _, worker in ipairs(workers.started(state)) do
    workers.drop(state, worker)
  end
  return true
end

-- The same for those that were killed.
function workers.join_killed(state)
  return workers.join(state, core.time() + KILL_SECONDS)
end

-- Some worker, whichever takes the message, shall leave.
function workers.tell_to_leave(state)
  local way = state.transport
  way.post(way.tasks, 0, 0, protocol.RETIRE, 0, 0, 0, "retire")
end

-- From now on there are `size` workers: the surplus leave once what was asked before has been taken.
function workers.resize(state, size)
  state.size = size
  for _ = 1, -workers.missing(state) do
    state.workers.nretiring = state.workers.nretiring + 1
    workers.tell_to_leave(state)
  end
  return workers.fill(state)
end

workers.KILL_SECONDS = KILL_SECONDS

return workers
