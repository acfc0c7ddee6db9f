-- SPDX-License-Identifier: MIT
-- How an Event is made, and its scopes; what it does is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local event = {}

local methods = core.class("mproc.Event").__index

-- It is set while the scope lasts, and clear after it. Who is killed there leaves it set.
methods.with, methods.guard = scope.methods(function(e)
  methods.set(e)
  return true
end, function(e)
  methods.clear(e)
end)

function event.Event(...)
  errors.no_arguments("Event", ...)
  return core.event()
end

return event
