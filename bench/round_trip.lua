-- SPDX-License-Identifier: MIT
-- Claim: a message and its answer between two processes take a microsecond while both spin, and hardly more than
-- two futex wakes when they sleep (MPROC_SPIN=0 in the environment). In microseconds.
-- Those that sleep share one CPU, so that each message is one sleep and one wake on either side of the comparison. On
-- two CPUs a trip is mostly the time in which an idle CPU wakes up, and the raw side skips sleeps by chance: an answer
-- that comes before it has fallen asleep costs it a quarter.

local harness = require("bench.harness")
local trips = require("bench.trips")
local raw = require("raw")

local SPINNING = os.getenv("MPROC_SPIN") ~= "0"
local BATCH = SPINNING and 2000 or 200
local RAW_COUNT = SPINNING and 1000000 or 10000

if not SPINNING then
  raw.one_cpu()
end

harness.run({
  title = SPINNING and "queue round trip, us" or "the same, asleep, one CPU, us",
  better = "less",
  mproc = function() return trips.over_queues(BATCH) end,
  raw = function()
    return raw.round_trip(RAW_COUNT, SPINNING) / RAW_COUNT * 1e6
  end,
  python = SPINNING and harness.python("round_trip", 5000),
  peers = SPINNING and {
    harness.peer("mce", "round_trip", 20000),
    harness.peer("cqueues", "round_trip", 10000),
  },
  reach = SPINNING and "best idle round <= 1" or "<= 1.3 x futex",
  reached = function(found)
    if SPINNING then
      return found.idle_best and found.idle_best <= 1
    end
    return found.ratio <= 1.3
  end,
  show_others = SPINNING,
})
