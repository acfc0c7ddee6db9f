-- SPDX-License-Identifier: MIT
-- Processes that wait for each other, found in two looks: whoever waited for the same thing in both, since the same
-- moment, and for what a process of the circle holds, or for its end. Used by mproc.cli.top.look.

local deadlock = {}

local function waits_still(process, before)
  local was = before.by_slot[process.slot]
  local now, then_ = process.waits, was and was.waits
  return now and then_ and was.pid == process.pid and now.kind == then_.kind and now.since == then_.since
    and now.object == then_.object and now.pid == then_.pid
end

-- The pids for which it waits; each must do something first.
local function awaited(one, process)
  local waits = process.waits
  if waits.kind == "process" then
    return { waits.pid }
  elseif waits.kind ~= "object" then
    return {}
  end
  local lock = one.by_lock[waits.object]
  if lock and waits.part == "lock" then
    return { lock.holder }
  end
  local others = {}
  for _, pid in ipairs(lock and waits.part == "readers" and lock.readers or {}) do
    if pid ~= process.pid then
      others[#others + 1] = pid
    end
  end
  return others
end

-- Follows who waits for whom from a process on; the circle that comes back to one of the path, or nil.
-- at: where in the path a pid is; false: nothing comes back from there.
local function follow(one, before, process, path, at)
  if at[process.pid] then
    return table.move(path, at[process.pid], #path, 1, {})
  elseif at[process.pid] == false or not waits_still(process, before) then
    return nil
  end
  path[#path + 1], at[process.pid] = process, #path + 1
  for _, pid in ipairs(awaited(one, process)) do
    local found = one.by_pid[pid] and follow(one, before, one.by_pid[pid], path, at)
    if found then
      return found
    end
  end
  path[#path], at[process.pid] = nil, false
  return nil
end

-- A list of circles: lists of processes, each of which waits for the next one, the last for the first.
function deadlock.find(one, before)
  local circles, at = {}, {}
  for _, process in ipairs(one.processes) do
    local path = {}
    local circle = follow(one, before, process, path, at)
    for _, member in ipairs(path) do -- what leads there is no circle of its own
      at[member.pid] = false
    end
    circles[#circles + 1] = circle
  end
  return circles
end

return deadlock
