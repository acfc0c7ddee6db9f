-- SPDX-License-Identifier: MIT
-- Claim: a message and its answer over a duplex pipe take as long as over two queues, and a small part of what they
-- take over Python's Pipe. In microseconds; the column "raw C" has the queues'.

local harness = require("bench.harness")
local mproc = require("mproc")

local WARM_UP = 2000
local BATCH = 2000
local MOST = 1.1 -- times what queues take

-- Microseconds for one trip, measured for a while.
local function time_trips(trips)
  trips(WARM_UP)
  local began, done = mproc.time(), 0
  repeat
    trips(BATCH)
    done = done + BATCH
  until mproc.time() - began >= harness.SECONDS
  return (mproc.time() - began) / done * 1e6
end

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
  local each = time_trips(function(n)
    for i = 1, n do
      here:send(i)
      here:recv()
    end
  end)
  here:close()
  p:join()
  p:close()
  return each
end

local function over_queues()
  local there, back = mproc.Queue(), mproc.Queue()
  local p = mproc.Process(function()
    for _, v in there:items() do
      back:put(v)
    end
  end):start()
  local each = time_trips(function(n)
    for i = 1, n do
      there:put(i)
      back:get()
    end
  end)
  there:close()
  p:join()
  p:close()
  return each
end

harness.run({
  title = "pipe round trip, us",
  better = "less",
  mproc = over_pipe,
  raw = over_queues,
  python = harness.python("pipe_round_trip", 5000),
  reach = "<= 1.1 x the queues'",
  reached = function(found) return found.ratio <= MOST end,
  show_others = true,
})
