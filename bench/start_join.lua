-- SPDX-License-Identifier: MIT
-- Claim: starting and joining an empty process costs little more than fork and waitpid. In microseconds.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 400

local function nothing() end

harness.run({
  title = "start + join, us",
  better = "less",
  mproc = function()
    local began = mproc.time()
    for _ = 1, COUNT do
      local p = mproc.Process(nothing):start()
      p:join()
      p:close()
    end
    return (mproc.time() - began) / COUNT * 1e6
  end,
  raw = harness.lua("raw_side", COUNT),
  python = harness.python("start_join", COUNT),
  peers = { harness.peer("luv", "start_join", COUNT), harness.peer("cqueues", "start_join", COUNT) },
  reach = "<= 1.3 x raw",
  reached = function(found)
    return found.ratio <= 1.3
  end,
})
