-- SPDX-License-Identifier: MIT
-- The guard of an earlier batch of an iterator is collected while a later batch is being read.

local leaks = require("spec.support.leaks")

describe("an iterator that a pool reads", function()
  leaks.watch()

  it("goes on when the collector runs in it", function()
    local mproc = require("mproc")
    local pool <close> = mproc.Pool(2)
    local i, sum = 0, 0
    for _, value in pool:imap(function(x) return x end, function()
      if i < 3000 then
        i = i + 1
        if i % 50 == 0 then
          collectgarbage()
        end
        return i
      end
    end) do
      sum = sum + value
    end
    assert.equal(3000 * 3001 // 2, sum)
  end)
end)
