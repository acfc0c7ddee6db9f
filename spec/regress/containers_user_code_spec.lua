-- SPDX-License-Identifier: MIT
-- Containers whose hooks, or whose arguments, are not what they seem.

local mproc = require("mproc")
local program = require("spec.support.program")

describe("a Dict", function()
  it("that a hook closes within set_many says so", function()
    local r = program.text([[
      local mproc = require("mproc")
      local d, Class = mproc.Dict(), {}
      mproc.register("regress.Closing", Class)
      function Class.__mproc_encode() d:close() return { 1 } end
      print(pcall(d.set_many, d, { a = setmetatable({}, Class) }))
    ]])
    assert.equal(0, r.code, r.err)
    assert.truthy(r.out:find("the dict was closed while the call went on", 1, true), r.out)
  end)

  it("raises in set_many what a hook raised, as it was", function()
    local Class, own = {}, { code = 5 }
    mproc.register("regress.Raising", Class)
    function Class.__mproc_encode() error(own) end
    local d <close> = mproc.Dict()
    local ok, err = pcall(d.set_many, d, { a = setmetatable({}, Class) })
    assert.is_false(ok)
    assert.equal(own, err)
    assert.equal(0, #d)
  end)

  it("takes bounds near the limits", function()
    for _, n in ipairs({ 1 << 62, math.maxinteger }) do
      local d, _, name = mproc.Dict({ a = 1 }, { max_entries = n })
      assert.truthy(d and d.a == 1 or name == "ENOMEM")
    end
  end)
end)

describe("a List's n", function()
  it("is refused by name, whatever it claims", function()
    for _, n in ipairs({ -1, 1 << 31, 1 << 62, 0.5, "x" }) do
      local ok, err = pcall(mproc.List, { 1, 2, n = n })
      assert.is_false(ok)
      assert.truthy(err:find("list.n must be .* got", 1), err)
    end
    local ok, err = pcall(mproc.List, { 1, 2, n = (1 << 31) - 1 })
    assert.is_false(ok)
    assert.truthy(err:find("list[3] is nil: a List has no holes", 1, true), err)
  end)
end)
