-- SPDX-License-Identifier: MIT
-- What is loaded when it is first used: functions of modules, methods of classes. Used by init.lua for what many
-- programs never need.

local core = require("mproc.core")

local later = {}

local package, require = package, require

-- The directory that modules are found in. What lies at a relative path is loaded at once: the program may change its
-- directory.
local HERE = debug.getinfo(1, "S").source:match("^@(/[^;?]*/)mproc/later%.lua$")

-- The module, wherever the program looks for modules now, and whatever it has taken out of package.loaded.
function later.load(module)
  local there = package.loaded[module]
  if there or not HERE then
    return there or require(module)
  end
  local ok
  local path = package.path
  package.path = ("%s?.lua;%s"):format(HERE, path)
  package.loaded["mproc.core"] = package.loaded["mproc.core"] or core -- whose classes have what others have added
  ok, there = pcall(require, module)
  package.path = path
  if not ok then
    error(there, 0)
  end
  return there
end

-- For modules that are loaded later: at once if they would not be found then.
function later.prepare(module)
  return not HERE and require(module)
end

-- A function in the place of the module's field, or of the module itself. It leaves no frame of its own, so that
-- errors blame the same line.
function later.call(module, field)
  later.prepare(module)
  return function(...)
    local there = later.load(module)
    if field then
      there = there[field]
    end
    return there(...)
  end
end

-- A table in the place of the module's.
function later.module(module)
  return later.prepare(module) or setmetatable({}, { __index = function(_, name)
    return later.load(module)[name]
  end })
end

-- The module adds methods to the class of that name, which core makes: objects may have arrived here that nobody here
-- has made.
function later.methods(class, module)
  if later.prepare(module) then
    return
  end
  local methods = core.class(class).methods or core.class(class).__index
  setmetatable(methods, { __index = function(_, name)
    later.load(module)
    setmetatable(methods, nil)
    return methods[name]
  end })
end

return later
