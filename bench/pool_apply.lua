-- SPDX-License-Identifier: MIT
-- Claim: apply takes no longer than three round trips of a bare queue (its "raw" side here). In microseconds.

local harness = require("bench.harness")
local trips = require("bench.trips")
local mproc = require("mproc")

local BATCH = 200

local function identity(x)
  return x
end

harness.run({
  title = "apply (raw: a queue's trip), us",
  better = "less",
  mproc = function()
    local pool <close> = mproc.Pool(1)
    local args = { 1 }
    return trips.each(function(n)
      for _ = 1, n do
        pool:apply(identity, args)
      end
    end, BATCH)
  end,
  raw = function() return trips.over_queues(BATCH) end,
  python = harness.python("pool_apply", 3000),
  peers = { harness.peer("futures", "pool_apply", 2000), harness.peer("luv", "pool_apply", 10000) },
  reach = "<= 3 x the queue's",
  reached = function(found)
    return found.ratio <= 3
  end,
})
