-- SPDX-License-Identifier: MIT
-- Functions whose modules are loaded by their first call. Used by init.lua for what many programs never need.

-- later(module[, field]): a function in the place of the module's field, or of the module itself. It leaves no frame of
-- its own, so that errors blame the same line.
return function(module, field)
  return function(...)
    local there = require(module)
    if field then
      there = there[field]
    end
    return there(...)
  end
end
