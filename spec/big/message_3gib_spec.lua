-- SPDX-License-Identifier: MIT
-- One message of 3 GiB from a child. Needs about 10 GiB of memory: `make test-big`.

local PART = 1 << 30
local SIZE = 3 * PART
local TAIL = 16

describe("a message of 3 GiB", function()
  local mproc = require("mproc")

  it("arrives whole", function()
    local q <close> = mproc.Queue()
    local p = mproc.Process(function()
      local part = ("0123456789abcdef"):rep(PART // 16) -- string.rep ends at 2 GiB
      q:put({ "head", part .. part .. part:sub(1, -TAIL - 1) .. ("z"):rep(TAIL), "tail" })
    end):start()
    local m = assert(q:get(200))
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
    assert.equal("fz", s:sub(SIZE - TAIL, SIZE - TAIL + 1))
    assert.equal("zz", s:sub(-2))
  end)
end)
