-- SPDX-License-Identifier: MIT
-- What a child tells at its end in debug mode: the globals that it assigned, which its parent never sees, and what it
-- leaves open. Put in place by log.lua, called by child.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local leaks = require("mproc.debug.leaks")

local globals = {}

local SHOWN = 20

local function copy_globals()
  local copy = {}
  for name, value in next, _G do
    copy[name] = value
  end
  return copy
end

local function shown(name)
  return type(name) == "string" and name or ("[%s]"):format(errors.show(name))
end

-- A list of lines, in the order of the names.
local function compare(before)
  local lines = {}
  for name in next, copy_globals() do
    local value, now = before[name], rawget(_G, name)
    if value == nil then
      lines[#lines + 1] = ("made global %s in child; parent has none; use mproc.Value or return it"):format(shown(name))
    elseif not rawequal(value, now) then
      lines[#lines + 1] = ("changed %s in child; parent's %s is untouched; use mproc.Value or return it"):format(
        shown(name), shown(name))
    end
  end
  for name in next, before do
    if rawget(_G, name) == nil then
      lines[#lines + 1] = ("removed %s in child; parent's %s is untouched"):format(shown(name), shown(name))
    end
  end
  table.sort(lines)
  return lines
end

local function tell(before)
  local lines = compare(before)
  for i = 1, math.min(#lines, SHOWN) do
    core.log("debug", lines[i])
  end
  if #lines > SHOWN then
    core.log("debug", ("and %d globals more"):format(#lines - SHOWN))
  end
end

-- In a child, before its target: the function that tells, to be called when that has returned. os.exit calls it too.
-- What goes wrong in it changes nothing about how the child ends.
function globals.watch()
  local before = copy_globals()
  local function finish()
    pcall(tell, before)
    pcall(leaks.report)
  end
  os.exit = function(...) -- luacheck: ignore 122
    finish()
    core.exit(...)
  end
  return finish
end

return globals
