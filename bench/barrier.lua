-- SPDX-License-Identifier: MIT
-- Claim: two processes meet at a barrier five times as often as at Python's. In thousands of rounds a second.

local harness = require("bench.harness")
local mproc = require("mproc")

local WARM_UP = 2000
local BATCH = 2000
local TIMES = 5

local function measure()
  local b = mproc.Barrier(2)
  local p = mproc.Process(function()
    repeat
      local index = b:wait()
    until not index
  end):start()
  local function rounds(n)
    for _ = 1, n do
      b:wait()
    end
  end
  rounds(WARM_UP)
  local began, done = mproc.time(), 0
  repeat
    rounds(BATCH)
    done = done + BATCH
  until mproc.time() - began >= harness.SECONDS
  local each = done / (mproc.time() - began) / 1e3
  b:abort()
  p:join()
  p:close()
  return each
end

harness.run({
  title = "barrier rounds of 2, k/s",
  better = "more",
  mproc = measure,
  python = harness.python("barrier", 20000),
  reach = "best idle >= 5 Python",
  reached = function(found)
    return not found.python or (found.idle_best or found.median) >= TIMES * found.python
  end,
  show_others = true,
})
