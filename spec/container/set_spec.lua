-- SPDX-License-Identifier: MIT
-- mproc.Set and mproc.Namespace.

local blame = require("spec.support.blame")
local children = require("spec.support.children")
local leaks = require("spec.support.leaks")

describe("a set", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("has what is added, once", function()
    local s, q = mproc.Set{ "a", 2, 2.0, true }, mproc.Queue()
    assert.equal(3, #s)
    assert.is_true(s:add(q))
    assert.is_false(s:add(q))
    assert.is_true(s:has(q))
    assert.is_false(s:has("b"))
    assert.is_true(s:remove("a"))
    assert.is_false(s:remove("a"))
    assert.equal(3, #s)
    s:clear()
    assert.equal(0, #s)
  end)

  it("is walked, and copied", function()
    local s, n = mproc.Set(), 0
    for i = 1, 500 do
      s:add(i)
    end
    for x, v in pairs(s) do
      assert.is_true(v)
      n = n + x
    end
    assert.equal(500 * 501 // 2, n)
    assert.is_true(s:totable()[500])
    assert.truthy(tostring(s):find("^Set %d+: 500 entries$"))
  end)

  it("lets one of many processes add something", function()
    local s, won = mproc.Set(), mproc.Value("integer")
    children.four(function()
      for i = 1, 1000 do
        if s:add(i) then
          won:add(1)
        end
      end
    end)
    assert.equal(1000, won.value)
    assert.equal(1000, #s)
  end)

  it("says what is wrong", function()
    local s = mproc.Set()
    blame.caller(function() s.x = 1 end, "s:add(x)")
    blame.caller(function() s:add({}) end, "a table cannot be a key")
    blame.caller(function() s:add() end, "nil")
    blame.caller(function() mproc.Set("a") end, "takes a table")
    s:close()
    blame.caller(function() s:add(1) end, "closed")
  end)
end)

describe("a namespace", function()
  local mproc
  setup(function()
    mproc = require("mproc")
  end)
  leaks.watch()

  it("has every name as data", function()
    local ns = mproc.Namespace{ get = 1, close = 2 }
    ns.count = 0
    ns.count = ns.count + 1
    assert.equal(1, ns.get)
    assert.equal(2, ns.close)
    assert.equal(3, #ns)
    ns.get = nil
    assert.is_nil(ns.get)
    assert.truthy(tostring(ns):find("^Namespace %d+: 2 entries$"))
  end)

  it("is the same data as a Dict, in every process", function()
    local ns = mproc.Namespace()
    children.finish(children.start(function(inner, view)
      inner.a = { 1 }
      view:add("n", 5)
    end, ns, mproc.Dict(ns)))
    assert.same({ 1 }, ns.a)
    assert.equal(5, mproc.Dict(ns):get("n"))
    mproc.Dict(ns).m = 1
    assert.equal(1, ns.m)
    assert.equal(3, #mproc.Dict(ns))
  end)
end)
