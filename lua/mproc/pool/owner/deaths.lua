-- SPDX-License-Identifier: MIT
-- Ends of a pool's workers: notices them, says what they came to, has others take their places, and gives what they had
-- in hand back to the book of what is in flight.

local core = require("mproc.core")
local errors = require("mproc.errors")
local inflight = require("mproc.pool.owner.inflight")
local pool_errors = require("mproc.pool.errors")
local protocol = require("mproc.pool.protocol")
local workers = require("mproc.pool.owner.workers")

local deaths = {}

local FAILED_STARTS_MAX = 10 -- so many workers in a row may end before they are ready
local KILL_SECONDS = workers.KILL_SECONDS

-- What the item that ran is told. earlier: the deaths of its earlier attempts.
local function error_of(death, task, earlier)
  if death.limit then
    return pool_errors.timeout(task, death.limited_by, death.limit, death.pid)
  elseif death.told_to_end then
    return pool_errors.task_terminated(task, death.pid)
  end
  return pool_errors.worker_died(death.name, death.pid, death.exitcode, task, earlier, death.reason)
end

-- How a process that has ended did: a death, and whether it left in order. What it ran when it was killed for something
-- else, which had just ended, is innocent.
local function death_of(worker)
  local process = worker.process
  local in_order = workers.quietly(process.result, process, 0)
  local death = {
    pid = worker.pid, name = process.name, exitcode = in_order and 0 or process.exitcode or 1, limit = worker.limit,
    limited_by = worker.limited_by, told_to_end = worker.told_to_end, leaving = worker.leaving,
    reason = protocol.reason(worker.words),
  }
  local chunk, offset = protocol.running(worker.words)
  if not worker.killed_for or worker.killed_for == chunk and worker.killed_at == offset then
    death.chunk, death.offset = chunk, offset
  end
  death.error = function(task, earlier) return error_of(death, task, earlier) end
  return death, in_order
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
  workers.drop(state, worker)
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
    workers.tell_to_leave(state)
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
function deaths.look(state, drain)
  local all = state.workers
  if all.fill_again and core.time() > all.fill_again then
    workers.refill(state)
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
    workers.refill(state)
  end
  return any
end

-- Whether some ends are known whose orphans may still come, or starts are to be tried again.
function deaths.are_unsettled(state)
  return state.workers.fill_again ~= nil or next(state.workers.dead) ~= nil
end

return deaths
