-- SPDX-License-Identifier: MIT
-- Lock and RLock: what they do is in C; here is how they are made, and their scopes. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local sync = {}

for _, name in ipairs({ "mproc.Lock", "mproc.RLock" }) do
  local methods = core.class(name).__index
  methods.with, methods.guard = scope.methods(methods.acquire, scope.release_if_mine)
end

function sync.Lock(...)
  errors.no_arguments("Lock", ...)
  return core.lock()
end

-- Its owner may acquire it again, and releases it as often.
function sync.RLock(...)
  errors.no_arguments("RLock", ...)
  return core.rlock()
end

return sync
