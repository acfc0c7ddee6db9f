-- SPDX-License-Identifier: MIT
-- The version stands in several places, and is the same in all.

local mproc = require("mproc")

describe("the version", function()
  it("is that of the changelog's first section", function()
    local file <close> = assert(io.open("CHANGELOG.md"))
    local version = file:read("a"):match("\n## (%d+%.%d+%.%d+)")
    assert.equal("mproc " .. tostring(version), mproc._VERSION)
  end)
end)
