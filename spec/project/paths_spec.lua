-- SPDX-License-Identifier: MIT
-- What the documents for those who change mproc name is there: files, and C functions.

local program = require("spec.support.program")

local DOCUMENTS = {
  "CONTRIBUTING.md", "docs/design.md", "docs/glossary.md", "docs/reliability.md", "docs/performance.md",
}
local OTHERS = { ["lua.c"] = true } -- files that are not mproc's

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function lines_of(command)
  local set = {}
  for line in program.shell(command).out:gmatch("[^\n]+") do
    set[line] = true
  end
  return set
end

-- Whether a path, of which the first folders may be left out, is that of a file or a folder.
local function is_there(path, files)
  local pattern = path:gsub("/$", ""):gsub("%p", "%%%0"):gsub("%%%*%%%*", ".*"):gsub("%%%*", "[^/]*")
  for file in pairs(files) do
    if file:find("/" .. pattern .. "$") then
      return true
    end
  end
  return false
end

describe("the documents name", function()
  it("files and folders that are there", function()
    local files, missing = lines_of("find . -path ./build -prune -o -path ./.git -prune -o -print"), {}
    for _, document in ipairs(DOCUMENTS) do
      for word in read(document):gmatch("`([%w_/*.%-]+)`") do
        local is_path = word:find("%.[chl]u?a?$") or word:find("%.md$") or word:find("/.*/$")
        if is_path and not OTHERS[word] and not is_there(word, files) then
          missing[#missing + 1] = document .. ": " .. word
        end
      end
    end
    assert.same({}, missing)
  end)

  it("C functions and types that are there", function()
    local names = lines_of("grep -rhoE '\\bmp_[a-z_]+\\b' src | sort -u")
    for _, document in ipairs(DOCUMENTS) do
      for word in read(document):gmatch("`(mp_[%l_]+)`") do
        assert.truthy(names[word] or word:find("_$"), document .. ": " .. word)
      end
    end
  end)
end)
