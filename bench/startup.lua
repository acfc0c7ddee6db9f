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

harness.run({
  title = "require mproc, ms of CPU",
  better = "less",
  mproc = harness.lua("startup_side", "require"),
  peers = { harness.peer("import", "ms") },
  reach = "<= 2",
  reached = at_most(2),
})

harness.run({
  title = "require mproc, KiB resident",
  better = "less",
  mproc = harness.lua("startup_side", "resident"),
  peers = { harness.peer("import", "kib") },
  reach = "<= 2048",
  reached = at_most(2048),
})

harness.run({
  title = "a queue, unused, KiB resident",
  better = "less",
  mproc = harness.lua("startup_side", "queue"),
  reach = "<= 8",
  reached = at_most(8),
})

harness.run({
  title = "a queue, used once, KiB resident",
  better = "less",
  mproc = harness.lua("startup_side", "used_queue"),
  reach = "<= 8",
  reached = at_most(8),
})

harness.run({
  title = "idle pool of 2, ms of CPU a second",
  better = "less",
  mproc = harness.lua("startup_side", "idle_pool"),
  reach = "<= 1",
  reached = at_most(1),
})

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
