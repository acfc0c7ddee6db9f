-- SPDX-License-Identifier: MIT
-- An item of starmap that was no list killed the worker that took it, and the next one.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("starmap with an item that is no list", function()
  leaks.watch()

  it("fails that item, says what is wanted, and harms no worker", function()
    local pool <close> = mproc.Pool(1)
    local pids = pool:workers()
    for _, bad in ipairs({ 1, "ab", true }) do
      local ok, err = pcall(pool.starmap, pool, math.max, { { 1, 2 }, bad })
      assert.is_false(ok)
      assert.equal("string", type(err), tostring(err))
      assert.truthy(err:find("list of arguments", 1, true) and err:find("use map", 1, true), err)
    end
    assert.same({ 2, 7 }, pool:starmap(math.max, { { 1, 2 }, { 7, 3 } }))
    assert.same(pids, pool:workers())
  end)

  it("fails it with what its metamethods raise", function()
    local Class = { __index = function() error("no such argument") end }
    mproc.register("spec.StarmapItem", Class)
    local pool <close> = mproc.Pool(1)
    local pids = pool:workers()
    local ok, err = pcall(pool.starmap, pool, math.max, { { 1, 2 }, setmetatable({ 1 }, Class) })
    assert.is_false(ok)
    assert.truthy(tostring(err):find("no such argument", 1, true), err)
    assert.same(pids, pool:workers())
  end)
end)
