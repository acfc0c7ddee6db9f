-- SPDX-License-Identifier: MIT
-- The workers of a pool, in its owner: starts them, notices their ends, replaces them, and gives what they had in hand
-- back to the book of what is in flight.
--
-- state.workers, which this file alone writes: list (index -> worker); by_pid; dead (pid -> death, of those whose
-- orphans may still come); nretiring (told to leave, and not gone); failed_starts (in a row); ends (of children of this
-- process, when they were last looked at); fill_again (when a start that failed is tried again); no_worker_since;
-- retired (totals of those that are gone); sources (what to wait for, or nil).
-- A worker is one process: index, process, pid (nil while it is being started), channel (its functions), ready; begun
-- (the item that runs) and began; leaving; done, failed, working (seconds), started (time).
-- Invariant: a worker's place in the list is taken before it is started; this file alone starts and drops them. How
-- many there shall be is state.size.

local core = require("mproc.core")
local errors = require("mproc.errors")
local functions = require("mproc.pool.owner.functions")
local inflight = require("mproc.pool.owner.inflight")
local job = require("mproc.pool.owner.job")
local label = require("mproc.pool_label")
local pool_errors = require("mproc.pool.errors")
local Process = require("mproc.process")
local worker_side = require("mproc.pool_worker")

local workers = {}

local FAILED_STARTS_MAX = 10 -- so many workers in a row may end before they are ready
local AGAIN_SECONDS = 0.1 -- after a start that failed
local START_SECONDS = 5 -- so long starts may fail while no worker lives
local KILL_SECONDS = 10 -- how long the end of a killed process is waited for
local FULL_SECONDS = 5 -- how long a full arena is waited for
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
  local way = state.transport
  return {
    index = index, tasks = way.tasks, results = way.results, mailbox = channel, inherited = state.functions.packed,
    stops = state.stops, peers = state.size, max_tasks = state.maxtasksperchild or math.huge,
    task_timeout = state.task_timeout, initializer = state.initializer, initargs = state.initargs,
    finalizer = state.finalizer, rlimit = state.rlimit, cpu = state.cpu_affinity and index - 1 or nil,
  }
end

