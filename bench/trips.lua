-- SPDX-License-Identifier: MIT
-- How long a trip there and back takes, in microseconds; and the trip over two queues, which several claims are
-- measured by.

local harness = require("bench.harness")
local mproc = require("mproc")

local trips = {}

local WARM_UP = 2000

-- Microseconds of one trip; run(n) makes n of them, `batch` between two looks at the clock.
function trips.each(run, batch)
  run(WARM_UP)
  local began, done, seconds = mproc.time(), 0
  repeat
    run(batch)
    done = done + batch
    seconds = mproc.time() - began
  until seconds >= harness.SECONDS
  return seconds / done * 1e6
end

-- The same of a message and its answer.
function trips.over_queues(batch)
  local there, back = mproc.Queue(), mproc.Queue()
  local p = mproc.Process(function()
    for _, v in there:items() do
      back:put(v)
    end
  end):start()
  local each = trips.each(function(n)
    for i = 1, n do
      there:put(i)
      back:get()
    end
  end, batch)
  there:close()
  p:join()
  p:close()
  return each
end

return trips
