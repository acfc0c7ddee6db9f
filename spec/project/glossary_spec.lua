-- SPDX-License-Identifier: MIT
-- The glossary has each term once, and only terms that something uses.

local program = require("spec.support.program")

local function terms()
  local list = {}
  local file <close> = assert(io.open("docs/glossary.md"))
  for line in file:lines() do
    local cell = line:match("^| (.-) | .+ |$")
    for term in (cell and cell ~= "term" and cell or ""):gmatch("[^,]+") do
      list[#list + 1] = term:match("^%s*(.-)%s*$")
    end
  end
  return list
end

describe("the glossary", function()
  it("has each term once", function()
    local seen, all = {}, terms()
    assert.truthy(#all > 80, "too few terms were read: " .. #all)
    for _, term in ipairs(all) do
      assert.is_nil(seen[term:lower()], term .. " stands twice")
      seen[term:lower()] = true
    end
  end)

  it("has no term that nothing uses", function()
    local unused = {}
    for _, term in ipairs(terms()) do
      local pattern = term:gsub("%W+", "[^[:alnum:]]*")
      local found = program.shell("grep -rqiE --include='*.[ch]' --include='*.lua' --include='*.md' "
        .. "--exclude=glossary.md --exclude-dir=build " .. program.quote(pattern) .. " .")
      unused[#unused + 1] = found.code ~= 0 and term or nil
    end
    assert.same({}, unused)
  end)
end)
