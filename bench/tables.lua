-- SPDX-License-Identifier: MIT
-- Claim: small tables from one process to another. In millions a second.

local harness = require("bench.harness")

local COUNT = 1000000
local VALUE = { id = 1, name = "x", tags = { 1, 2, 3 } }

harness.run({
  title = '{id=1,name="x",tags={1,2,3}}, M/s',
  better = "more",
  mproc = function()
    return harness.one_way(COUNT, nil, function()
      return VALUE
    end) / 1e6
  end,
  python = harness.python("tables", 200000),
  peers = { harness.peer("mce", "tables", 100000), harness.peer("cqueues", "tables", 300000) },
  reach = ">= 1.5",
  reached = function(found)
    return found.median >= 1.5
  end,
})
