-- SPDX-License-Identifier: MIT
-- How an Event is made; what it does is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local event = {}

function event.Event(...)
  errors.no_arguments("Event", ...)
  return core.event()
end

return event
