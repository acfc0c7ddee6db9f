-- SPDX-License-Identifier: MIT
-- A guard that an error kept from its variable, or whose coroutine nobody has any more, held its lock for good.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("what a scope holds", function()
  leaks.watch()

  local function collect()
    collectgarbage()
    collectgarbage()
  end

  local function held_elsewhere(object)
    local p <close> = mproc.Process(function() return (object:acquire(0)) end):start()
    return not p:result(20)
  end

  for _, name in ipairs({ "Lock", "RLock", "Condition", "BoundedSemaphore" }) do
    it("is let go when the guard is collected: " .. name, function()
      local object = mproc[name]()
      object:guard()
      assert.is_true(held_elsewhere(object))
      collect()
      assert.is_false(held_elsewhere(object))
    end)

    it("is let go when the coroutine is collected in which the function waits: " .. name, function()
      local object = mproc[name]()
      do
        local co = coroutine.wrap(function() object:with(coroutine.yield) end)
        co()
        assert.is_true(held_elsewhere(object))
      end
      collect()
      assert.is_false(held_elsewhere(object))
    end)
  end

  it("is an event's being set", function()
    local e = mproc.Event()
    assert.equal(5, e:with(function()
      assert.is_true(e:is_set())
      return 5
    end))
    assert.is_false(e:is_set())
    assert.is_false((pcall(e.with, e, error)))
    assert.is_false(e:is_set())
    do
      local _ <close> = e:guard()
      assert.is_true(e:is_set())
    end
    assert.is_false(e:is_set())
  end)

  it("is a barrier's others, who do not wait for one that left by an error", function()
    local b = mproc.Barrier(1)
    assert.equal(5, b:with(function() return 5 end))
    assert.is_false(b.broken)
    assert.is_false((pcall(b.with, b, error)))
    assert.is_true(b.broken)
    assert.same({ nil, "broken" }, { b:guard() })
    b:reset()
    b:guard():close()
    assert.is_false(b.broken)
    assert.same({ nil, "timeout" }, { mproc.Barrier(2):guard(0) })
  end)

  it("is not let go twice", function()
    local s = mproc.BoundedSemaphore(2)
    local g = s:guard()
    g:release()
    g:release()
    assert.equal(2, s:get_value())
    collect()
    assert.equal(2, s:get_value())
    assert.error_matches(function() s:with(function() s:release() end) end, "cannot release 1")
    assert.equal(2, s:get_value())
  end)
end)
