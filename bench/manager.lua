-- SPDX-License-Identifier: MIT
-- Claim: a call of a manager's object takes a fifth of what it takes through a proxy of Python's managers. In
-- microseconds; the column "raw C" has a trip over two queues.

local harness = require("bench.harness")
local trips = require("bench.trips")
local mproc = require("mproc")

local BATCH = 200
local LEAST = 5 -- times Python's rate

local Counter = {}
Counter.__index = Counter

function Counter:add(k)
  self.n = self.n + k
  return self.n
end

harness.run({
  title = "manager's call (raw: a trip), us",
  better = "less",
  mproc = function()
    local m <close> = mproc.Manager({ Counter = function() return setmetatable({ n = 0 }, Counter) end })
    local counter = m:create("Counter")
    return trips.each(function(n)
      for _ = 1, n do
        counter:add(1)
      end
    end, BATCH)
  end,
  raw = function() return trips.over_queues(BATCH) end,
  python = harness.python("manager_call", 5000),
  reach = "<= 1/5 of Python's",
  reached = function(found)
    local python = found.sides.python
    return not python or python.ratio.median * LEAST <= 1
  end,
  show_others = true,
})
