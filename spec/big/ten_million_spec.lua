-- SPDX-License-Identifier: MIT
-- Ten million tiny messages without a reader: what they cost, and that it comes back.

local COUNT = 10000000
local SLACK = 16 * 1024 * 1024

describe("ten million messages without a reader", function()
  local mproc = require("mproc")
  local stats = require("mproc.core").stats

  it("cost their bytes, rounded up to 16, and 16 more each; the memory goes back", function()
    local q <close> = mproc.Queue()
    local before = stats().bytes
    for i = 1, COUNT do
      q:put(i)
    end
    assert.equal(COUNT, q:qsize())
    local each = (#mproc.encode(COUNT) + 15) // 16 * 16 + 16
    local used = stats().bytes - before
    assert.truthy(used <= COUNT * each + SLACK, ("%.1f bytes a message"):format(used / COUNT))
    for i = 1, COUNT do
      if q:get(0) ~= i then
        error("out of order at " .. i)
      end
    end
    assert.is_true(q:empty())
    local left = stats().bytes - before
    assert.truthy(left <= SLACK, left .. " bytes stay")
  end)
end)
