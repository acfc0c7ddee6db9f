-- SPDX-License-Identifier: MIT
-- The workers of a pool, in its owner: starts them, notices their ends, replaces them, and gives what they had in hand
-- back to the book of what is in flight.
--
-- state.workers, which this file alone writes: list (index -> worker); by_pid; dead (pid -> death, of those whose
-- orphans may still come); nretiring (told to leave, and not gone); failed_starts (in a row); ends (of children of this
-- process, when they were last looked at); fill_again (when a start that failed is tried again); no_worker_since;
-- retired (totals of those that are gone); sources (what to wait for, or nil).
-- A worker is one process: index, process, pid (nil while it is being started), channel (its functions), words (what it
-- runs), paths (package.path and cpath that it knows), ready, leaving; done, failed, working (seconds), started (time);
-- killed_for and killed_at (a chunk and the item's offset), limit and limited_by (a timeout) or told_to_end.
-- Invariant: a worker's place in the list is taken before it is started; this file alone starts and drops them. How
-- many there shall be is state.size.

local core = require("mproc.core")
local errors = require("mproc.errors")
local functions = require("mproc.pool.owner.functions")
local inflight = require("mproc.pool.owner.inflight")
local job = require("mproc.pool.owner.job")
local pool_errors = require("mproc.pool.errors")
local Process = require("mproc.process")
local protocol = require("mproc.pool.protocol")
local worker_side = require("mproc.pool.worker")

local workers = {}

local FAILED_STARTS_MAX = 10 -- so many workers in a row may end before they are ready
local AGAIN_SECONDS = 0.1 -- after a start that failed
local START_SECONDS = 5 -- so long starts may fail while no worker lives
local KILL_SECONDS = 10 -- how long the end of a killed process is waited for
local CHANNEL_MAX = 128 -- messages a worker may leave unread before the owner looks through them
local SLICE = 0.02 -- of the wait for many to end
local WITH_PROGRAMS = { tree = true } -- a worker's end takes the programs that its tasks started

function workers.prepare(state)
  state.workers = {
    list = {}, by_pid = {}, dead = {}, retired = { done = 0, failed = 0, working = 0, living = 0 },
    nretiring = 0, failed_starts = 0, ends = 0, fill_again = nil, no_worker_since = nil, sources = nil,
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

-- What the child is given. It is inherited, so it names no more than it needs.
local function slot_for(state, index, channel)
  local worker = state.workers.list[index]
  return {
    index = index, tasks = state.transport.tasks, results = state.results, channel = channel, words = worker.words,
    flags = state.flags, inherited = state.functions.packed, pool_size = state.size,
    max_tasks = state.maxtasksperchild or math.huge, max_memory = state.maxmemoryperchild,
    initializer = state.initializer, initargs = state.initargs, finalizer = state.finalizer, rlimit = state.rlimit,
    cpu = state.cpu_affinity and index - 1 or nil,
  }
end

-- Where this process finds modules.
local function paths()
  return { package.path, package.cpath }
end

-- A place in the list, taken.
local function take_place(state)
  local list, index = state.workers.list, 1
  local worker = {
    index = 0, done = 0, failed = 0, working = 0, ready = false, leaving = false, pid = nil, process = nil,
    channel = nil, words = nil, paths = paths(), started = core.time(),
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

local function start_process(worker, slot, state)
  local process = Process{
    target = function() return worker_side.main(slot) end, name = "PoolWorker-" .. worker.index, daemon = true,
    freeze_heap = state.freeze_heap, close_fds = state.close_fds,
  }
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
  return state.size - (living - state.workers.nretiring)
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

-- Starts what is missing while there is something to do. A pool without a worker does not hope for ever.
local function refill(state)
  local all = state.workers
  if state.broken or state.finishing then
    return
  end
  local ok, message, name = workers.fill(state)
  if ok and message ~= nil then
    core.write_stderr(("mproc: an at_fork hook raised: %s\n"):format(pool_errors.text_of(message)))
  end
  if ok or next(all.by_pid) then
    return
  end
  all.no_worker_since = all.no_worker_since or core.time()
  if core.time() - all.no_worker_since > START_SECONDS then
    workers.break_down(state, pool_errors.no_workers(pool_errors.text_of(message), name))
  end
end

-- --- functions ---

-- What was in the channel a moment ago. Where it finds no room any more the worker is killed, which would wait for it
-- for ever: the one that takes its place is born with all functions.
local function post_again(worker, id, notice, f)
  if not protocol.post_when_room(worker.channel, id, 0, notice, 0, 0, 0, "function", f) then
    core.log("warning", ("worker %d is replaced: there is no room for its functions"):format(worker.index))
    worker.process:kill(WITH_PROGRAMS)
  end
end

-- Throws out what waits in this channel and may be long forgotten.
local function sort_channel(state, worker)
  local kept, forgotten = {}, {}
  local notices = protocol.inbox(worker.channel)
  for _ = 1, worker.channel:qsize() do
    local generation, id, _, notice, _, _, _, _, ok, f = protocol.receive(notices, 0)
    if not generation then
      break
    elseif notice == protocol.FORGET then
      forgotten[#forgotten + 1] = id
    elseif notice == protocol.FUNCTION and ok and state.functions.published[id] then
      kept[id] = f
    elseif notice == protocol.PATHS then
      worker.paths = {}
    end
    protocol.done(notices, generation)
  end
  for id, f in pairs(kept) do
    post_again(worker, id, protocol.FUNCTION, f)
  end
  for _, id in ipairs(forgotten) do
    post_again(worker, id, protocol.FORGET)
  end
end

-- A module that was found since the worker was started is found there, too.
local function send_paths(worker)
  local now, known = paths(), worker.paths
  if (now[1] ~= known[1] or now[2] ~= known[2]) and type(now[1]) == "string" and type(now[2]) == "string" then
    if protocol.post(worker.channel, 0, 0, protocol.PATHS, 0, 0, 0, "paths", now[1], now[2]) then
      worker.paths = now
    end
  end
end

-- One that is being started is born with what was published before.
function functions.send(state, id, notice, f)
  for _, worker in ipairs(workers.started(state)) do
    if worker.channel:qsize() > CHANNEL_MAX then
      sort_channel(state, worker)
    end
    send_paths(worker)
    local posted, why = protocol.post(worker.channel, id, 0, notice, 0, 0, 0, "function", f)
    if not posted then
      return nil, why
    end
  end
  return true
end

-- --- ends ---

-- What the item that ran is told. deaths: those of its earlier attempts.
local function error_of(death, task, deaths)
  if death.limit then
    return pool_errors.timeout(task, death.limited_by, death.limit, death.pid)
  elseif death.told_to_end then
    return pool_errors.task_terminated(task, death.pid)
  end
  return pool_errors.worker_died(death.name, death.pid, death.exitcode, task, deaths, death.reason)
end

-- How a process that has ended did: a death, and whether it left in order. What it ran when it was killed for something
-- else, which had just ended, is innocent.
local function death_of(worker)
  local process = worker.process
  local in_order = quietly(process.result, process, 0)
  local death = {
    pid = worker.pid, name = process.name, exitcode = in_order and 0 or process.exitcode or 1, limit = worker.limit,
    limited_by = worker.limited_by, told_to_end = worker.told_to_end, leaving = worker.leaving,
    reason = protocol.reason(worker.words),
  }
  local chunk, offset = protocol.running(worker.words)
  if not worker.killed_for or worker.killed_for == chunk and worker.killed_at == offset then
    death.chunk, death.offset = chunk, offset
  end
  death.error = function(task, deaths) return error_of(death, task, deaths) end
  return death, in_order
end

local function drop(state, worker)
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

-- Workers that never come up are not started for ever, however they end.
local function count_start(state, worker, death)
  local all = state.workers
  if worker.ready then
    all.failed_starts = 0
    return
  end
  all.failed_starts = all.failed_starts + 1
  if all.failed_starts >= FAILED_STARTS_MAX then
    workers.break_down(state, pool_errors.worker_died(death.name, death.pid, death.exitcode,
      state.initializer and "its initializer, or before" or "nothing yet: it was starting"))
  end
end

local function log_end(state, worker, death, in_order)
  local what = ("pool worker '%s' (pid %d)"):format(worker.process.name, worker.pid)
  if in_order then
    core.log("info", ("%s has left after %d tasks"):format(what, worker.done + worker.failed))
  else
    core.log("warning", ("%s died: %s%s"):format(what, errors.describe_end(death.exitcode),
      state.finishing and "" or "; another takes its place"))
  end
end

local function note_end(state, worker)
  local all = state.workers
  local death, in_order = death_of(worker)
  if all.by_pid[worker.pid] ~= worker then -- noted meanwhile
    return
  end
  if worker.leaving then -- whatever became of its finalizer
    all.nretiring = all.nretiring - 1
  end
  all.dead[worker.pid] = death
  drop(state, worker)
  log_end(state, worker, death, in_order)
  if not (in_order and worker.leaving) then
    count_start(state, worker, death)
  end
end

-- Of those that have ended, who has nothing any more that others must still see to.
local function list_settled(state)
  local pids = {}
  for pid in pairs(state.workers.dead) do
    if not protocol.leased(state.transport.tasks, pid) then
      pids[#pids + 1] = pid
    end
  end
  return pids
end

local function tell_to_leave(state)
  local way = state.transport
  way.post(way.tasks, 0, 0, protocol.RETIRE, 0, 0, 0, "retire")
end

-- One message that a dead worker had. What transport.receive gives.
local function take_orphan(state, drain, way, generation, chunk, offset, mode, count, flag, f, pid, ...)
  if not generation then
    return generation
  end
  local worker = state.workers.by_pid[pid]
  if worker and worker.process:join(KILL_SECONDS) then -- it has died since the others were looked at
    drain(state)
    note_end(state, worker)
  end
  local death = state.workers.dead[pid]
  if death and protocol.verb(mode) ~= protocol.RETIRE then
    inflight.orphan(state, death, chunk, offset, mode, count, flag, f, ...)
  elseif death and not death.leaving then -- another one shall leave
    tell_to_leave(state)
  end
  way.done(way.orphans, generation)
  return true
end

-- The messages that dead workers had. True when there were some.
local function take_orphans(state, drain)
  local any, last = false
  local pids, way = list_settled(state), state.transport
  repeat
    last = take_orphan(state, drain, way, way.receive(way.orphans, 0))
    any = any or last
  until not last or state.transport ~= way
  if last == nil then -- there is none: what was settled before has been taken
    for _, pid in ipairs(pids) do
      state.workers.dead[pid] = nil
    end
  end
  return any or false
end

-- Those that have ended since.
local function newly_ended(state)
  local ends, ended = core.reap(), {}
  if ends == state.workers.ends then
    return ended
  end
  for _, worker in ipairs(workers.started(state)) do
    if not worker.process:is_alive() then
      ended[#ended + 1] = worker
    end
  end
  state.workers.ends = ends
  return ended
end

-- Notices workers that have ended. drain(state) gives their last results to their jobs, so that what is an orphan then
-- is known to have ended in nothing. True when there was news.
function workers.look(state, drain)
  local all = state.workers
  if all.fill_again and core.time() > all.fill_again then
    refill(state)
  end
  local ended = newly_ended(state)
  if #ended == 0 and not next(all.dead) then
    return false
  end
  drain(state)
  for _, worker in ipairs(ended) do
    note_end(state, worker)
  end
  if state.phase == "terminated" then
    return true
  end
  local any = take_orphans(state, drain) or #ended > 0
  if any then
    refill(state)
  end
  return any
end

-- Whether some ends are known whose orphans may still come, or starts are to be tried again.
function workers.are_unsettled(state)
  return state.workers.fill_again ~= nil or next(state.workers.dead) ~= nil
end

-- --- reports ---

-- What a worker says of itself, and not of an item.
function workers.report(state, status, pid, slot, value)
  local worker = state.workers.list[slot]
  if status == protocol.BROKEN then
    workers.break_down(state, value)
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

-- --- limits ---

-- Whether something that runs may take too long.
function workers.have_limits(state)
  return state.task_timeout ~= nil or state.jobs.ntimed > 0
end

local function kill_for(worker, chunk, offset)
  if worker.killed_for then
    return
  end
  worker.killed_for, worker.killed_at = chunk, offset
  worker.process:kill(WITH_PROGRAMS)
end

-- How long that job's items may run, and whose limit that is.
local function limit_of(state, of)
  if of and of.timeout then
    return of.timeout, "timeout"
  end
  return state.task_timeout, "task_timeout"
end

-- Kills those whose item has run for too long. Returns when the next one will have.
function workers.check_timeouts(state)
  local now, soonest = core.time(), math.huge
  for _, worker in ipairs(workers.started(state)) do
    local chunk, offset, began = protocol.running(worker.words)
    local limit, whose = limit_of(state, chunk and inflight.job_of(state, chunk))
    if chunk and limit and now >= began + limit and not worker.killed_for then
      worker.limit, worker.limited_by = limit, whose
      kill_for(worker, chunk, offset)
    elseif chunk and limit then
      soonest = math.min(soonest, began + limit)
    elseif limit then -- what it takes next may begin at once
      soonest = math.min(soonest, now + limit)
    end
  end
  for _, live in pairs(state.jobs.ntimed > 0 and state.jobs.live or {}) do
    soonest = math.min(soonest, now + (live.timeout or math.huge))
  end
  return soonest
end

-- Kills those that run something of the job.
function workers.end_job(state, of)
  for _, worker in ipairs(workers.started(state)) do
    local chunk, offset = protocol.running(worker.words)
    if chunk and inflight.job_of(state, chunk) == of then
      worker.told_to_end = true
      kill_for(worker, chunk, offset)
    end
  end
end

-- --- waiting and ending ---

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

function workers.kill(state)
  for _, worker in ipairs(workers.started(state)) do
    worker.process:kill(WITH_PROGRAMS)
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
    drop(state, worker)
  end
  return true
end

-- The same for those that were killed.
function workers.join_killed(state)
  return workers.join(state, core.time() + KILL_SECONDS)
end

-- From now on there are `size` workers: the surplus leave once what was asked before has been taken.
function workers.resize(state, size)
  state.size = size
  for _ = 1, -workers.missing(state) do
    state.workers.nretiring = state.workers.nretiring + 1
    tell_to_leave(state)
  end
  return workers.fill(state)
end

workers.SLICE = SLICE

return workers
