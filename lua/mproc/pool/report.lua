-- SPDX-License-Identifier: MIT
-- What a pool has done, who its workers are, and where their time went: stats and insights.
--
-- Where the time went is an estimate, made of what is measured anyway: how long some call was waited for or under way
-- (busy), how long the workers say that their tasks ran (working), and how many messages went out. What the workers did
-- not work while calls were under way is handing over when a message brings less than a millisecond of work. Otherwise
-- it is so up to a millisecond a message, which is plenty unless arguments are many megabytes, and the rest is waiting
-- for tasks. Putting results of one message's items is counted as working.

local core = require("mproc.core")
local workers = require("mproc.pool.owner.workers")

local report = {}

local HAND_OVER_MOST = 0.001 -- seconds a message that is worthwhile
local WORTHWHILE = 0.001 -- seconds of work that a message shall bring
local NOTABLE = 0.5 -- the share from which there is advice
local EVEN = 0.9 -- as quick with the pool as without

-- --- stats ---

local Stats = {}
Stats.__name = "mproc.PoolStats"

function Stats:__tostring()
  local lines = { ("%d tasks done, %d failed, %d retried, %d pending; %d workers"):format(self.done, self.failed,
    self.retried, self.pending, #self.workers) }
  for _, w in ipairs(self.workers) do
    local who = w.pid and "pid " .. w.pid or w.name
    lines[#lines + 1] = ("  worker %d (%s): %d done, %d failed, worked %.3f s, waited %.3f s"):format(
      w.index, who, w.done, w.failed, w.working, w.waiting)
  end
  return table.concat(lines, "\n")
end

-- What the keeper tells of a worker program of a pool over several machines.
function report.far_worker(worker, index)
  return {
    index = index, name = worker.name, processes = worker.processes, done = worker.done, failed = worker.failed,
    working = worker.working, waiting = worker.waiting,
  }
end

-- The pids of the workers; of a pool over several machines their names.
function report.workers(state)
  local pids = {}
  if state.far then
    for i, worker in ipairs(state.finished and {} or state.far.fleet.workers) do
      pids[i] = worker.name
    end
    return pids
  end
  for i, worker in ipairs(workers.started(state)) do
    pids[i] = worker.pid
  end
  return pids
end

-- done, failed, retried, pending: tasks; working, waiting: seconds, over all workers there ever were; workers: a list
-- of { index, pid, done, failed, working, waiting } of those that live. tostring tells it in words.
function report.stats(state)
  local now = core.time()
  local retired, book = state.workers.retired, state.inflight
  local all = {
    done = book.done, failed = book.failed, retried = book.retried, pending = book.count, workers = {},
    working = retired.working, waiting = retired.living - retired.working,
  }
  if state.far then
    for i, worker in ipairs(state.far.fleet.workers) do
      all.workers[i] = report.far_worker(worker, i)
    end
    return setmetatable(all, Stats)
  end
  for i, worker in ipairs(workers.started(state)) do
    local waiting = math.max(0, now - worker.started - worker.working)
    all.workers[i] = {
      index = worker.index, pid = worker.pid, done = worker.done, failed = worker.failed, working = worker.working,
      waiting = waiting,
    }
    all.working, all.waiting = all.working + worker.working, all.waiting + waiting
  end
  return setmetatable(all, Stats)
end

-- --- insights ---

local function is_worthwhile(m)
  return m.working >= WORTHWHILE * m.messages
end

local function measure(state)
  local s, jobs = report.stats(state), state.jobs
  local busy = jobs.busy + (jobs.nlive > 0 and core.time() - jobs.busy_since or 0)
  local capacity = busy * state.size
  local m = {
    tasks = s.done + s.failed, messages = state.inflight.next_id - 1, workers = state.size, busy = busy,
    capacity = capacity, working = math.min(s.working, capacity),
  }
  m.handing_over = m.capacity - m.working
  if is_worthwhile(m) then
    m.handing_over = math.min(m.handing_over, m.messages * HAND_OVER_MOST)
  end
  m.waiting = m.capacity - m.working - m.handing_over
  return m
end

local function percent(m, part)
  return math.floor(100 * part / m.capacity + 0.5)
end

local function advise_hand_over(m)
  if m.handing_over < NOTABLE * m.capacity then
    return nil
  end
  local remedy = "give each task more to do"
  local enough = WORTHWHILE * m.tasks / math.max(m.working, WORTHWHILE)
  local chunksize = math.min(enough, m.tasks // m.workers) // 1 | 0
  if chunksize > m.tasks / m.messages then
    remedy = ("use chunksize (as in pool:map(f, items, %d)), or %s"):format(chunksize, remedy)
  end
  return ("%d%% of time was hand-over; %s"):format(percent(m, m.handing_over), remedy)
end

local function advise_waiting(m)
  if m.waiting < NOTABLE * m.capacity then
    return nil
  end
  return ("%d%% of time workers waited for tasks: %.1f of %d worked at a time; use map, or submit all tasks before the "
    .. "first get"):format(percent(m, m.waiting), m.working / m.busy, m.workers)
end

local function advise_serial(m)
  if m.working >= EVEN * m.busy then
    return nil
  end
  return ("the tasks ran for %.3f s, the calls took %.3f s: without a pool it would have been quicker"):format(
    m.working, m.busy)
end

local function advise_workers(m)
  local cpus = core.cpu_count()
  if m.workers <= cpus then
    return nil
  end
  return ("%d workers share %d CPUs: tasks that compute gain nothing by more workers than CPUs"):format(m.workers, cpus)
end

local function summary(m)
  return ("%d tasks in %d messages; while calls were under way (%.3f s), %d workers spent %d%% working, %d%% handing "
    .. "over, %d%% waiting for tasks (an estimate)"):format(m.tasks, m.messages, m.busy, m.workers,
    percent(m, m.working), percent(m, m.handing_over), percent(m, m.waiting))
end

-- A text of some lines, and what it was made of: { tasks, messages, workers, busy, capacity, working, handing_over,
-- waiting }, the last five in seconds; capacity = workers * busy = working + handing_over + waiting.
function report.insights(state)
  local m = measure(state)
  if state.serial then
    return "a serial pool: its tasks run in the caller, nothing is handed over", m
  elseif m.tasks == 0 then
    return "no task has ended yet", m
  end
  local lines = { summary(m) }
  for _, advise in ipairs({ advise_hand_over, advise_waiting, advise_serial, advise_workers }) do
    lines[#lines + 1] = advise(m)
  end
  return table.concat(lines, "\n"), m
end

return report
