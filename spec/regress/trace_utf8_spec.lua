-- SPDX-License-Identifier: MIT
-- A function whose chunk had a name that is no UTF-8, or was cut by Lua within a character, made the whole timeline
-- none.
local cli = require("spec.support.cli")
local program = require("spec.support.program")

describe("a timeline", function()
  it("is UTF-8, whatever functions are called", function()
    local out = os.tmpname()
    local r = program.text([[
      local mproc = require("mproc")
      local pool <close> = mproc.Pool(1)
      local names = { "=\xffA", "=\xc0\xafB", "=\xed\xa0\x80C", "=\xf4\x90\x80\x80D", "=ok \u{e9}\u{20ac}\u{1f600}" }
      names[#names + 1] = "@" .. ("\u{20ac}"):rep(100)
      for _, name in ipairs(names) do
        pool:map(assert(load("return function(x)\nreturn x end", name))(), { 1 })
      end]], { env = "MPROC_TRACE=" .. out })
    assert.equal(0, r.code, r.err)
    local text = cli.read(out)
    os.remove(out)
    assert.truthy(utf8.len(text))
    for letter in ("ABCD"):gmatch(".") do
      assert.truthy(text:find("map %?+" .. letter .. ":1"), letter)
    end
    assert.truthy(text:find("map ok \u{e9}\u{20ac}\u{1f600}:1", 1, true))
  end)
end)
