-- SPDX-License-Identifier: MIT
-- Claim: strings of 1 MiB from one process to another, at most 16 waiting. In GB/s.

local harness = require("bench.harness")
local raw = require("raw")

local COUNT = 8000
local RAW_COUNT, RAW_SLOTS = 20000, 4
local MAXSIZE = 16
local VALUE = ("x"):rep(1 << 20)

harness.run({
  title = "1 MiB strings, GB/s",
  better = "more",
  mproc = function()
    return harness.one_way(COUNT, MAXSIZE, function()
      return VALUE
    end) * #VALUE / 1e9
  end,
  raw = function()
    return RAW_COUNT / raw.stream(#VALUE, RAW_COUNT, RAW_SLOTS) * #VALUE / 1e9
  end,
  python = harness.python("mib_strings", 400),
  peers = { harness.peer("mce", "mib_strings", 500), harness.peer("cqueues", "mib_strings", 1000) },
  reach = ">= 8",
  reached = function(found)
    return found.median >= 8
  end,
})
