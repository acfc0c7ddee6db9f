-- SPDX-License-Identifier: MIT
-- Claims: loading mproc takes 2 ms of CPU and 2 MiB; a queue takes 8 KiB, unused or used once; an idle pool, 1 ms of
-- CPU a second. And what a start takes beside a heap of 2 GiB: what fork takes to copy the page tables, the time for
-- which both programs are stopped, and little more.

local harness = require("bench.harness")

local function at_most(most)
  return function(found)
    return found.median <= most
  end
end

-- Figures that are bounded by themselves: title, what bench/startup_side.lua measures, the most, and what Python takes.
local function bounded(title, measured, most, python)
  harness.run({
    title = title,
    better = "less",
    mproc = harness.lua("startup_side", measured),
    peers = python and { harness.peer("import", python) },
    reach = "<= " .. most,
    reached = at_most(most),
  })
end

bounded("require mproc, ms of CPU", "require", 2, "ms")
bounded("require mproc, KiB resident", "resident", 2048, "kib")
bounded("a queue, unused, KiB resident", "queue", 8)
bounded("a queue, used once, KiB resident", "used_queue", 8)
bounded("idle pool of 2, ms of CPU a second", "idle_pool", 1)

harness.run({
  title = "start + join beside 2 GiB, ms",
  better = "less",
  mproc = harness.lua("startup_side", "start"),
  raw = harness.lua("startup_side", "fork"),
  reach = "<= 1.3 x raw",
  reached = function(found)
    return found.ratio <= 1.3
  end,
})
