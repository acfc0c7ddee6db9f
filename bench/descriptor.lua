-- SPDX-License-Identifier: MIT
-- Claim: a descriptor passed to a process that runs, and used there, takes 150 us at most: made, put, taken, fetched,
-- and answered. In microseconds; Python passes one by SCM_RIGHTS (send_handle).

local harness = require("bench.harness")
local trips = require("bench.trips")
local mproc = require("mproc")

local BATCH = 50
local MOST = 150

harness.run({
  title = "descriptor passed and used, us",
  better = "less",
  mproc = function()
    local there, back = mproc.Queue(), mproc.Queue()
    local p = mproc.Process(function()
      for _, d in there:items() do
        back:put(d:fileno())
        d:close()
      end
    end):start()
    local each = trips.each(function(n)
      for _ = 1, n do
        local d <close> = mproc.fd(0)
        there:put(d)
        back:get()
      end
    end, BATCH)
    there:close()
    p:join()
    p:close()
    return each
  end,
  python = harness.python("descriptor", 3000),
  reach = "<= 150",
  reached = function(found)
    return found.median <= MOST
  end,
  show_others = true,
})
