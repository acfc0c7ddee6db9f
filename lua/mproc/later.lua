-- SPDX-License-Identifier: MIT
-- What is loaded when it is first used: functions of modules, methods of classes. Used by init.lua for what many
-- programs never need.

local core = require("mproc.core")

local later = {}

-- What lies at a relative path is loaded at once: the program may change its directory.
local FROM_EVERYWHERE = debug.getinfo(1, "S").source:sub(1, 2) == "@/"

local function is_now(module)
  return not FROM_EVERYWHERE and require(module)
end

-- A function in the place of the module's field, or of the module itself. It leaves no frame of its own, so that
-- errors blame the same line.
function later.call(module, field)
  is_now(module)
  return function(...)
    local there = require(module)
    if field then
      there = there[field]
    end
    return there(...)
  end
end

-- The module adds methods to the class of that name, which core makes: objects may have arrived here that nobody here
-- has made.
function later.methods(class, module)
  if is_now(module) then
    return
  end
  local methods = core.class(class).__index
  setmetatable(methods, { __index = function(_, name)
    setmetatable(methods, nil)
    require(module)
    return methods[name]
  end })
end

return later
