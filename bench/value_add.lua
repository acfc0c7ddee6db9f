-- SPDX-License-Identifier: MIT
-- Claim: v:add(1) from one process, atomic and in shared memory. In millions a second. Python's side is what it needs
-- for the same: `with v.get_lock(): v.value += 1`.

local harness = require("bench.harness")
local mproc = require("mproc")

local COUNT = 10000000

harness.run({
  title = "v:add(1), M/s",
  better = "more",
  mproc = function()
    local v = mproc.Value("integer")
    local began = mproc.time()
    for _ = 1, COUNT do
      v:add(1)
    end
    local seconds = mproc.time() - began
    assert(v.value == COUNT)
    return COUNT / seconds / 1e6
  end,
  python = harness.python("value_add", 300000),
  reach = ">= 15",
  reached = function(found)
    return found.median >= 15
  end,
})
