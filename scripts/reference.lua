-- SPDX-License-Identifier: MIT
-- The reference: docs/reference.md and docs/mproc.3 from the annotations of library/. Run at the top of the tree:
-- `lua scripts/reference.lua write` writes both; `check` fails when they differ from what is written, when an exported
-- name has no documentation, when a documented name does not exist, and when a text leaves out what it must say.

local lint = require("scripts.reference.lint")
local man = require("scripts.reference.man")
local markdown = require("scripts.reference.markdown")
local parse = require("scripts.reference.parse")

-- In this order on the page.
local AREAS = { "mproc", "process", "queue", "pipe", "wait", "sync", "numbers", "container", "frozen", "memory",
  "descriptor", "socket", "manager", "pool", "future", "codec", "system" }

local PAGES = { ["docs/reference.md"] = markdown.write, ["docs/mproc.3"] = man.write }

local failed = false

local function report(format, ...)
  failed = true
  io.stderr:write(format:format(...), "\n")
end

local function path_of(name)
  return "library/" .. name .. ".lua"
end

-- A file that nobody put in order would be lost.
local function check_files()
  local listed = {}
  for _, name in ipairs(AREAS) do
    listed[path_of(name)] = true
  end
  local found <close> = assert(io.popen("ls library/*.lua"))
  for path in found:lines() do
    if not listed[path] then
      report("%s is not in the list of scripts/reference.lua", path)
    end
  end
end

local function read_areas()
  local areas = {}
  for i, name in ipairs(AREAS) do
    areas[i] = parse.file(path_of(name))
  end
  return areas
end

local function read(path)
  local file <close> = io.open(path)
  return file and file:read("a")
end

local verbs = {}

function verbs.write(areas)
  for path, make in pairs(PAGES) do
    local file <close> = assert(io.open(path, "w"))
    assert(file:write(make(areas)))
  end
end

function verbs.check(areas)
  check_files()
  lint.check(areas, report)
  for path, make in pairs(PAGES) do
    if read(path) ~= make(areas) then
      report("%s differs from what library/ says; `make reference` writes it", path)
    end
  end
  require("scripts.reference.compare").check(areas, require("scripts.reference.exports"), report)
end

local verb = verbs[arg[1]] or error("usage: lua scripts/reference.lua write|check", 0)
verb(read_areas())
os.exit(not failed, true)
