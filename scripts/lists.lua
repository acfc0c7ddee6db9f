-- SPDX-License-Identifier: MIT
-- Keeps the Makefile's list, the rockspec's list and the files on disk equal.
-- Run at the top of the tree: `lua scripts/lists.lua check` fails on a difference, `sync` rewrites both files.

local ROCKSPEC = "mproc-scm-1.rockspec"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

local function on_disk(pattern)
  local found = {}
  local pipe <close> = assert(io.popen("ls -1 " .. pattern .. " 2>/dev/null"))
  for path in pipe:lines() do
    found[#found + 1] = path
  end
  table.sort(found)
  return found
end

local function module_name(path)
  return (path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

-- Both files carry each list between two marker lines, so that one function finds and replaces them.
local function between(text, name)
  local first, last = text:match("()[^\n]*" .. name .. " begin\n.-" .. name .. " end()")
  assert(first, "no list between '" .. name .. " begin' and '" .. name .. " end'")
  return first, last, text:sub(first, last - 1)
end

local function replace(text, name, body)
  local first, last, old = between(text, name)
  local head, tail = old:match("^([^\n]*\n)"), old:match("([^\n]*)$")
  return text:sub(1, first - 1) .. head .. body .. tail .. text:sub(last)
end

local function paths_in(text, name)
  local _, _, body = between(text, name)
  local found = {}
  for path in body:gmatch("%l+/[%w_/%-]+%.%l+") do
    found[#found + 1] = path
  end
  table.sort(found)
  return found
end

local function make_list(variable, paths)
  return variable .. " = \\\n  " .. table.concat(paths, " \\\n  ") .. "\n"
end

local function rock_sources(paths)
  local lines = {}
  for i, path in ipairs(paths) do
    lines[i] = ("        %q,\n"):format(path)
  end
  return table.concat(lines)
end

local function rock_modules(paths)
  local lines = {}
  for i, path in ipairs(paths) do
    lines[i] = ("    [%q] = %q,\n"):format(module_name(path), path)
  end
  return table.concat(lines)
end

local sources = on_disk("src/*.c src/*/*.c src/*/*/*.c")
local modules = on_disk("lua/mproc/*.lua")

local function sync()
  local make = read("Makefile")
  make = replace(make, "sources", make_list("SOURCES", sources))
  make = replace(make, "lua", make_list("LUA_MODULES", modules))
  write("Makefile", make)
  local rock = read(ROCKSPEC)
  rock = replace(rock, "sources", rock_sources(sources))
  rock = replace(rock, "lua", rock_modules(modules))
  write(ROCKSPEC, rock)
end

local function differences(name, listed, found, report)
  local has = {}
  for _, path in ipairs(found) do
    has[path] = true
  end
  for _, path in ipairs(listed) do
    if not has[path] then
      report(name .. " lists " .. path .. ", which is not in the tree")
    end
    has[path] = nil
  end
  for path in pairs(has) do
    report(name .. " does not list " .. path)
  end
end

local function check()
  local failed = false
  local function report(line)
    failed = true
    io.stderr:write(line, "\n")
  end
  local make, rock = read("Makefile"), read(ROCKSPEC)
  differences("Makefile", paths_in(make, "sources"), sources, report)
  differences("Makefile", paths_in(make, "lua"), modules, report)
  differences(ROCKSPEC, paths_in(rock, "sources"), sources, report)
  differences(ROCKSPEC, paths_in(rock, "lua"), modules, report)
  if failed then
    io.stderr:write("`make sync-lists` mends both lists\n")
  end
  os.exit(not failed)
end

local verbs = { check = check, sync = sync }
local verb = verbs[arg[1]] or error("usage: lua scripts/lists.lua check|sync", 0)
verb()
