-- SPDX-License-Identifier: MIT
-- A list with an n far beyond its elements overflowed the heap in mproc.wait.

local mproc = require("mproc")

describe("a list's n", function()
  local NUMBERS = { 1 << 24, 1 << 31, (1 << 32) + 1, 1 << 53, 1 << 61, (1 << 61) + 1, math.maxinteger }

  it("that is beyond its elements is refused by mproc.wait, by the first that is nil", function()
    local list = {}
    for i = 1, 2000 do
      list[i] = mproc.Queue()
    end
    for _, n in ipairs(NUMBERS) do
      list.n = n
      assert.error_matches(function() mproc.wait(list, 0) end, "list%[2001%]: it is nil")
    end
  end)

  it("that is beyond what a call can have is refused by put_many and Process", function()
    local q <close> = mproc.Queue()
    for _, n in ipairs(NUMBERS) do
      assert.error_matches(function() q:put_many({ 1, n = n }) end, "the list's n must be at most")
      local options = { target = print, args = { 1, n = n } }
      assert.error_matches(function() mproc.Process(options) end, "args.n must be at most")
    end
    assert.equal(0, q:qsize())
  end)
end)
