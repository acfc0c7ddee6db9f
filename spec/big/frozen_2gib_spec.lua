-- SPDX-License-Identifier: MIT
-- A frozen graph of more than 2 GiB: places beyond 32 bits; it is read in place by a child, and all of its memory comes
-- back.

local children = require("spec.support.children")
local leaks = require("spec.support.leaks")

local TEXT = ("x"):rep(100 << 20)

describe("a frozen graph of more than 2 GiB", function()
  leaks.watch()

  it("is made, read in place, and given back", function()
    local mproc = require("mproc")
    local t = { first = "first" }
    for i = 1, 22 do
      t[i] = { id = i, text = TEXT .. i, list = { i, i + 0.5 } }
    end
    t.self, t.last = t, "last"
    local f = assert(mproc.freeze(t))
    t = nil -- luacheck: ignore 311
    collectgarbage()
    assert.is_true(mproc.frozen_info(f).bytes > 2 << 30)
    local sums = children.results(children.start(function(g)
      local sum = 0
      for i = 1, 22 do
        local text = g(i, "text")
        assert(#text == (100 << 20) + #tostring(i) and text:sub(-#tostring(i)) == tostring(i))
        sum = sum + g[i].id + g(i, "list", 2)
      end
      return sum + (rawequal(g.self, g) and 1000 or 0) + #g.last
    end, f))
    assert.equal(22 * 23 + 11 + 1000 + 4, sums)
    f = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
  end)
end)
