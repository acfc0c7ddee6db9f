-- SPDX-License-Identifier: MIT
-- Claim: a message and its answer over a duplex pipe take as long as over two queues, and a small part of what they
-- take over Python's Pipe. In microseconds; the column "raw C" has the queues'.

local harness = require("bench.harness")
local trips = require("bench.trips")
local mproc = require("mproc")

local BATCH = 2000
local MOST = 1.1 -- times what queues take

local function over_pipe()
  local here, there = mproc.Pipe()
  local p = mproc.Process(function(c)
    here:close()
    while true do
      local v, word = c:recv()
      if word then
        return
      end
      c:send(v)
    end
  end, there):start()
  there:close()
  local each = trips.each(function(n)
    for i = 1, n do
      here:send(i)
      here:recv()
    end
  end, BATCH)
  here:close()
  p:join()
  p:close()
  return each
end

harness.run({
  title = "pipe round trip, us",
  better = "less",
  mproc = over_pipe,
  raw = function() return trips.over_queues(BATCH) end,
  python = harness.python("pipe_round_trip", 5000),
  reach = "<= 1.1 x the queues'",
  reached = function(found) return found.ratio <= MOST end,
  show_others = true,
})
