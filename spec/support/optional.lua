-- SPDX-License-Identifier: MIT
-- Modules that specs use and that cannot be loaded everywhere: Debian builds them for its own Lua and C library alone.
-- optional(name, package): the module, or nil, and then a pending test says what it wants.

local busted = require("busted")

return function(name, package_name)
  local there, module = pcall(require, name)
  if there then
    return module
  end
  busted.pending("needs " .. package_name .. " for this interpreter")
end
