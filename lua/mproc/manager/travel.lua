-- SPDX-License-Identifier: MIT
-- The metatables of managers and proxies, known from the start: whoever receives one may never have made any. What they
-- do is loaded by their first use (init.lua, proxy.lua). Used by mproc's init.lua and the other files of this folder.

local core = require("mproc.core")
local lazy = require("mproc.lazy")

local travel = {}

-- A registered metatable outlives this module when it is loaded anew.
local function known(name, unit)
  core.state[name] = core.state[name] or {}
  local metatable = core.state[name]
  metatable.__name = "mproc." .. name
  core.register("mproc." .. name, metatable, { decode = lazy.call(unit, "arrive") })
  return metatable
end

travel.Manager = known("Manager", "mproc.manager")
travel.Proxy = known("Proxy", "mproc.manager.proxy")

return travel
