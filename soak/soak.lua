-- SPDX-License-Identifier: MIT
-- A day's worth of making, using and dropping: memory stays flat, and nothing is left. Run by `make soak`.
-- SOAK_SCALE=0.01 runs a hundredth of it.

local core = require("mproc.core")
local mproc = require("mproc")

local SCALE = tonumber(os.getenv("SOAK_SCALE")) or 1
local SAMPLES = 10
local WARM = 2 -- tenths after which memory is to be flat
local GROWTH_KIB = 2048 -- what may come after that all the same
local SEGMENTS = 2 -- a queue keeps one to spare, or has one more in use

local function status(field)
  local file <close> = assert(io.open("/proc/self/status"))
  return tonumber(file:read("a"):match(field .. ":%s*(%d+)"))
end

local function open_files()
  local count = 0
  for _ in io.popen("ls /proc/" .. mproc.getpid() .. "/fd"):lines() do
    count = count + 1
  end
  return count
end

local function collect()
  collectgarbage()
  collectgarbage()
end

local function measure()
  collect()
  local s = core.stats()
  return { rss = status("VmRSS"), objects = s.objects, chunks = s.chunks, used = s.used // 1024, hot = s.hot // 1024,
    processes = s.processes, files = open_files() }
end

local HEAD = ("%-34s %10s %9s %8s %8s %9s %9s %9s %6s"):format("stage", "done", "RSS KiB", "objects", "chunks",
  "used KiB", "hot KiB", "processes", "files")
local failed = false

local function check(title, what, before, after, allowed)
  if after > before + allowed then
    failed = true
    print(("FAIL %s: %s grew from %d to %d"):format(title, what, before, after))
  end
end

-- Calls step(i) for i = 1..count, in tenths; memory after the last tenth is compared with that after WARM.
local function stage(title, count, step)
  count = math.max(SAMPLES, math.floor(count * SCALE))
  local first, last
  for tenth = 1, SAMPLES do
    for i = count * (tenth - 1) // SAMPLES + 1, count * tenth // SAMPLES do
      step(i)
    end
    last = measure()
    first = tenth <= WARM and last or first
    print(("%-34s %10d %9d %8d %8d %9d %9d %9d %6d"):format(title, count * tenth // SAMPLES, last.rss, last.objects,
      last.chunks, last.used, last.hot, last.processes, last.files))
  end
  check(title, "resident KiB", first.rss, last.rss, GROWTH_KIB)
  check(title, "chunks", first.chunks, last.chunks, SEGMENTS)
  check(title, "used KiB", first.used, last.used, 64 * SEGMENTS)
  for _, what in ipairs({ "objects", "processes" }) do
    check(title, what, first[what], last[what], 0)
  end
  check(title, "files", first.files, last.files, 1)
end

print(HEAD)

stage("queues made, used, dropped", 1000000, function(i)
  local q = mproc.Queue()
  q:put(i)
  assert(q:get(0) == i)
end)

stage("queues with a message over 32 KiB", 100000, function()
  local q = mproc.Queue()
  q:put(("x"):rep(40000))
  assert(#q:get(0) == 40000)
end)

stage("queues dropped full", 100000, function(i)
  local q = mproc.Queue()
  q:put({ i, mproc.Queue() })
  q:put(("x"):rep(40000))
end)

stage("messages that carry a queue", 100000, (function()
  local carrier = mproc.Queue()
  return function(i)
    local q = mproc.Queue()
    q:put(i)
    carrier:put(q)
    assert(carrier:get(0):get(0) == i)
  end
end)())

stage("processes started and joined", 100000, function()
  local p = mproc.Process(function() end):start()
  p:join()
  p:close()
end)

stage("processes killed in the middle", 10000, (function()
  local q = mproc.Queue()
  return function(i)
    local p = mproc.Process(function()
      while true do
        q:put(("x"):rep(i % 2 == 0 and 40000 or 10))
        q:get()
      end
    end):start()
    while q:empty() and p:is_alive() and i % 3 == 0 do
      mproc.sleep(0)
    end
    p:kill()
    p:join()
    p:close()
    while q:get(0) do -- luacheck: ignore 542
    end
  end
end)())

os.exit(not failed)
