-- SPDX-License-Identifier: MIT
-- cqueues and its C part, _cqueues, are one table, in which the part alone has not all: it travelled as "_cqueues", and
-- a receiver that had neither found no cqueues.new.

local mproc = require("mproc")

describe("a module of two names", function()
  it("travels by the one that does not begin with an underscore", function()
    local made = { f = function() end }
    local names = { "_spec_two_names", "spec_two_names" }
    for _, name in ipairs(names) do
      package.preload[name] = function() return made end
      require(name)
    end
    for _, value in ipairs({ made, made.f }) do
      local bytes = mproc.encode(value)
      assert.truthy(bytes:find("spec_two_names", 1, true))
      assert.falsy(bytes:find("_spec_two_names", 1, true))
    end
    for _, name in ipairs(names) do
      package.preload[name], package.loaded[name] = nil, nil
    end
  end)
end)
