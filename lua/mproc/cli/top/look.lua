-- SPDX-License-Identifier: MIT
-- One look at a tree: what the arena and /proc say, put together. Used by mproc.cli.top.
--
-- A look: at (core.time), pid (of the first process), command, up (seconds), memory, size (bytes), processes, queues,
-- pools, locks, deadlocks. What needs two looks (rates, shares of CPU) is made of this one and the one before.
-- A process: pid, name, state ("waits", "works", "sleeps", "runs", "stopped", "starting"), seconds (in that state, or
-- nil), cpu (share, 0 to 1), waits (as the view has it), worker (the same), done, failed, and slot, began.
-- A queue: object, length, put, got, put_rate, got_rate, most, closed, readers, asleep, of ("pool 1: tasks").
-- A pool: owner (pid), number, workers (a list of pids), busy (share), out, done, failed, rate.
-- A lock: object, kind, holder (pid), readers (pids), waiters (pids).

local core = require("mproc.core")
local deadlock = require("mproc.cli.top.deadlock")
local tree = require("mproc.cli.top.tree")

local look = {}

local SHORT = 0.001 -- two looks are further apart

-- Object types by their numbers in the arena, as far as they can be waited for.
look.KINDS = {
  [1] = "queue", [2] = "lock", [3] = "semaphore", [4] = "event", [5] = "barrier", [6] = "condition", [7] = "RWLock",
  [9] = "number", [10] = "Dict",
}

local function rate(now, before, seconds)
  return before and seconds > SHORT and math.max(0, now - before) / seconds or 0
end

-- --- processes ---

local function state_of(process, status)
  if status.state == "T" or status.state == "t" then
    return "stopped"
  elseif not process.alive then
    return "starting"
  elseif process.waits then
    return process.waits.kind == "sleep" and "sleeps" or "waits"
  end
  return process.worker and process.worker.task_began and "works" or "runs"
end

-- The seconds of /proc are those since its start.
local function share_of_cpu(process, status, before, at, seconds)
  local was = before and before.by_slot[process.slot]
  if was and was.pid == process.pid and was.began == process.began then
    return rate(status.cpu, was.cpu_seconds, seconds)
  end
  return rate(status.cpu, 0, at - process.began)
end

