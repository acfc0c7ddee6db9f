-- SPDX-License-Identifier: MIT
-- The key by which sockets of a tree know each other: random per tree, until a process sets its own, which its children
-- inherit. It stands in no object that travels, and in no text. Used by process/ and socket.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local authkey = {}

-- A key that is given, or raises. what: the argument's name.
function authkey.check(what, value)
  if type(value) ~= "string" or value == "" then -- what it is must not be shown
    errors.raise("%s must be a string with at least one byte, got %s", what,
      value == "" and "an empty one" or "a " .. type(value))
  end
  return value
end

-- This process's.
function authkey.current()
  return core.state.authkey or core.tree_key()
end

function authkey.set(value)
  core.state.authkey = authkey.check("authkey", value)
end

return authkey
