-- SPDX-License-Identifier: MIT
-- Claims: mproc.wait over 500 queues returns within a quarter of a millisecond of a message to one of them, the message
-- there and back included; and a second of waiting for 500 costs no more CPU than Python's.

local harness = require("bench.harness")
local mproc = require("mproc")

local MANY = 500
local BATCH = 100
local MOST_US, MOST_MS = 250, 5 -- MOST_MS: where Python is missing

local function make_queues()
  local queues = {}
  for i = 1, MANY do
    queues[i] = mproc.Queue()
  end
  return queues
end

-- Microseconds from a put, which says in which queue the answer is wanted, to the answer's get.
local function round_trip()
  local order, queues = mproc.Queue(), make_queues()
  local p = mproc.Process(function()
    for _, i in order:items() do
      queues[i]:put(i)
    end
  end):start()
  local began, done = mproc.time(), 0
  repeat
    for i = 1, BATCH do
      order:put(i * (MANY // BATCH))
      mproc.wait(queues)[1]:get()
    end
    done = done + BATCH
    local seconds = mproc.time() - began
  until seconds >= harness.SECONDS
  local each = (mproc.time() - began) / done * 1e6
  order:close()
  p:join()
  p:close()
  return each
end

-- Milliseconds of CPU in a second.
local function idle()
  local queues = make_queues()
  local before = os.clock()
  mproc.wait(queues, 1)
  return (os.clock() - before) * 1e3
end

harness.run({
  title = "wait for 500 queues, trip, us",
  better = "less",
  mproc = round_trip,
  python = harness.python("wait_many", 500),
  reach = "<= " .. MOST_US,
  reached = function(found) return found.median <= MOST_US end,
})

harness.run({
  title = "CPU of 1 s of that, idle, ms",
  better = "less",
  mproc = idle,
  python = harness.python("wait_idle", 1),
  reach = "<= Python",
  reached = function(found)
    return found.median <= (found.python or MOST_MS)
  end,
})
