-- SPDX-License-Identifier: MIT
-- Start methods by name. Used by init.lua. There is one so far; others will come behind the same functions.

local errors = require("mproc.errors")

local context = {}

local METHODS = { "fork" }
local LATER = { spawn = true, forkserver = true }

local function check(method)
  if method == nil or method == "fork" then
    return "fork"
  elseif LATER[method] then
    errors.raise("start method '%s' comes with a later version of mproc; this one has 'fork'", method)
  end
  errors.raise("unknown start method %s; there is 'fork' ('spawn' and 'forkserver' come later)", errors.show(method))
end

function context.set_start_method(method)
  if method == nil then
    errors.raise("set_start_method takes a name; there is 'fork'")
  end
  check(method)
end

function context.get_start_method()
  return METHODS[1]
end

function context.get_all_start_methods()
  return { table.unpack(METHODS) }
end

-- A table with all of mproc whose processes start by that method, whatever is set elsewhere.
function context.get_context(method)
  local name = check(method)
  return setmetatable({
    get_start_method = function() return name end,
    get_context = function(other) return context.get_context(other or name) end,
  }, { __index = require("mproc") })
end

return context
