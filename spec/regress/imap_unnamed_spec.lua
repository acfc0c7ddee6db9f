-- SPDX-License-Identifier: MIT
-- An iterator that nobody else refers to was collected while it waited for its item, which ended the items: nil came.

local leaks = require("spec.support.leaks")
local mproc = require("mproc")

describe("an iterator of imap without a name", function()
  leaks.watch()

  it("stays while it waits", function()
    local pool <close> = mproc.Pool(1)
    pool:apply_async(type, { 1 }, nil, { callback = function()
      collectgarbage()
      collectgarbage()
    end })
    local function slow(x)
      mproc.sleep(0.05)
      return x * 10
    end
    local i, x = pool:imap(slow, { 1, 2, 3 }, 1)()
    assert.same({ 1, 10 }, { i, x })
    pool:apply_async(type, { 1 }, nil, { callback = function()
      collectgarbage()
      collectgarbage()
    end })
    i, x = pool:imap_unordered(slow, { 1 }, 1):next(20)
    assert.same({ 1, 10 }, { i, x })
  end)
end)
