-- SPDX-License-Identifier: MIT
-- Claim: a pool of two maps the identity over 20,000 items, each a chunk of its own. In millions of tasks a second.

local harness = require("bench.harness")
local mproc = require("mproc")

local ITEMS, WORKERS, WARM_UP = 20000, 2, 3

local items = harness.list(ITEMS)

local function identity(x)
  return x
end

harness.run({
  title = "pool map, chunksize 1, M tasks/s",
  better = "more",
  mproc = function()
    local pool <close> = mproc.Pool(WORKERS)
    for _ = 1, WARM_UP do
      pool:map(identity, items, 1)
    end
    local began, maps = mproc.time(), 0
    repeat
      assert(#pool:map(identity, items, 1) == ITEMS)
      maps = maps + 1
    until mproc.time() - began >= harness.SECONDS
    return maps * ITEMS / (mproc.time() - began) / 1e6
  end,
  python = harness.python("pool_map", ITEMS),
  peers = {
    harness.peer("futures", "pool_map", 5000),
    harness.peer("mce", "pool_map", 10000),
    harness.peer("ruby", "pool_map", 20000),
    harness.peer("luv", "pool_map", 100000),
  },
  reach = ">= 2.5",
  reached = function(found)
    return found.median >= 2.5
  end,
})
