-- SPDX-License-Identifier: MIT
-- The workers of a pool: starts them, notices their ends, replaces them, and sees to what they had in hand. Used by
-- pool.lua and pool_drive.lua, in the owner alone.
--
-- pool.crew: index -> seat; a seat is one process: index, process, pid, mailbox, ready, begun (the `a` of the item that
-- runs) and began, both with a task_timeout only; done, failed, working (seconds), started (time).
-- pool.fill_again: when a fork that failed is tried again; pool.deserted: since when there has been no worker for that.
-- Invariant: how many workers there are is counted from those that live; this file alone starts and drops them.

local chunks = require("mproc.pool_chunks")
local Process = require("mproc.process")
local core = require("mproc.core")
local errors = require("mproc.errors")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local pool_errors = require("mproc.pool_errors")
local words = require("mproc.pool_words")
local worker = require("mproc.pool_worker")

local crew = {}

local STILLBORN_MAX = 10 -- so many workers in a row may die before they are ready
local AGAIN_SECONDS = 0.1 -- after a fork that failed
local FORK_SECONDS = 5 -- so long forks may fail while no worker lives

function crew.prepare(pool)
  pool.crew, pool.by_pid, pool.gone = {}, {}, {}
  pool.dead = {} -- by pid: deaths of those whose orphans may still come
  pool.retiring, pool.stillborn, pool.ends, pool.unlooked, pool.asked = 0, 0, 0, 0, 0
end

-- The shared objects that all workers use. True, or nil, message, NAME.
function crew.furnish(pool)
  local message, name
  pool.tasks, message, name = core.queue(0, "reports")
  if pool.tasks then
    pool.results, message, name = core.queue(0, "reports")
  end
  if pool.results then
    return words.prepare(pool)
  end
  return nil, message, name
end

-- What the child is given. It is inherited, so it names no more than it needs.
local function seat_for(pool, index, mailbox)
  return {
    index = index, tasks = pool.tasks, results = pool.results, mailbox = mailbox, inherited = pool.frozen,
    stops = pool.stops, peers = pool.size, max_tasks = pool.max_tasks or math.huge, task_timeout = pool.task_timeout,
    initializer = pool.initializer, initargs = pool.initargs, finalizer = pool.finalizer, rlimit = pool.rlimit,
    cpu = pool.cpu_affinity and index - 1 or nil,
    done = 0, failed = 0, working = 0, ready = false,
  }
end

local function start(pool, index)
  local mailbox, message, name = core.queue()
  if not mailbox then
    return nil, message, name
  end
  local seat = seat_for(pool, index, mailbox)
  local process
  process, message, name = Process{
    target = function() return worker.main(seat) end, name = "PoolWorker-" .. index, daemon = true,
    freeze_heap = pool.freeze_heap,
  }:start()
  if not process then
    return nil, message, name
  end
  seat.process, seat.pid, seat.started = process, process.pid, core.time()
  pool.crew[index], pool.by_pid[seat.pid] = seat, seat
  pool.sources = nil
  return true
end

-- How many workers there should be more; negative: fewer. Those that have been told to leave do not count.
function crew.missing(pool)
  local living = 0
  for _ in pairs(pool.crew) do
    living = living + 1
  end
  return pool.size - (living - pool.retiring)
end

local function free_index(pool)
  local index = 1
  while pool.crew[index] do
    index = index + 1
  end
  return index
end

-- Starts what is missing. True, or nil, message, NAME of the first that could not be.
function crew.fill(pool)
  pool.fill_again = nil
  for _ = 1, crew.missing(pool) do
    local ok, message, name = start(pool, free_index(pool))
    if not ok then
      pool.fill_again = core.time() + AGAIN_SECONDS
      return nil, message, name
    end
    pool.deserted = nil
  end
  return true
end

