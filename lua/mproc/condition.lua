-- SPDX-License-Identifier: MIT
-- Condition: its methods are in C; here are wait_for and the scopes of its lock. Loaded by their first use (init.lua).

local core = require("mproc.core")
local errors = require("mproc.errors")
local scope = require("mproc.scope")

local class = core.class("mproc.Condition")

local methods = class.__index

methods.with, methods.guard = scope.methods(methods.acquire, scope.release_if_mine)

-- The list's values, and behind them the word that the lock came with, if any.
local function finish(list, abandoned)
  list[#list + 1] = abandoned
  return table.unpack(list)
end

local function check_held(condition, how)
  if not condition:mine() then
    errors.raise("cannot wait: %s; acquire the lock first, as in c:with(function() c:wait_for(f) end)", how)
  end
end

local function check(condition, predicate, timeout)
  if getmetatable(condition) ~= class then
    errors.raise("this is not a condition, but %s; call its methods with a colon, as in c:wait_for(f)",
      errors.show(condition))
  elseif type(predicate) ~= "function" then
    errors.raise("wait_for takes a function that tells whether to go on, got %s", errors.show(predicate))
  end
  errors.check_timeout(timeout)
  check_held(condition, "this process does not hold the condition's lock")
end

-- Waits until predicate() gives something true and returns that; or false, "timeout". "abandoned" follows when the lock
-- has come so. The lock is held whenever predicate is called, and when it raises.
function methods.wait_for(condition, predicate, timeout)
  check(condition, predicate, timeout)
  local deadline = timeout and core.time() + timeout
  local abandoned
  while true do
    local value = predicate()
    if value then
      return finish({ value }, abandoned)
    end
    local left = deadline and deadline - core.time()
    if left and left <= 0 then
      return finish({ false, "timeout" }, abandoned)
    end
    check_held(condition, "the function has released the condition's lock")
    local _, first, second = condition:wait(left)
    abandoned = first == "abandoned" and first or second or abandoned
  end
end

return methods
