-- SPDX-License-Identifier: MIT
-- What every benchmark shares. A claim has several sides (mproc, raw C, Python, other peers), measured in alternating
-- rounds; its row shows medians, the best round, the ratios with their spread, and whether the claim is reached. It is
-- printed and kept in bench/results.json.

package.cpath = (os.getenv("BUILD") or "build") .. "/bench/?.so;" .. package.cpath

local machine = require("bench.machine")
local mproc = require("mproc")
local results = require("bench.results")
local sides = require("bench.sides")
local statistics = require("bench.statistics")

local harness = {}

harness.ROUNDS = tonumber(os.getenv("BENCH_ROUNDS")) or 7
harness.SECONDS = 0.6 -- one measurement of one side
harness.peer = sides.peer
harness.lua = sides.lua
local IDLE_BELOW = 0.05 -- the share of all CPU time that others may use in an idle round
local ROW = "%-33s %9s %9s %9s %-18s %9s %-18s %6s  %-21s %s"

-- A figure of Python's multiprocessing, or nil without it.
function harness.python(...)
  return sides.peer("python", ...).run or nil
end

harness.median = statistics.median

local function show(value)
  if not value then
    return "-"
  end
  return value >= 100 and ("%.0f"):format(value) or value >= 10 and ("%.1f"):format(value) or ("%.2f"):format(value)
end

-- Median and quartiles.
local function show_spread(s)
  return s and ("%s (%s-%s)"):format(show(s.median), show(s.q1), show(s.q3)) or "-"
end

local function percent(share)
  return ("%.0f %%"):format(share * 100)
end

-- "others" is the median share of all CPUs that other programs used while mproc was measured. Ratios are mproc's
-- figure by the other's of the same round: median and quartiles.
function harness.header()
  print(ROW:format("", "mproc", "best of " .. harness.ROUNDS, "raw C", "x raw", "Python", "x Python", "others",
    "reach", ""))
end

-- All sides but mproc: { name, version, run } each, run being nil for those that are missing.
local function other_sides(claim)
  local all = {}
  if claim.raw then
    all[1] = { name = "raw", run = claim.raw }
  end
  if claim.python then
    all[#all + 1] = { name = "python", version = sides.peer("python").version, run = claim.python }
  end
  return table.move(claim.peers or {}, 1, #(claim.peers or {}), #all + 1, all)
end

-- Rounds in which all sides take turns: figures by side, and the shares that other programs used.
local function measure(claim, others)
  local figures, busy = { mproc = {} }, {}
  for round = 1, harness.ROUNDS do
    figures.mproc[round], busy[round] = machine.watching_others(claim.mproc)
    for _, side in ipairs(others) do
      if side.run then
        figures[side.name] = figures[side.name] or {}
        figures[side.name][round] = side.run()
      end
    end
  end
  return figures, busy
end

-- The best of the rounds in which the machine was idle, or nil.
local function idle_best(list, busy, better)
  local idle = {}
  for i, share in ipairs(busy) do
    idle[#idle + 1] = share < IDLE_BELOW and list[i] or nil
  end
  return #idle > 0 and statistics.best(idle, better) or nil
end

-- { side's name = { name, version, median, ratio, times } }: ratio is mproc's figure by its own; times, how many times
-- better mproc is.
local function compare(claim, figures, others)
  local found = {}
  for _, side in ipairs(others) do
    local theirs = figures[side.name]
    if theirs then
      local ratio = statistics.ratio(figures.mproc, theirs)
      found[side.name] = { name = side.name, version = side.version, median = statistics.median(theirs), ratio = ratio,
        times = claim.better == "less" and statistics.ratio(theirs, figures.mproc) or ratio }
    end
  end
  return found
end

local function missing(others)
  local names = {}
  for _, side in ipairs(others) do
    names[#names + 1] = not side.run and side.name or nil
  end
  return names
end

-- The order of the list of sides, without raw C and Python, which have columns of their own.
local function listed(others, compared)
  local list = {}
  for _, side in ipairs(others) do
    if side.name ~= "raw" and side.name ~= "python" then
      list[#list + 1] = compared[side.name]
    end
  end
  return list
end

-- Prints a row as it is kept.
function harness.print_row(row)
  local raw, python = row.raw or {}, row.python or {}
  print(ROW:format(row.title, show(row.median), show(row.best), show(raw.median), show_spread(raw.ratio),
    show(python.median), show_spread(python.ratio), percent(statistics.median(row.others)), row.reach,
    row.reached == nil and "" or row.reached and "yes" or "NO"))
  for _, peer in ipairs(row.peers) do
    print(("  %-31s %9s   mproc is %s times as good"):format(peer.name, show(peer.median), show_spread(peer.times)))
  end
  if #row.missing > 0 then
    print("  left out, not installed: " .. table.concat(row.missing, ", "))
  end
end

local function print_others(busy)
  local shares = {}
  for i, share in ipairs(busy) do
    shares[i] = percent(share)
  end
  print("  CPU used by other programs in each round: " .. table.concat(shares, ", "))
end

-- { f(1), … f(n) }, or the numbers themselves.
function harness.list(n, f)
  local list = {}
  for i = 1, n do
    list[i] = f and f(i) or i
  end
  return list
end

-- The name of the program that runs.
function harness.program()
  return ((arg and arg[0] or "?"):match("[^/]*$"):gsub("%.lua$", ""))
end

function harness.date()
  return os.date("!%Y-%m-%dT%H:%M:%SZ")
end

-- claim: title (its last word after a comma is the unit), better ("less" or "more"), mproc (a function that returns a
-- figure), raw and python (the same, or nil or false), peers (list of harness.peer), reach (words), reached (a function
-- of { median, best, worst, idle_best, ratio, python, sides } -> boolean; left out: nothing is claimed), show_others.
function harness.run(claim)
  local others = other_sides(claim)
  local figures, busy = measure(claim, others)
  local compared = compare(claim, figures, others)
  local raw, python = compared.raw, compared.python
  local row = {
    claim = harness.program(), title = claim.title, unit = claim.title:match(", ([^,]+)$"), better = claim.better,
    median = statistics.median(figures.mproc), best = statistics.best(figures.mproc, claim.better),
    spread = statistics.spread(figures.mproc), rounds = figures.mproc, raw = raw, python = python,
    peers = listed(others, compared), missing = missing(others), reach = claim.reach or "", others = busy,
    date = harness.date(), machine = machine.facts(),
  }
  row.reached = claim.reached and not not claim.reached({
    median = row.median,
    best = row.best,
    worst = statistics.best(figures.mproc, claim.better == "less" and "more" or "less"),
    idle_best = idle_best(figures.mproc, busy, claim.better),
    ratio = raw and raw.ratio.median,
    python = python and python.median,
    sides = compared,
  })
  results.keep(row)
  if not os.getenv("BENCH_ROWS_ONLY") then
    harness.header()
  end
  harness.print_row(row)
  if claim.show_others then
    print_others(busy)
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
