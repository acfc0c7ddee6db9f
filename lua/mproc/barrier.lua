-- SPDX-License-Identifier: MIT
-- How barriers are made, and their scopes; what they do is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local barrier = {}

local methods = core.class("mproc.Barrier").methods

-- The scope begins when all have met. Who leaves it by an error will not come again: the others shall not wait for it.
methods.with, methods.guard = scope.methods(methods.wait, function(b, err)
  if err ~= nil then
    methods.abort(b)
  end
end)

local function check_parties(given)
  local n = type(given) == "number" and math.tointeger(given)
  if not n or n < 1 then
    errors.raise("parties must be the number of processes that meet, an integer of at least 1, got %s",
      errors.show(given))
  end
  return n
end

local function check_action(action)
  local mt = getmetatable(action)
  if action ~= nil and type(action) ~= "function" and not (type(mt) == "table" and mt.__call) then
    local hint = type(action) == "number" and "; the timeout is the third argument" or ""
    errors.raise("action must be a function that the last process calls, or nil, got %s%s", errors.show(action), hint)
  end
end

-- Barrier(parties[, action[, timeout]]): the last to come calls action() before all go on; timeout is for each wait
-- that is given none.
function barrier.Barrier(parties, action, timeout)
  parties = check_parties(parties)
  check_action(action)
  errors.check_timeout(timeout)
  return core.barrier(parties, action, timeout)
end

return barrier
