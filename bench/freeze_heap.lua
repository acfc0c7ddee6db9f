-- SPDX-License-Identifier: MIT
-- Claim: of a heap frozen by mproc.freeze_heap(), children copy next to nothing, and they are not slower for it. Beside
-- it, in the column of raw C, the same children of a plain fork. Two processes build the same heap, one freezes it.

local harness = require("bench.harness")
local mproc = require("mproc")
local smaps = require("spec.support.smaps")

local GIB = 2 ^ 30
local KEEP_MIB, GARBAGE = 200, 1e7
local SIZES = { { mib = 200, name = "200 MB" }, { mib = 2048, name = "2 GB", needs = 8 * GIB } }

local function lua_mib()
  return collectgarbage("count") / 1024
end

local function build(mib)
  local list, i = {}, 0
  while lua_mib() < mib do
    for _ = 1, 1000 do
      i = i + 1
      list[i] = { id = i, name = "name " .. i, tags = { i, i + 1, i + 2 }, position = { x = i * 0.5, y = 1 } }
    end
  end
  return list
end

local works = {}

function works.garbage()
  local t
  for i = 1, GARBAGE do
    t = { i }
  end
  return t
end

function works.keep()
  local kept, i, full = {}, 0, lua_mib() + KEEP_MIB
  while lua_mib() < full do
    for _ = 1, 1000 do
      i = i + 1
      kept[i] = { i, i }
    end
  end
  return kept
end

function works.nothing() end

-- In the process that has the heap: a child does the work, and waits until its memory has been looked at.
local function measure(work)
  local done, go = mproc.Queue(), mproc.Queue()
  local before, began = smaps.anonymous(), mproc.time()
  local p = mproc.Process(function()
    local clock = os.clock()
    local kept = works[work]()
    done:put(os.clock() - clock)
    go:get()
    return kept and #kept
  end):start()
  local start = mproc.time() - began
  local seconds = done:get()
  local copied, all = smaps.copied(before, p.pid)
  go:put(true)
  p:join()
  return { copied = copied / all * 100, seconds = seconds, start = start * 1e3 }
end

local function holder(mib, frozen, requests, answers)
  local list, took = build(mib), 0
  if frozen then
    local began = mproc.time()
    assert(mproc.freeze_heap())
    took = mproc.time() - began
  end
  answers:put(took)
  for _, work in requests:items() do
    answers:put(measure(work))
  end
  return #list
end

-- A function that measures that work, and one that gives a field of what it measured, in the same order.
local function side(mib, frozen)
  local requests, answers = mproc.Queue(), mproc.Queue()
  local process = mproc.Process(holder, mib, frozen, requests, answers):start()
  local took = answers:get()
  local found = {}
  return {
    took = took,
    measure = function(work, field)
      requests:put(work)
      local figures = answers:get()
      found[work] = found[work] or {}
      table.insert(found[work], figures)
      return figures[field]
    end,
    recall = function(work, field)
      local figures = table.remove(found[work], 1)
      table.insert(found[work], figures)
      return figures[field]
    end,
    close = function()
      requests:close()
      process:join()
      process:close()
    end,
  }
end

local function rows(size, frozen, plain)
  for _, work in ipairs({ "garbage", "keep" }) do
    harness.run({
      title = ("freeze %s, %s, %% copied"):format(size.name, work),
      better = "less",
      mproc = function() return frozen.measure(work, "copied") end,
      raw = function() return plain.measure(work, "copied") end,
      reach = "<= 5, worst <= 15",
      reached = function(found) return found.median <= 5 and found.worst <= 15 end,
    })
    harness.run({
      title = ("freeze %s, %s, CPU s"):format(size.name, work),
      better = "less",
      mproc = function() return frozen.recall(work, "seconds") end,
      raw = function() return plain.recall(work, "seconds") end,
      reach = "<= 1 x plain",
      reached = function(found) return found.ratio <= 1 end,
    })
  end
  harness.run({
    title = ("freeze %s, start, ms"):format(size.name),
    better = "less",
    mproc = function() return frozen.measure("nothing", "start") end,
    raw = function() return plain.measure("nothing", "start") end,
    reach = "<= 2 x plain",
    reached = function(found) return found.ratio <= 2 end,
  })
end

local function available()
  local file <close> = assert(io.open("/proc/meminfo"))
  return tonumber(file:read("a"):match("MemAvailable:%s+(%d+)")) * 1024
end

for _, size in ipairs(SIZES) do
  if size.needs and available() < size.needs then
    print(("freeze %s: left out, %.1f GiB of memory are available and it needs %.0f"):format(size.name,
      available() / GIB, size.needs / GIB))
  else
    local plain, frozen = side(size.mib, false), side(size.mib, true)
    rows(size, frozen, plain)
    print(("  freezing %s took %.2f s"):format(size.name, frozen.took))
    plain.close()
    frozen.close()
  end
end
