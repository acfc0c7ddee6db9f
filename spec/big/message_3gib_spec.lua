-- SPDX-License-Identifier: MIT
-- One message of 3 GiB from a child. Needs about 10 GiB of memory: `make test-big`.

local SIZE = 3 << 30
local BLOCK = 1 << 20

describe("a message of 3 GiB", function()
  local mproc = require("mproc")

  it("arrives whole", function()
    local q <close> = mproc.Queue()
    local p = mproc.Process(function()
      local block = ("0123456789abcdef"):rep(BLOCK // 16)
      q:put({ "head", block:rep(SIZE // BLOCK - 1) .. ("z"):rep(BLOCK), "tail" })
    end):start()
    local m = assert(q:get(600))
    assert.is_true(p:join(60))
    assert.equal(0, p.exitcode)
    p:close()
    assert.equal("head", m[1])
    assert.equal("tail", m[3])
    local s = m[2]
    assert.equal(SIZE, #s)
    assert.equal("0123456789abcdef", s:sub(1, 16))
    for _, at in ipairs({ 1 << 30, (1 << 31) - 16, 1 << 31, (1 << 31) + 16 }) do
      assert.equal("0123456789abcdef", s:sub(at + 1, at + 16))
    end
    assert.equal("fz", s:sub(SIZE - BLOCK, SIZE - BLOCK + 1))
    assert.equal("zz", s:sub(-2))
  end)
end)
