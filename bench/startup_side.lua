-- SPDX-License-Identifier: MIT
-- What is measured in an interpreter of its own: prints one number. Usage: startup_side.lua JOB

package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath

-- As it is where mproc is installed: from a relative path its pools are loaded at once.
package.path = package.path:gsub("[^;]+", function(path)
  return path:sub(1, 1) == "/" and path or os.getenv("PWD") .. "/" .. path
end)

local HEAP_MIB = 2048
local STARTS = 5
local QUEUES = 1000
local WATCHED = 2 -- seconds

local function resident_kib()
  local file <close> = assert(io.open("/proc/self/smaps_rollup"))
  return tonumber(file:read("a"):match("Rss:%s*(%d+)"))
end

-- Milliseconds of CPU that a process has used.
local function cpu_ms(pid)
  local file <close> = assert(io.open(("/proc/%d/schedstat"):format(pid)))
  return file:read("n") / 1e6
end

-- Strings, which the collector does not walk through: a fork copies page tables whatever lies in the pages.
local function fill_heap()
  local heap = {}
  for i = 1, HEAP_MIB do
    heap[i] = ("x"):rep((1 << 20) - 64) .. i
  end
  return heap
end

local jobs = {}

-- Milliseconds of CPU.
function jobs.require()
  local before = os.clock()
  require("mproc")
  return (os.clock() - before) * 1e3
end

function jobs.resident()
  local before = resident_kib()
  require("mproc")
  return resident_kib() - before
end

-- KiB for each of many queues, their userdata included, when `use` has been called with them.
local function of_queues(use)
  local mproc = require("mproc")
  mproc.Queue():put(1)
  local queues = {}
  local before = resident_kib()
  for i = 1, QUEUES do
    queues[i] = mproc.Queue()
    use(queues[i])
  end
  return (resident_kib() - before) / QUEUES
end

function jobs.queue()
  return of_queues(function() end)
end

function jobs.used_queue()
  return of_queues(function(q)
    q:put(1)
    q:get()
  end)
end

-- Milliseconds of CPU a second of an idle pool of two, its owner included.
function jobs.idle_pool()
  local mproc = require("mproc")
  local pool <close> = mproc.Pool(2)
  pool:map(math.abs, { 1, 2, 3, 4 })
  local pids = pool:workers()
  pids[#pids + 1] = mproc.getpid()
  mproc.sleep(1) -- what follows work is over
  local function all()
    local sum = 0
    for _, pid in ipairs(pids) do
      sum = sum + cpu_ms(pid)
    end
    return sum
  end
  local before = all()
  mproc.sleep(WATCHED)
  return (all() - before) / WATCHED
end

-- Milliseconds to start and join a process that does nothing, beside a heap of 2 GiB.
function jobs.start()
  local mproc = require("mproc")
  local heap = fill_heap()
  local began = mproc.time()
  for _ = 1, STARTS do
    local p = mproc.Process(function() end):start()
    p:join()
    p:close()
  end
  local seconds = mproc.time() - began
  assert(#heap == HEAP_MIB)
  return seconds / STARTS * 1e3
end

-- The same by fork, _exit and waitpid.
function jobs.fork()
  local raw = require("raw")
  local heap = fill_heap()
  local seconds = raw.fork_wait(STARTS)
  assert(#heap == HEAP_MIB)
  return seconds / STARTS * 1e3
end

print(jobs[arg[1]]())
