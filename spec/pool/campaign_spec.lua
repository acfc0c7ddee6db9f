-- SPDX-License-Identifier: MIT
-- A short campaign against pools (soak/pool_campaign.lua); `make campaign` runs a longer one.

local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local LINE = "campaign: pools; (%d+) operations, (%d+) kills, (%d+) planned, %d+ abandoned, "
  .. "(%d+) lost, (%d+) twice, (%d+) hung"

describe("a pool whose workers are killed at random and at planned points", function()
  leaks.watch()

  it("ends each task exactly once", function()
    local result = program.file("soak/pool_campaign.lua", nil, { seconds = 100, env = "MP_KILLS=100" })
    assert.equal("", result.err)
    assert.equal(0, result.code)
    local operations, kills, planned, lost, twice, hung = result.out:match(LINE)
    assert.same({ "0", "0", "0" }, { lost, twice, hung })
    assert.is_true(tonumber(kills) >= 100 and tonumber(planned) > 0 and tonumber(operations) > tonumber(kills))
  end)
end)
