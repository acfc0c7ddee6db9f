-- SPDX-License-Identifier: MIT
-- Calls gave more results than they document, or none for nil: what is passed on then is another argument, and tostring
-- raises.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("what is documented as one result", function()
  leaks.watch()

  local function count(...)
    return select("#", ...)
  end

  it("is one, of all that makes containers", function()
    assert.equal(1, count(mproc.Dict()))
    assert.equal(1, count(mproc.Dict({ a = 1 })))
    assert.equal(1, count(mproc.List({ 1 })))
    assert.equal(1, count(mproc.Set({ 1 })))
    assert.equal(1, count(mproc.Namespace({ a = 1 })))
  end)

  it("is nil where nothing is found", function()
    local list, frozen = mproc.List(), mproc.freeze({ a = 1 })
    assert.equal("nil", tostring(list:pop()))
    assert.equal("nil", tostring(list:shift()))
    assert.equal("nil", tostring(list:remove()))
    assert.equal("nil", tostring(list:index(1)))
    assert.equal("nil", tostring(frozen("b")))
    assert.equal("nil", tostring(frozen("a", "b")))
    assert.equal("nil", tostring(mproc.Lock():owner()))
  end)

  it("is true of a pool that was resized, and the list of mproc.wait", function()
    local pool <close> = mproc.Pool(1)
    assert.equal(1, count(pool:resize(1)))
    local event = mproc.Event()
    event:set()
    assert.equal(1, count(mproc.wait({ event })))
  end)

  it("lets a List that is made in place be a pool's items", function()
    local pool <close> = mproc.Pool(1)
    assert.same({ 2, 4 }, pool:map(function(x) return 2 * x end, mproc.List({ 1, 2 })))
  end)
end)
