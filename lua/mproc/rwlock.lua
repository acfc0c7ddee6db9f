-- SPDX-License-Identifier: MIT
-- RWLock: what it does is in C; here is how it is made, and its scopes. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local rwlock = {}

local methods = core.class("mproc.RWLock").__index

local function end_read(lock)
  if lock:reads() then
    lock:read_release()
  end
end

local function end_write(lock)
  if lock:writes() then
    lock:write_release()
  end
end

methods.read_with, methods.read_guard = scope.methods(methods.read_acquire, end_read)
methods.write_with, methods.write_guard = scope.methods(methods.write_acquire, end_write)
methods.with, methods.guard = methods.write_with, methods.write_guard

function rwlock.RWLock(...)
  errors.no_arguments("RWLock", ...)
  return core.rwlock()
end

return rwlock
