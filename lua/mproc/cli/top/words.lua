-- SPDX-License-Identifier: MIT
-- What a look says, in words: what a process waits for or does, and who waits for whom. Used by mproc.cli.top.

local words = {}

local function holder_of(one, pid)
  local process = one.by_pid[pid]
  return ("%d%s"):format(pid, process and process.state == "stopped" and " (stopped)" or "")
end

local KINDS = {
  lock = "lock", RWLock = "RWLock", number = "the lock of number", Dict = "the lock of Dict",
  object = "the lock of object",
}

local function lock_name(one, waits, look_kinds)
  local lock = one.by_lock[waits.object]
  return ("%s %d"):format(KINDS[lock and lock.kind or look_kinds[waits.type] or "object"] or "lock", waits.object)
end

local function queue_name(one, object)
  local use = one.queue_of[object]
  return use and ("%s of pool %d"):format(use[2], use[1].number) or nil
end

local function list_pids(pids)
  return table.concat(pids, ", ")
end

local PARTS = {
  message = function(one, waits)
    return queue_name(one, waits.object) or ("messages of queue %d"):format(waits.object)
  end,
  room = function(_, waits) return ("room in queue %d"):format(waits.object) end,
  tasks = function(_, waits) return ("the last task of queue %d"):format(waits.object) end,
  lock = function(one, waits, kinds)
    local lock, name = one.by_lock[waits.object], lock_name(one, waits, kinds)
    return lock and lock.holder and ("%s, held by %s"):format(name, holder_of(one, lock.holder)) or name
  end,
  readers = function(one, waits)
    local lock = one.by_lock[waits.object]
    local readers = lock and lock.readers and #lock.readers > 0 and ": " .. list_pids(lock.readers) or ""
    return ("the readers of RWLock %d%s"):format(waits.object, readers)
  end,
  permit = function(_, waits) return ("a permit of semaphore %d"):format(waits.object) end,
  event = function(_, waits) return ("event %d"):format(waits.object) end,
  barrier = function(_, waits) return ("the others at barrier %d"):format(waits.object) end,
  condition = function(_, waits) return ("a notice of condition %d"):format(waits.object) end,
}

local function thing(one, waits, kinds)
  local part = waits.object and PARTS[waits.part]
  return part and part(one, waits, kinds) or "something shared"
end

local function worker_does(worker)
  if not worker.task_began then
    return ""
  end
  return worker.offset == 0 and ("task %d"):format(worker.chunk)
    or ("task %d, item %d"):format(worker.chunk, worker.offset + 1)
end

-- What a process waits for or does; kinds: names of types by their numbers.
function words.of_process(one, process, kinds)
  local waits = process.waits
  if not waits then
    return process.worker and worker_does(process.worker) or ""
  elseif waits.kind == "process" then
    local awaited = one.by_pid[waits.pid]
    return ("the end of %d%s"):format(waits.pid, awaited and " " .. awaited.name or "")
  elseif waits.kind == "many" then
    return waits.object and thing(one, waits, kinds) .. ", or others" or "several things"
  end
  return waits.kind == "sleep" and "" or thing(one, waits, kinds)
end

-- A circle of processes that wait for each other: a line for each.
function words.of_circle(one, circle, kinds)
  local lines = {}
  for i, process in ipairs(circle) do
    lines[i] = ("%d %s waits for %s"):format(process.pid, process.name, words.of_process(one, process, kinds))
  end
  return lines
end

return words
