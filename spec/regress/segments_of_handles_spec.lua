-- SPDX-License-Identifier: MIT
-- A queue dropped with messages that carry objects in more than one segment left all segments but the last behind.

local leaks = require("spec.support.leaks")
local core = require("mproc.core")
local mproc = require("mproc")

local COUNT = 20000 -- of short messages: a dozen segments

describe("a queue of messages that carry objects", function()
  leaks.watch()

  it("is freed with all its segments", function()
    local before = core.stats().bytes
    do
      local q, carried = mproc.Queue(), mproc.Queue()
      for i = 1, COUNT do
        q:put({ i, carried })
      end
      assert.is_true(core.stats().bytes > before + 10 * 65536)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, core.stats().bytes)
  end)
end)