-- Starts what is missing while there is something to do. A pool without a worker does not hope for ever.
local function refill(pool)
  if pool.broken or pool.finishing then
    return
  end
  local ok, message, name = crew.fill(pool)
  if ok or next(pool.crew) then
    return
  end
  pool.deserted = pool.deserted or core.time()
  if core.time() - pool.deserted > FORK_SECONDS then
    crew.break_down(pool, pool_errors.no_workers(message, name))
  end
end

-- Fails all that is pending, now and from now on.
function crew.break_down(pool, err)
  if pool.broken then
    return
  end
  pool.broken, pool.broken_error, job.open[pool] = true, err, nil
  crew.kill(pool)
  chunks.drop_all(pool)
  job.fail_all(pool, err)
end

-- pool.death_error: what the item that ran is told. deaths: those of its earlier attempts.
function crew.death_error(death, task, deaths)
  if death.timed_out then
    return pool_errors.timeout(task, death.timed_out, death.pid)
  end
  return pool_errors.worker_died(death.name, death.pid, death.exitcode, task, deaths)
end

-- How a process that has ended did: nil when it left in order, else a death.
local function cause_of(seat)
  local ok, err = pcall(seat.process.result, seat.process, 0)
  if ok then
    return nil
  end
  return {
    pid = seat.pid, name = seat.process.name, exitcode = seat.process.exitcode or 1, timed_out = seat.timed_out,
    guilty = seat.guilty, err = err,
  }
end

local function drop(pool, seat)
  if pool.crew[seat.index] == seat then
    pool.crew[seat.index] = nil
  end
  pool.sources = nil
  seat.process:close()
  pool.gone.done = (pool.gone.done or 0) + seat.done
  pool.gone.failed = (pool.gone.failed or 0) + seat.failed
  pool.gone.working = (pool.gone.working or 0) + seat.working
  pool.gone.living = (pool.gone.living or 0) + core.time() - seat.started
end

-- Workers that never come up are not started for ever.
local function count_stillborn(pool, seat, death)
  if seat.ready then
    pool.stillborn = 0
    return
  end
  pool.stillborn = pool.stillborn + 1
  if pool.stillborn >= STILLBORN_MAX then
    crew.break_down(pool, pool_errors.worker_died(death.name, death.pid, death.exitcode,
      pool.initializer and "its initializer, or before" or "nothing yet: it was starting"))
  end
end

local function log_end(pool, seat, death)
  local what = ("pool worker '%s' (pid %d)"):format(seat.process.name, seat.pid)
  if death then
    core.log("warning", ("%s died: %s%s"):format(what, errors.describe_end(death.exitcode),
      pool.finishing and "" or "; another takes its place"))
  else
    core.log("info", ("%s has left after %d tasks"):format(what, seat.done + seat.failed))
  end
end

local function note_end(pool, seat)
  local death = cause_of(seat)
  log_end(pool, seat, death)
  if death then
    if pool.task_timeout and death.guilty == nil then
      death.guilty = seat.begun or false
    end
    count_stillborn(pool, seat, death)
  end
  if seat.leaving then -- whatever became of its finalizer
    pool.retiring = pool.retiring - 1
  end
  death = death or { pid = seat.pid, name = seat.process.name, exitcode = 0 }
  death.leaving = seat.leaving
  pool.dead[seat.pid] = death
  pool.by_pid[seat.pid] = nil
  drop(pool, seat)
end

