-- SPDX-License-Identifier: MIT
-- What every benchmark shares. A claim has up to three sides (mproc, raw C, Python), measured in alternating rounds;
-- its row shows medians, the best round, the ratios, and whether the claim is reached.

package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath

local mproc = require("mproc")

local harness = {}

harness.ROUNDS = tonumber(os.getenv("BENCH_ROUNDS")) or 7
harness.SECONDS = 0.6 -- one measurement of one side
local IDLE_BELOW = 0.05 -- the share of all CPU time that others may use in an idle round
local PYTHON = os.getenv("PYTHON") or "python3"
local LUA = os.getenv("LUA") or "lua5.4"
local ROW = "%-33s %10s %10s %10s %7s %10s %8s %7s  %-21s %s"

local function has(command)
  return (os.execute("command -v " .. command .. " >/dev/null 2>&1"))
end

local python_found = has(PYTHON)

-- Runs a command that prints one number.
local function number_from(command)
  local pipe <close> = assert(io.popen(command))
  local text = pipe:read("a")
  return tonumber(text) or error("no number from " .. command .. ": " .. text)
end

function harness.python(...)
  local words = { PYTHON, "bench/python_side.py", ... }
  return python_found and function()
    return number_from(table.concat(words, " "))
  end
end

-- A side that needs an interpreter without mproc in it.
function harness.plain_lua(...)
  local words = { LUA, "bench/raw_side.lua", ... }
  return function()
    return number_from(table.concat(words, " "))
  end
end

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

function harness.median(list)
  local s = sorted(list)
  local middle = (#s + 1) // 2
  return #s % 2 == 1 and s[middle] or (s[middle] + s[middle + 1]) / 2
end

function harness.best(list, better)
  local s = sorted(list)
  return better == "less" and s[1] or s[#s]
end

-- The median over rounds of mproc's figure by the other's, of the same round.
local function ratio(ours, theirs)
  if #theirs == 0 then
    return nil
  end
  local ratios = {}
  for i = 1, #ours do
    ratios[i] = ours[i] / theirs[i]
  end
  return harness.median(ratios)
end

local function cpu_times()
  local file <close> = io.open("/proc/stat")
  local fields = {}
  for n in (file and file:read("l") or ""):gmatch("%d+") do
    fields[#fields + 1] = tonumber(n)
  end
  local total = 0
  for i = 1, math.min(#fields, 8) do
    total = total + fields[i]
  end
  local own = 0
  local self <close> = assert(io.open("/proc/self/stat"))
  local rest = self:read("a"):match("%)(.*)")
  local at = 0
  for field in rest:gmatch("%S+") do
    at = at + 1
    if at >= 12 and at <= 15 then -- utime stime cutime cstime
      own = own + tonumber(field)
    end
  end
  return { total = total, idle = (fields[4] or 0) + (fields[5] or 0), own = own }
end

-- Calls f; returns its result and the share of all CPUs that other programs used meanwhile.
local function watching_others(f)
  local before = cpu_times()
  local result = f()
  local after = cpu_times()
  local total = after.total - before.total
  local busy = total - (after.idle - before.idle)
  return result, total > 0 and math.max(0, (busy - (after.own - before.own)) / total) or 0
end

local function show(value)
  if not value then
    return "-"
  end
  return value >= 100 and ("%.0f"):format(value) or value >= 10 and ("%.1f"):format(value) or ("%.2f"):format(value)
end

local function percent(share)
  return ("%.0f %%"):format(share * 100)
end

-- "others" is the median share of all CPUs that other programs used while mproc was measured.
function harness.header()
  print(ROW:format("", "mproc", "best of " .. harness.ROUNDS, "raw C", "x raw", "Python", "x Python", "others",
    "reach", ""))
end

-- claim: title, better ("less" or "more"), mproc (a function that returns a figure), raw and python (the same, or nil
-- or false), reach (words), reached (a function of { median, best, worst, idle_best, ratio, python } -> boolean).
function harness.run(claim)
  local ours, raw, python, others, idle = {}, {}, {}, {}, {}
  for round = 1, harness.ROUNDS do
    ours[round], others[round] = watching_others(claim.mproc)
    if others[round] < IDLE_BELOW then
      idle[#idle + 1] = ours[round]
    end
    raw[round] = claim.raw and claim.raw() or nil
    python[round] = claim.python and claim.python() or nil
  end
  local found = {
    median = harness.median(ours),
    best = harness.best(ours, claim.better),
    worst = harness.best(ours, claim.better == "less" and "more" or "less"),
    idle_best = #idle > 0 and harness.best(idle, claim.better) or nil,
    ratio = ratio(ours, raw),
    python = #python > 0 and harness.median(python) or nil,
  }
  if not os.getenv("BENCH_ROWS_ONLY") then
    harness.header()
  end
  local reached = claim.reached(found) and "yes" or "NO"
  print(ROW:format(claim.title, show(found.median), show(found.best),
    #raw > 0 and show(harness.median(raw)) or "-", show(found.ratio),
    #python > 0 and show(harness.median(python)) or "-", show(ratio(ours, python)),
    percent(harness.median(others)), claim.reach, reached))
  if claim.show_others then
    local shares = {}
    for i, share in ipairs(others) do
      shares[i] = percent(share)
    end
    print("  CPU used by other programs in each round: " .. table.concat(shares, ", "))
  end
end

-- Messages a second from a child to this process: `count` of what value_of(i) gives. The clock starts when both are
-- ready and stops when the last one is here.
function harness.one_way(count, maxsize, value_of)
  local q, ready, go = mproc.Queue(maxsize), mproc.Queue(), mproc.Queue()
  local p = mproc.Process(function()
    ready:put(true)
    go:get()
    for i = 1, count do
      q:put(value_of(i))
    end
  end):start()
  ready:get()
  local began = mproc.time()
  go:put(true)
  for _ = 1, count do
    q:get()
  end
  local seconds = mproc.time() - began
  p:join()
  p:close()
  return count / seconds
end

return harness
