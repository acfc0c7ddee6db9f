-- SPDX-License-Identifier: MIT
-- A coroutine that yields in v:update's function holds the value's lock; dropped, it kept it for ever.

local mproc = require("mproc")

describe("Value:update in a coroutine that is dropped", function()
  it("lets the lock go, once", function()
    local v = mproc.Value("integer", 1)
    do
      local co = coroutine.create(function() v:update(function() coroutine.yield() end) end)
      coroutine.resume(co)
      assert.is_true(v:lock():locked())
    end
    collectgarbage()
    collectgarbage()
    assert.is_false(v:lock():locked())
    assert.equal(2, v:update(function(x)
      collectgarbage() -- what an earlier update has left holds nothing
      assert(v:lock():locked())
      return x + 1
    end))
  end)
end)
