-- SPDX-License-Identifier: MIT
-- Claim: strings of 1 KiB from one process to another. In millions a second.

local harness = require("bench.harness")
local raw = require("raw")

local COUNT = 2000000
local RAW_COUNT, RAW_SLOTS = 20000000, 4096
local VALUE = ("x"):rep(1024)

harness.run({
  title = "1 KiB strings, M/s",
  better = "more",
  mproc = function()
    return harness.one_way(COUNT, nil, function()
      return VALUE
    end) / 1e6
  end,
  raw = function()
    return RAW_COUNT / raw.stream(#VALUE, RAW_COUNT, RAW_SLOTS) / 1e6
  end,
  python = harness.python("kib_strings", 150000),
  peers = { harness.peer("mce", "kib_strings", 100000), harness.peer("cqueues", "kib_strings", 500000) },
  reach = ">= 3.5",
  reached = function(found)
    return found.median >= 3.5
  end,
})
