-- SPDX-License-Identifier: MIT
-- What the benchmarks' figures go through before anybody reads them.

local json = require("bench.json")
local leaks = require("spec.support.leaks")
local statistics = require("bench.statistics")

describe("the benchmarks' tools", function()
  leaks.watch()

  it("read back what they write", function()
    local row = { title = '"b"\\c\n', list = { 1, 2.5, -3e-7 }, empty = {}, yes = true, no = false, t = { x = 1 } }
    assert.same(row, json.read(json.write(row)))
  end)

  it("leave out what JSON cannot say", function()
    assert.same({ x = 1 }, json.read(json.write({ x = 1, nan = 0 / 0, inf = math.huge })))
  end)

  it("refuse a file that is cut off", function()
    assert.has_error(function()
      json.read('[{"a":1}')
    end)
  end)

  it("find median and quartiles of any number of rounds", function()
    assert.same({ median = 2.5, q1 = 1.75, q3 = 3.25, min = 1, max = 4 }, statistics.spread({ 4, 1, 3, 2 }))
    assert.same({ median = 7, q1 = 7, q3 = 7, min = 7, max = 7 }, statistics.spread({ 7 }))
  end)

  it("compare figures of the same round only", function()
    assert.equal(2, statistics.ratio({ 2, 20, 200 }, { 1, 10, 100 }).median)
  end)

  it("know which end is the best", function()
    assert.equal(1, statistics.best({ 3, 1, 2 }, "less"))
    assert.equal(3, statistics.best({ 3, 1, 2 }, "more"))
  end)
end)
