-- SPDX-License-Identifier: MIT
-- The same jobs with luv's threads and its work queue: prints one number. Usage: luv_side.lua JOB COUNT
-- They pass up to nine scalars; what else there is must be made a string first, as a user would.

local uv = require("luv")

local WORKERS = 2

local function now()
  return uv.hrtime() / 1e9
end

local function identity(x)
  return x
end

-- Calls f for items[1..count] in the pool of threads; all are queued at once.
local function work_all(f, count, item_of)
  local done = 0
  local work = uv.new_work(f, function()
    done = done + 1
  end)
  for i = 1, count do
    work:queue(item_of(i))
  end
  uv.run()
  assert(done == count)
end

local function same(i)
  return i
end

-- Millions of tasks a second.
local function pool_map(count)
  work_all(identity, 200, same)
  local began = now()
  work_all(identity, count, same)
  return count / (now() - began) / 1e6
end

-- Microseconds of one call.
local function pool_apply(count)
  work_all(identity, 100, same)
  local began = now()
  for _ = 1, count do
    work_all(identity, 1, same)
  end
  return (now() - began) / count * 1e6
end

-- Tasks a second that only compute; the same task as in bench/pool_cpu.lua.
local function pool_cpu(count)
  local function task(n)
    local sum = 0
    for i = 1, 300000 do
      sum = sum + (i * n) % 7
    end
    return sum
  end
  work_all(task, WORKERS, same)
  local began = now()
  work_all(task, count, same)
  return count / (now() - began)
end

-- Microseconds to start and join an empty thread.
local function start_join(count)
  local began = now()
  for _ = 1, count do
    uv.thread_join(uv.new_thread(function() end))
  end
  return (now() - began) / count * 1e6
end

local jobs = { pool_map = pool_map, pool_apply = pool_apply, pool_cpu = pool_cpu, start_join = start_join }

uv.os_setenv("UV_THREADPOOL_SIZE", tostring(WORKERS))
print(jobs[arg[1]](tonumber(arg[2])))
