-- SPDX-License-Identifier: MIT
-- Claim: chunks chosen by measured time are no more than 15 % slower than the best fixed chunksize, whatever the tasks
-- take. One row per kind of task; its figure is seconds with automatic chunks, "raw" those of the fixed size that did
-- best. Each is the median of a few runs: the best of many sizes' single runs would be luck.

local harness = require("bench.harness")
local mproc = require("mproc")

local WORKERS = 2
local RUNS = 3
local SIZES = { 1, 2, 8, 32, 128, 512, 2048 }

-- Busy for so many seconds of this machine's own time.
local function busy(seconds)
  local ends = mproc.time() + seconds
  repeat until mproc.time() >= ends
end

local KINDS = {
  { "1 us", harness.list(100000, function() return 1e-6 end) },
  { "100 us", harness.list(5000, function() return 1e-4 end) },
  { "10 ms", harness.list(60, function() return 1e-2 end) },
  { "mixed sizes", harness.list(3000, function(i) return i % 100 == 0 and 1e-2 or i % 10 == 0 and 5e-4 or 1e-6 end) },
  { "long ones last", harness.list(20000, function(i) return i > 19960 and 1e-2 or 1e-6 end) },
}

local function seconds_of(pool, items, chunksize)
  local seconds = {}
  for k = 1, RUNS do
    local began = mproc.time()
    pool:map(busy, items, chunksize)
    seconds[k] = mproc.time() - began
  end
  return harness.median(seconds)
end

for _, kind in ipairs(KINDS) do
  local name, items = kind[1], kind[2]
  harness.run({
    title = ("auto chunks, %s, s"):format(name),
    better = "less",
    mproc = function()
      local pool <close> = mproc.Pool(WORKERS)
      pool:map(busy, { 0, 0, 0, 0 })
      return seconds_of(pool, items)
    end,
    raw = function()
      local pool <close> = mproc.Pool(WORKERS)
      pool:map(busy, { 0, 0, 0, 0 })
      local best = math.huge
      for _, chunksize in ipairs(SIZES) do
        if chunksize <= #items then
          best = math.min(best, seconds_of(pool, items, chunksize))
        end
      end
      return best
    end,
    reach = "<= 1.15 x the best",
    reached = function(found)
      return found.ratio <= 1.15
    end,
  })
end
