-- SPDX-License-Identifier: MIT
-- Claim: two processes that read one key read nearly twice as much as one does: readers take no lock and store nothing.
-- As a ratio of rounds that alternate; on a machine with two idle CPUs. And a get takes either of the two no more CPU
-- than the one alone, which a busy machine can tell, too: no cache line goes to and fro.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 3000000

-- Reads a second of all n processes together; and ns of CPU that a read took them.
local function reads(n)
  local d, ready, go = mproc.Dict{ hot = 1 }, mproc.Queue(), mproc.Event()
  local processes = harness.list(n, function()
    return mproc.Process(function()
      ready:put(true)
      go:wait()
      local began = os.clock()
      for _ = 1, COUNT do
        d:get("hot")
      end
      return (os.clock() - began) / COUNT * 1e9
    end):start()
  end)
  for _ = 1, n do
    ready:get()
  end
  local began, cpu = mproc.time(), 0
  go:set()
  for _, p in ipairs(processes) do
    cpu = cpu + assert(p:result())
    p:join()
  end
  return n * COUNT / (mproc.time() - began), cpu / n
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

harness.run({
  title = "CPU of a get of one key by two, times one's",
  better = "less",
  mproc = function()
    local _, two = reads(2)
    local _, one = reads(1)
    return two / one
  end,
  reach = "<= 1.1",
  reached = function(found)
    return found.median <= 1.1
  end,
})
