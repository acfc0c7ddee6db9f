-- SPDX-License-Identifier: MIT
-- Every ```lua block of the README and the guides runs as it stands, as a program of its own; a ```text block that
-- follows is what it prints; without one it prints nothing. Every make target they name exists, and every file that
-- they link to.

local lfs = require("lfs")
local program = require("spec.support.program")

local SECONDS = 20

local documents = { "README.md", "CONTRIBUTING.md" }
for _, folder in ipairs({ "docs", "docs/guide" }) do
  for name in lfs.dir(folder) do
    if name:find("%.md$") then
      documents[#documents + 1] = folder .. "/" .. name
    end
  end
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

-- List of { language =, text =, line = } in order.
local function blocks_of(document)
  local blocks, current = {}, nil
  local line = 0
  for text in (document .. "\n"):gmatch("(.-)\n") do
    line = line + 1
    local fence = text:match("^```(.*)$")
    if fence and current then
      current.text = table.concat(current, "\n") .. "\n"
      blocks[#blocks + 1] = current
      current = nil
    elseif fence then
      current = { language = fence, line = line }
    elseif current then
      current[#current + 1] = text
    end
  end
  assert(not current, "a block without an end")
  return blocks
end

-- The first of a text's modules that this interpreter has nowhere: others' loops, which are built for the system's Lua.
local function lacks(text)
  local parts = { luv = "luv", cqueues = "_cqueues", socket = "socket.core" }
  for name in text:gmatch('require%("(%w+)"%)') do
    if parts[name] and not package.searchpath(parts[name], package.cpath) then
      return name
    end
  end
end

local lua_blocks = 0

for _, path in ipairs(documents) do
  describe(path, function()
    local blocks = blocks_of(read(path))
    it("links to what is there", function()
      for link in read(path):gmatch("%]%(([^)#]+)") do
        local target = link:find("^%a+://") and "." or (path:match("^.*/") or "") .. link
        assert.truthy(lfs.attributes(target), link)
      end
    end)
    for i, block in ipairs(blocks) do
      if block.language == "lua" then
        lua_blocks = lua_blocks + 1
        it("runs the block at line " .. block.line, function()
          local module = lacks(block.text)
          if module then
            return pending("needs the module " .. module)
          end
          local result = program.text(block.text, { seconds = SECONDS })
          assert.equal("", result.err)
          assert.equal(0, result.code)
          local following = blocks[i + 1]
          assert.equal(following and following.language == "text" and following.text or "", result.out)
        end)
      elseif block.language == "sh" then
        for targets in block.text:gmatch("%f[%w]make ([%w%-=_/ ]+)") do
          it("names targets that exist: make " .. targets, function()
            local result = program.shell("unset MAKEFLAGS MFLAGS MAKELEVEL; make -n " .. targets, SECONDS)
            assert.equal(0, result.code, result.err)
          end)
        end
      end
    end
  end)
end

describe("README.md", function()
  it("has blocks to run", function()
    assert.truthy(lua_blocks >= 5)
  end)
end)
