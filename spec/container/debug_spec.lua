-- SPDX-License-Identifier: MIT
-- What debug mode tells of likely mistakes with a Dict.

local program = require("spec.support.program")

local function told(text)
  local r = program.text("local mproc = require('mproc')\nlocal d = mproc.Dict{ n = 0, t = { 1 } }\n" .. text,
    { seconds = 60, env = "MPROC_DEBUG=debug" })
  assert.equal(0, r.code, r.err)
  local lines = {}
  for line in r.err:gmatch("[^\n]+") do
    if line:find("Dict", 1, true) or line:find("loses counts", 1, true) then
      lines[#lines + 1] = line
    end
  end
  return lines
end

describe("debug mode", function()
  it("tells once of counts by get and set", function()
    local lines = told("for _ = 1, 100 do\n d.n = d.n + 1\nend\nassert(d.n == 100)")
    assert.equal(1, #lines)
    assert.matches(":4: reading \"n\" and setting it loses counts", lines[1])
    assert.equal(1, #told("for _ = 1, 100 do\n d:set('n', d:get('n') + 1)\nend"))
  end)

  it("tells of a table that was changed and not put back", function()
    local lines = told("d.t[2] = 2\nassert(#d.t == 1)\nlocal t = d.t\nt[2] = 2\nassert(#d.t == 1)")
    assert.is_true(#lines >= 1)
    assert.matches("it is a copy", lines[1])
  end)

  it("tells nothing of what is right", function()
    assert.same({}, told([[
      for i = 1, 100 do
        d:add("n", 1)
        d["k" .. i] = (d.n or 0) + i
        local t = d.t
        t[#t + 1] = i
        d.t = t
        assert(#d.t == i + 1)
      end]]))
    assert.same({}, told([[
      mproc.log("warning")
      for _ = 1, 100 do d.n = d.n + 1 end
      assert(d.n == 100)]]))
  end)
end)