-- A place in the list, taken.
local function take_place(state)
  local list, index = state.workers.list, 1
  local worker = {
    index = 0, done = 0, failed = 0, working = 0, ready = false, begun = nil, pid = nil, process = nil, channel = nil,
    started = core.time(),
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

local function start_process(worker, slot, state)
  local process = Process{
    target = function() return worker_side.main(slot) end, name = "PoolWorker-" .. worker.index, daemon = true,
    freeze_heap = state.freeze_heap, close_fds = state.close_fds,
  }
  local ok, started, message, name = pcall(process.start, process)
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
  if not worker.channel then
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
local function post_again(worker, id, kind, f)
  local deadline = core.time() + FULL_SECONDS
  local posted, _, name
  repeat
    posted, _, name = core.post(worker.channel, id, kind, 0, "function", f)
  until posted or name ~= "ENOMEM" or core.time() > deadline or core.sleep(0.001)
  if not posted then
    core.log("warning", ("worker %d is replaced: there is no room for its functions"):format(worker.index))
    worker.process:kill(WITH_PROGRAMS)
  end
end

-- Throws out what waits in this channel and may be long forgotten.
local function sort_channel(state, worker)
  local kept, forgotten = {}, {}
  for _ = 1, worker.channel:qsize() do
    local id, kind, _, _, ok, f = core.fetch(worker.channel, 0)
    if not id then
      break
    elseif kind == label.FORGET then
      forgotten[#forgotten + 1] = id
    elseif ok and state.functions.published[id] then
      kept[id] = f
    end
  end
  for id, f in pairs(kept) do
    post_again(worker, id, label.FUNCTION, f)
  end
  for _, id in ipairs(forgotten) do
    post_again(worker, id, label.FORGET)
  end
end

-- One that is being started is born with what was published before.
function functions.send(state, id, kind, f)
  for _, worker in ipairs(workers.started(state)) do
    if worker.channel:qsize() > CHANNEL_MAX then
      sort_channel(state, worker)
    end
    local posted, why = core.post(worker.channel, id, kind, 0, "function", f)
    if not posted then
      return nil, why
    end
  end
  return true
end

-- --- ends ---

-- What the item that ran is told. deaths: those of its earlier attempts.
local function error_of(death, task, deaths)
  if death.timed_out then
    return pool_errors.timeout(task, death.limited_by, death.timed_out, death.pid)
  elseif death.told_to_end then
    return pool_errors.task_terminated(task, death.pid)
  end
  return pool_errors.worker_died(death.name, death.pid, death.exitcode, task, deaths)
end

-- How a process that has ended did: a death, and whether it left in order.
local function death_of(worker)
  local process = worker.process
  local in_order = pcall(process.result, process, 0)
  local death = {
    pid = worker.pid, name = process.name, exitcode = in_order and 0 or process.exitcode or 1,
    timed_out = worker.timed_out, limited_by = worker.limited_by, told_to_end = worker.told_to_end,
    guilty = worker.guilty, leaving = worker.leaving,
  }
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
  pcall(worker.process.close, worker.process)
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
  if not in_order and state.task_timeout and death.guilty == nil then
    death.guilty = worker.begun or false
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
    if not core.leased(state.transport.tasks, pid) then
      pids[#pids + 1] = pid
    end
  end
  return pids
end

local function tell_to_leave(state)
  local way = state.transport
  way.post(way.tasks, 0, label.RETIRE, 0, "retire")
end

-- death: of who had it in hand.
local function see_to_orphan(state, death, item, kind, ...)
  if kind & label.MODE_MASK ~= label.RETIRE then
    inflight.orphan(state, death, item, kind, ...)
  elseif not death.leaving then -- another one shall
    tell_to_leave(state)
  end
end

-- One message that a dead worker had, whose pid comes first.
local function take_orphan(state, drain, pid, ...)
  local worker = pid and state.workers.by_pid[pid]
  if worker and worker.process:join(KILL_SECONDS) then -- it has died since the others were looked at
    drain(state)
    note_end(state, worker)
  end
  local death = pid and state.workers.dead[pid]
  if death then
    see_to_orphan(state, death, ...)
  end
  return pid
end

-- The messages that dead workers had. True when there were some.
local function take_orphans(state, drain)
  local any, last = false
  local pids = list_settled(state)
  repeat
    last = take_orphan(state, drain, core.orphan(state.transport.tasks))
    any = any or last and true
  until not last or not state.transport.tasks
  if last == nil then -- there is none: what was settled before has been taken
    for _, pid in ipairs(pids) do
      state.workers.dead[pid] = nil
    end
  end
  return any
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
function workers.report(state, status, item, kind, value)
  local worker = state.workers.list[kind >> label.SEAT_SHIFT & label.SEAT_MASK]
  if status == label.BROKEN then
    workers.break_down(state, value)
  elseif status == label.BEGUN then
    if worker then
      worker.begun, worker.began = item, value
    end
  elseif worker and worker.pid == item then
    worker.ready = worker.ready or status == label.READY
    worker.leaving = worker.leaving or status == label.LEAVING
  end
end

-- An item's report came from that worker, which worked so many seconds since its last.
function workers.count_report(state, item, kind, seconds, failed)
  local worker = state.workers.list[kind >> label.SEAT_SHIFT & label.SEAT_MASK]
  if not worker then
    return
  elseif failed then
    worker.failed = worker.failed + 1
  else
    worker.done = worker.done + 1
  end
  worker.working = worker.working + seconds
  if worker.begun == item then
    worker.begun = nil
  end
end

-- Kills those whose item has run for too long. Returns when the next one will have.
function workers.check_timeouts(state)
  local now, soonest = core.time(), math.huge
  for _, worker in ipairs(workers.started(state)) do
    if worker.begun and not worker.timed_out then
      local ends = worker.began + state.task_timeout
      if now >= ends then
        worker.timed_out, worker.limited_by, worker.guilty = state.task_timeout, "task_timeout", worker.begun
        worker.process:kill(WITH_PROGRAMS)
      else
        soonest = math.min(soonest, ends)
      end
    end
  end
  return soonest
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