local function add_process(one, process, before, seconds)
  local status = tree.status(process.pid)
  if not status or status.state == "Z" or status.state == "X" then
    return
  end
  local state = state_of(process, status)
  local since = process.waits and process.waits.since or process.worker and process.worker.task_began
  process.name, process.state, process.cpu_seconds = tree.printable(process.name), state, status.cpu
  process.seconds = since and math.max(0, one.at - since) or nil
  process.cpu = share_of_cpu(process, status, before, one.at, seconds)
  process.done, process.failed = process.worker and process.worker.done, process.worker and process.worker.failed
  one.processes[#one.processes + 1] = process
  one.by_slot[process.slot], one.by_pid[process.pid] = process, process
end

local function pid_of(one, slot)
  local process = slot and one.by_slot[slot]
  return process and process.pid
end

-- --- pools ---

-- A worker that is at the same task as before has worked all the time.
local function busy_share(process, was, seconds)
  local worker, earlier = process.worker, was and was.pid == process.pid and was.worker
  if not earlier then
    return worker.task_began and 1 or 0
  elseif worker.task_began and worker.task_began == earlier.task_began then
    return 1
  end
  return math.min(1, rate(worker.busy, earlier.busy, seconds))
end

local function pool_of(one, worker)
  local key = worker.owner .. ":" .. worker.number
  if not one.by_pool[key] then
    local pool = {
      owner = pid_of(one, worker.owner), number = worker.number, workers = {}, busy = 0, out = 0, done = 0, failed = 0,
      rate = 0, tasks = worker.tasks, results = worker.results,
    }
    one.by_pool[key] = pool
    one.pools[#one.pools + 1] = pool
  end
  return one.by_pool[key]
end

local function add_worker(one, process, before, seconds)
  local worker, was = process.worker, before and before.by_slot[process.slot]
  local pool = pool_of(one, worker)
  pool.workers[#pool.workers + 1] = process.pid
  pool.busy = pool.busy + busy_share(process, was, seconds)
  pool.out = pool.out + (worker.task_began and 1 or 0)
  pool.done, pool.failed = pool.done + worker.done, pool.failed + worker.failed
  if was and was.worker and was.pid == process.pid then
    pool.rate = pool.rate + rate(worker.done, was.worker.done, seconds)
  end
end

local function add_pools(one, before, seconds)
  for _, process in ipairs(one.processes) do
    if process.worker then
      add_worker(one, process, before, seconds)
    end
  end
  for _, pool in ipairs(one.pools) do
    pool.busy = pool.busy / #pool.workers
    one.queue_of[pool.tasks], one.queue_of[pool.results] = { pool, "tasks" }, { pool, "results" }
  end
end

-- --- queues and locks ---

-- What has been put and not yet taken; what a dead reader had comes back.
local function length_of(queue)
  return math.max(0, queue.put - queue.got + queue.returned)
end

local function add_queue(one, queue, before, seconds)
  local was, use = before and before.by_queue[queue.object], one.queue_of[queue.object]
  queue.length, queue.asleep, queue.readers, queue.users = length_of(queue), 0, queue.users, nil
  queue.put_rate = rate(queue.put, was and was.put, seconds)
  queue.got_rate = rate(queue.got, was and was.got, seconds)
  if use then
    queue.of = ("pool %d: %s"):format(use[1].number, use[2])
    use[1].out = use[1].out + (use[2] == "tasks" and queue.length or 0)
  end
  one.queues[#one.queues + 1], one.by_queue[queue.object] = queue, queue
end

local function add_lock(one, lock)
  local readers = {}
  for _, slot in ipairs(lock.readers or {}) do
    readers[#readers + 1] = pid_of(one, slot)
  end
  lock.kind, lock.holder, lock.waiters = look.KINDS[lock.type] or "object", pid_of(one, lock.holder), {}
  lock.readers, lock.type = lock.readers and readers, nil
  one.locks[#one.locks + 1], one.by_lock[lock.object] = lock, lock
end

local function add_objects(one, view, before, seconds)
  local queues, locks = view:objects()
  for _, queue in ipairs(queues) do
    add_queue(one, queue, before, seconds)
  end
  for _, lock in ipairs(locks) do
    add_lock(one, lock)
  end
  for _, process in ipairs(one.processes) do
    local waits = process.waits
    local queue = waits and waits.part == "message" and one.by_queue[waits.object]
    local lock = waits and (waits.part == "lock" or waits.part == "readers") and one.by_lock[waits.object]
    if queue then
      queue.asleep = queue.asleep + 1
    elseif lock then
      table.insert(lock.waiters, process.pid)
    end
  end
end

-- --- all of it ---

-- A look at the view's tree. before: the look before, if there was one. Nil when nobody is left.
function look.take(view, before)
  local one = {
    at = core.time(), processes = {}, queues = {}, pools = {}, locks = {}, by_slot = {}, by_pid = {}, by_pool = {},
    by_queue = {}, by_lock = {}, queue_of = {},
  }
  local seconds = before and one.at - before.at or 0
  for _, process in ipairs(view:processes()) do
    add_process(one, process, before, seconds)
  end
  local first = one.processes[1]
  if not first then
    return nil
  end
  for _, process in ipairs(one.processes) do
    first = process.began < first.began and process or first
  end
  one.pid, one.command, one.up = first.pid, tree.command(first.pid) or first.name, one.at - first.began
  one.memory, one.size = view:memory()
  add_pools(one, before, seconds)
  add_objects(one, view, before, seconds)
  one.deadlocks = before and deadlock.find(one, before) or {}
  return one
end

return look
