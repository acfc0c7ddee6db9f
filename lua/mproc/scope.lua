-- SPDX-License-Identifier: MIT
-- with and guard: what is acquired for a scope is released at its end, however that comes. Used by sync.lua and those
-- that make lock-like objects.

local core = require("mproc.core")
local errors = require("mproc.errors")

local scope = {}

-- object, let_go(object), pid of the maker, open: until it is released. It cannot travel.
local Guard = { __name = "mproc.Guard" }

-- A child that merely inherited the scope has nothing to release.
function Guard:__close()
  if self.open and self.pid == core.getpid() then
    self.open = false
    self.let_go(self.object)
  end
end

function Guard:__tostring()
  return ("mproc.Guard of %s%s"):format(tostring(self.object), self.open and "" or ", released")
end

-- guard:release() ends it early; a second one is harmless.
Guard.__index = { release = Guard.__close, close = Guard.__close }

-- A child that f forked, and that comes back from f, has nothing to release.
local function finish(release, object, maker, ok, ...)
  if maker == core.self() then
    release(object)
  end
  if not ok then
    error(..., 0)
  end
  return ...
end

-- Two methods for a class: with(f, ...) -> f's results, and guard([timeout]) -> a guard[, word] | nil, word.
-- acquire(object, timeout) -> true[, word] | false, word. release(object) does nothing for what f has released by hand.
function scope.methods(acquire, release)
  local function with(object, f, ...)
    if type(f) ~= "function" then
      errors.raise("with takes a function to call while it is held, got %s", errors.show(f))
    end
    acquire(object)
    return finish(release, object, core.self(), pcall(f, ...))
  end

  local function guard(object, timeout)
    errors.check_timeout(timeout)
    local ok, word = acquire(object, timeout)
    if not ok then
      return nil, word
    end
    return setmetatable({ object = object, let_go = release, open = true, pid = core.getpid() }, Guard), word
  end

  return with, guard
end

return scope
