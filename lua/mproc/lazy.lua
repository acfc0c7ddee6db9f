-- SPDX-License-Identifier: MIT
-- Loads mproc's own modules, some of them at their first use. Their text is read when mproc is required, with that of
-- all that they require: so a first use needs no file, no descriptor, no `require` and no searcher. All see the
-- standard globals of the moment when mproc was required, whatever the program does to its own. A unit is an ordinary
-- module. Used by init.lua and what it requires.

local core, core_path = require("mproc.core")

local _, own_path = ...
local ROOT = own_path and own_path:match("^(.*)mproc/lazy%.lua$") -- nil where modules do not come from files

local lazy = {}

local texts = {} -- name -> { what core.unit_text takes, chunk name }: what was read and not compiled yet
local loaded = { ["mproc.core"] = core } -- name -> module
local standard = {} -- the globals that units see: those of the moment when mproc was required
local published = package.loaded
local original = require

for name in ("_VERSION assert collectgarbage coroutine debug error getmetatable io ipairs load math next os package "
  .. "pairs pcall print rawequal rawget rawlen rawset select setmetatable string table tonumber tostring type utf8 "
  .. "warn xpcall"):gmatch("%g+") do
  standard[name] = _G[name]
end
standard._G = _G

local read_unit = core.read_unit

local note

-- Keeps the text of a unit, and reads what it requires. False when there was none.
local function keep(name, path, text, ...)
  if not text then
    return false
  end
  texts[name] = { text, "@" .. path }
  for i = 1, select("#", ...) do
    local required = select(i, ...)
    if required ~= "mproc" then
      note(required)
    end
  end
  return true
end

-- Reads the unit's text and that of the units that it requires. What has been required already is taken as it is, and
-- what lies in no file is required at once.
function note(name)
  if loaded[name] or texts[name] then
    return
  end
  local stem = ROOT and not published[name] and ROOT .. name:gsub("%.", "/")
  if not stem or not keep(name, stem .. ".lua", read_unit(stem .. ".lua"))
    and not keep(name, stem .. "/init.lua", read_unit(stem .. "/init.lua")) then
    loaded[name] = original(name)
  end
end

lazy.unit = note

-- The module. A unit that could not be compiled, for want of memory say, or was interrupted, is tried again.
function lazy.load(name)
  local module = loaded[name]
  if module ~= nil then
    return module
  end
  local unit = texts[name]
  if not unit then
    return original(name)
  end
  module = assert(load(core.unit_text(unit[1]), unit[2], "t", standard))(name, unit[2]:sub(2))
  if loaded[name] == nil then -- a finalizer may have come here meanwhile
    loaded[name], texts[name] = module, nil
    published[name] = published[name] or module
  end
  return loaded[name]
end

-- As `require`, at once.
function lazy.require(name)
  lazy.unit(name)
  return lazy.load(name)
end

standard.require = lazy.load

-- Whether a unit has that name.
function lazy.knows(name)
  return texts[name] ~= nil or loaded[name] ~= nil
end

-- The folder in which mproc's modules lie, with a slash at its end, and the file that the core was loaded from: each
-- nil where that is not known.
function lazy.places()
  return ROOT, type(core_path) == "string" and core_path:find("/", 1, true) and core_path or nil
end

-- Has units find that module by that name.
function lazy.provide(name, module)
  loaded[name] = module
end

-- A function in the place of the module's field, or of the module itself. It leaves no frame of its own, so that
-- errors blame the same line.
function lazy.call(name, field)
  lazy.unit(name)
  local load_unit = lazy.load
  return function(...)
    local module = load_unit(name)
    if field then
      return module[field](...)
    end
    return module(...)
  end
end

return lazy
