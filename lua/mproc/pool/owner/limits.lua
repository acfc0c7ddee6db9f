-- SPDX-License-Identifier: MIT
-- Tasks that are ended while they run, with their workers: those that take too long, and those that somebody ends.

local core = require("mproc.core")
local inflight = require("mproc.pool.owner.inflight")
local protocol = require("mproc.pool.protocol")
local workers = require("mproc.pool.owner.workers")

local limits = {}

-- Whether something that runs may take too long. Machines see to that themselves.
function limits.have_limits(state)
  return not state.far and (state.task_timeout ~= nil or state.jobs.ntimed > 0)
end

local function kill_for(worker, chunk, offset)
  if worker.killed_for then
    return
  end
  worker.killed_for, worker.killed_at = chunk, offset
  workers.kill_one(worker)
end

-- How long that job's items may run, and whose limit that is.
local function limit_of(state, of)
  if of and of.timeout then
    return of.timeout, "timeout"
  end
  return state.task_timeout, "task_timeout"
end

-- Kills those whose item has run for too long. Returns when the next one will have.
function limits.check_timeouts(state)
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
function limits.end_job(state, of)
  for _, worker in ipairs(workers.started(state)) do
    local chunk, offset = protocol.running(worker.words)
    if chunk and inflight.job_of(state, chunk) == of then
      worker.told_to_end = true
      kill_for(worker, chunk, offset)
    end
  end
end

return limits
