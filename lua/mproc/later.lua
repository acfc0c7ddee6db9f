-- SPDX-License-Identifier: MIT
-- Functions whose modules are loaded by their first call. Used by init.lua for what many programs never need.

local function found_from_everywhere(module)
  local path = package.searchpath(module, package.path)
  return path and path:sub(1, 1) == "/"
end

-- later(module[, field]): a function in the place of the module's field, or of the module itself. It leaves no frame of
-- its own, so that errors blame the same line. What lies at a relative path is loaded at once: the program may change
-- its directory.
return function(module, field)
  if not found_from_everywhere(module) then
    require(module)
  end
  return function(...)
    local there = require(module)
    if field then
      there = there[field]
    end
    return there(...)
  end
end
