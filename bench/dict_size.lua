-- SPDX-License-Identifier: MIT
-- Claims: an entry of two integers takes 60 bytes of memory at most; no set of 4 million takes over 5 ms, although
-- tables are copied as they grow; a Dict that is drained gives its memory back, and an empty one is two pages at most.

local harness = require("bench.harness")

local function bounded(title, job, most)
  harness.run({
    title = title,
    better = "less",
    mproc = harness.lua("dict_side", job),
    reach = "<= " .. most,
    reached = function(found)
      return found.median <= most
    end,
  })
end

bounded("4 M integers, bytes an entry resident", "entry", 60)
bounded("the longest of 4 M sets, ms of CPU", "worst_set", 5)
bounded("a Dict, 4 M set and deleted, KiB", "drained", 64)
bounded("an empty Dict, KiB", "empty", 8)
