-- SPDX-License-Identifier: MIT
-- Claim: integers from one process to another, one put and one get each. In millions a second.

local harness = require("bench.harness")
local raw = require("raw")

local COUNT = 5000000
local RAW_COUNT, RAW_SLOTS = 30000000, 4096

harness.run({
  title = "integers, M/s",
  better = "more",
  mproc = function()
    return harness.one_way(COUNT, nil, function(i)
      return i
    end) / 1e6
  end,
  raw = function()
    return RAW_COUNT / raw.stream(8, RAW_COUNT, RAW_SLOTS) / 1e6
  end,
  python = harness.python("integers", 200000),
  peers = { harness.peer("mce", "integers", 100000), harness.peer("cqueues", "integers", 1000000) },
  reach = ">= 14",
  reached = function(found)
    return found.median >= 14
  end,
})
