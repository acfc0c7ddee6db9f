-- SPDX-License-Identifier: MIT
-- Semaphore and BoundedSemaphore: what they do is in C; here is how they are made, and their scopes. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local semaphore = {}

for _, name in ipairs({ "mproc.Semaphore", "mproc.BoundedSemaphore" }) do
  local methods = core.class(name).__index
  methods.with, methods.guard = scope.methods(methods.acquire, function(s)
    methods.release(s)
  end)
end

local function check_count(name, n)
  if n == nil then
    return 1
  end
  local count = type(n) == "number" and math.tointeger(n)
  if not count or count < 0 then
    errors.raise("%s takes the count of permits there are to begin with, an integer from 0 on, got %s", name,
      errors.show(n))
  end
  return count
end

-- A counter that any process lowers and raises; it knows nobody, so what a dead process took stays taken.
function semaphore.Semaphore(n)
  return core.semaphore(check_count("Semaphore", n))
end

-- Never more than n permits; those of a process that ends come back.
function semaphore.BoundedSemaphore(n)
  return core.bounded_semaphore(check_count("BoundedSemaphore", n))
end

return semaphore
