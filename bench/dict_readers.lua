-- SPDX-License-Identifier: MIT
-- Claim: two processes that read one key read nearly twice as much as one does: readers take no lock and store nothing.
-- As a ratio of rounds that alternate; on a machine with two idle CPUs.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 3000000

-- Reads a second of all n processes together.
local function reads(n)
  local d, ready, go = mproc.Dict{ hot = 1 }, mproc.Queue(), mproc.Event()
  local processes = harness.list(n, function()
    return mproc.Process(function()
      ready:put(true)
      go:wait()
      for _ = 1, COUNT do
        d:get("hot")
      end
    end):start()
  end)
  for _ = 1, n do
    ready:get()
  end
  local began = mproc.time()
  go:set()
  for _, p in ipairs(processes) do
    p:join()
  end
  return n * COUNT / (mproc.time() - began)
end

harness.run({
  title = "gets of one key by two processes, times one's",
  better = "more",
  mproc = function()
    return reads(2) / reads(1)
  end,
  reach = "best idle round >= 1.8",
  reached = function(found)
    return found.idle_best and found.idle_best >= 1.8
  end,
  show_others = true,
})
