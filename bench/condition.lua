-- SPDX-License-Identifier: MIT
-- Claim: two processes that notify each other in turn over one condition take a tenth of Python's time: the waiter
-- sleeps on a word of its own, and a wait costs no message. In microseconds from notify to the answer's wake.

local harness = require("bench.harness")
local trips = require("bench.trips")
local raw = require("raw")
local mproc = require("mproc")

local BATCH = 500
local RAW_COUNT = 10000

local function measure()
  local c, ready = mproc.Condition(), mproc.Queue()
  local p = mproc.Process{ daemon = true, target = function()
    c:acquire()
    ready:put(true)
    while true do
      c:wait()
      c:notify()
    end
  end }:start()
  ready:get()
  local function run(n)
    for _ = 1, n do
      c:notify()
      c:wait()
    end
  end
  c:acquire()
  local each = trips.each(run, BATCH)
  p:kill()
  p:join()
  p:close()
  return each
end

harness.run({
  title = "condition round trip, us",
  better = "less",
  mproc = measure,
  raw = function()
    return raw.round_trip(RAW_COUNT, false) / RAW_COUNT * 1e6
  end,
  python = harness.python("condition", 5000),
  reach = "<= 1.3 x futex",
  reached = function(found)
    return found.ratio <= 1.3
  end,
})