-- Of those that have ended, who has nothing any more that others must still see to.
local function settled(pool)
  local pids = {}
  for pid in pairs(pool.dead) do
    if not core.leased(pool.tasks, pid) then
      pids[#pids + 1] = pid
    end
  end
  return pids
end

local function tell_to_leave(pool)
  core.post(pool.tasks, 0, label.RETIRE, 0, "retire")
end

-- death: of who had it in hand.
local function see_to_orphan(pool, death, a, mode, ...)
  if mode & label.MODE_MASK ~= label.RETIRE then
    chunks.orphan(pool, death, a, mode, ...)
  elseif not death.leaving then -- another one shall
    tell_to_leave(pool)
  end
end

-- The messages that dead workers had, each with its pid. One that has died since is looked at first. True when there
-- were some.
local function take_orphans(pool, drain)
  local any = false
  local function one(pid, ...)
    local seat = pid and pool.by_pid[pid]
    if seat then
      seat.process:join()
      drain(pool)
      note_end(pool, seat)
    end
    if pid then
      see_to_orphan(pool, pool.dead[pid], ...)
      any = true
    end
    return pid
  end
  local pids = settled(pool)
  local last
  repeat
    last = one(core.orphan(pool.tasks))
  until not last
  if last == nil then -- there is none: what was settled before has been taken
    for _, pid in ipairs(pids) do
      pool.dead[pid] = nil
    end
  end
  return any
end

-- Those that have ended since.
local function newly_ended(pool)
  local ends = core.reap()
  local ended = {}
  if ends == pool.ends then
    return ended
  end
  pool.ends = ends
  for _, seat in pairs(pool.crew) do
    if not seat.process:is_alive() then
      ended[#ended + 1] = seat
    end
  end
  return ended
end

-- Notices workers that have ended. drain() gives their last results to their jobs, so that what is an orphan then is
-- known to have ended in nothing. True when there was news.
function crew.look(pool, drain)
  if pool.fill_again and core.time() > pool.fill_again then
    refill(pool)
  end
  local ended = newly_ended(pool)
  if #ended == 0 and not next(pool.dead) then
    return false
  end
  drain(pool)
  for _, seat in ipairs(ended) do
    note_end(pool, seat)
  end
  local any = take_orphans(pool, drain) or #ended > 0
  if any then
    refill(pool)
  end
  return any
end

-- Reports that are about a worker, not about an item. True when it was one.
function crew.report(pool, status, a, b, value)
  local seat = pool.crew[b >> label.SEAT_SHIFT & label.SEAT_MASK]
  if status == label.BEGUN then
    if seat then
      seat.begun, seat.began = a, value
    end
  elseif status == label.READY then
    if seat and seat.pid == a then
      seat.ready = true
    end
  elseif status == label.LEAVING then
    if seat and seat.pid == a then
      seat.leaving = true
    end
  elseif status == label.BROKEN then
    crew.break_down(pool, value)
  else
    return false
  end
  return true
end

-- Kills those whose item has run for too long. Returns when the next one will have.
function crew.check_timeouts(pool)
  local now, soonest = core.time(), math.huge
  for _, seat in pairs(pool.crew) do
    if seat.begun and not seat.timed_out then
      local ends = seat.began + pool.task_timeout
      if now >= ends then
        seat.timed_out, seat.guilty = pool.task_timeout, seat.begun
        seat.process:kill()
      else
        soonest = math.min(soonest, ends)
      end
    end
  end
  return soonest
end

-- A list of `first` and the workers' handles, for core.wait, and its length. The same until a worker comes or goes.
function crew.sources(pool, first)
  if not pool.sources then
    local list, n = { first }, 1
    for _, seat in pairs(pool.crew) do
      n = n + 1
      list[n] = getmetatable(seat.process).__mproc_wait(seat.process)
    end
    pool.sources, pool.nsources = list, n
  end
  return pool.sources, pool.nsources
end

function crew.kill(pool)
  for _, seat in pairs(pool.crew) do
    seat.process:kill()
  end
end

-- Waits for the end of all that were told to leave or were killed. true, or false when the time is over.
function crew.join(pool, deadline)
  for _, seat in pairs(pool.crew) do
    if not seat.process:join(deadline and deadline - core.time()) then
      return false
    end
  end
  for _, seat in pairs(pool.crew) do
    pool.by_pid[seat.pid] = nil
    drop(pool, seat)
  end
  return true
end

-- From now on there are `size` workers: the surplus leave once what was asked before has been taken.
function crew.resize(pool, size)
  pool.size = size
  for _ = 1, -crew.missing(pool) do
    tell_to_leave(pool)
    pool.retiring = pool.retiring + 1
  end
  return crew.fill(pool)
end

return crew
