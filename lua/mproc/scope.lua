-- SPDX-License-Identifier: MIT
-- with and guard: what is acquired for a scope is released at its end, however that comes. Used by sync.lua and those
-- that make lock-like objects.

local core = require("mproc.core")
local errors = require("mproc.errors")

local scope = {}

-- The fields of a guard. HOLDER: the process that made it, else false. A guard cannot travel.
local OBJECT, HOLDER = 1, 2

-- The class of guards that end by let_go(object, err).
local function guard_class(let_go)
  local Guard = { __name = "mproc.Guard" }

  -- A child that merely inherited the scope has nothing to release.
  function Guard:__close(err)
    if self[HOLDER] == core.self() then
      self[HOLDER] = false
      let_go(self[OBJECT], err)
    end
  end

  function Guard:__tostring()
    return ("mproc.Guard of %s%s"):format(tostring(self[OBJECT]), self[HOLDER] and "" or ", released")
  end

  -- guard:release() ends it early; a second one is harmless.
  local function release(guard)
    Guard.__close(guard)
  end

  Guard.__index = { release = release, close = release }
  return Guard
end

-- let_go of what has one owner, who may have released it by hand.
function scope.release_if_mine(lock)
  if lock:mine() then
    lock:release()
  end
end

-- with(f, ...) of a class. <close> is for a coroutine that is closed while f waits in it; finish for an error that ends
-- one, which closes nothing.
local function make_with(acquire, Guard)
  local function finish(guard, ok, ...)
    if not ok then
      Guard.__close(guard, (...))
      error(..., 0)
    end
    return ...
  end

  return function(object, f, ...)
    if type(f) ~= "function" then
      errors.raise("with takes a function to call while it is held, got %s", errors.show(f))
    end
    local guard <close> = setmetatable({ object, false }, Guard) -- first: there might be no memory for it afterwards
    local ok, word = acquire(object)
    if not ok then
      return nil, word
    end
    guard[HOLDER] = core.self()
    return finish(guard, pcall(f, ...))
  end
end

local function make_guard(acquire, Guard)
  return function(object, timeout)
    errors.check_timeout(timeout)
    local guard = setmetatable({ object, false }, Guard)
    local ok, word = acquire(object, timeout)
    if not ok then
      return nil, word
    end
    guard[HOLDER] = core.self()
    return guard, word
  end
end

-- Two methods for a class: with(f, ...) -> f's results, and guard([timeout]) -> a guard[, word]; both nil, word when it
-- is not to be had. acquire(object, timeout) -> anything true[, word] | false or nil, word. let_go(object, err) does
-- nothing for what f has released by hand; err: the error by which the scope is left, or nil.
function scope.methods(acquire, let_go)
  local Guard = guard_class(let_go)
  return make_with(acquire, Guard), make_guard(acquire, Guard)
end

return scope
