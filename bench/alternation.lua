-- SPDX-License-Identifier: MIT
-- Claim: two processes that take turns by two semaphores, each waiting for the other's every time. In rounds a second,
-- a round being one turn of each.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 500000

harness.run({
  title = "strict alternation, rounds/s",
  better = "more",
  mproc = function()
    local ping, pong = mproc.Semaphore(0), mproc.Semaphore(0)
    local p = mproc.Process(function()
      pong:release()
      for _ = 1, COUNT do
        ping:acquire()
        pong:release()
      end
    end):start()
    pong:acquire() -- the other one is there
    local began = mproc.time()
    for _ = 1, COUNT do
      ping:release()
      pong:acquire()
    end
    local seconds = mproc.time() - began
    p:join()
    p:close()
    return COUNT / seconds
  end,
  python = harness.python("alternation", 20000),
  reach = ">= 3 x Python",
  reached = function(found)
    return found.python and found.median >= 3 * found.python
  end,
})
