-- SPDX-License-Identifier: MIT
-- How locks, semaphores, events, barriers and conditions are made. What they do is in C, their scopes (with, guard)
-- too; here is wait_for besides, which calls the user's function. Used by init.lua.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local sync = {}

function sync.Lock(...)
  check.no_arguments("Lock", ...)
  return core.lock()
end

-- Its owner may acquire it again, and releases it as often.
function sync.RLock(...)
  check.no_arguments("RLock", ...)
  return core.rlock()
end

function sync.RWLock(...)
  check.no_arguments("RWLock", ...)
  return core.rwlock()
end

function sync.Event(...)
  check.no_arguments("Event", ...)
  return core.event()
end

local PERMITS = "the count of permits there are to begin with, an integer from 0 on"

-- A counter that any process lowers and raises; it knows nobody, so what a dead process took stays taken.
function sync.Semaphore(n)
  return core.semaphore(n == nil and 1 or check.count("n", n, 0, PERMITS))
end

-- Never more than n permits; those of a process that ends come back.
function sync.BoundedSemaphore(n)
  return core.bounded_semaphore(n == nil and 1 or check.count("n", n, 0, PERMITS))
end

-- Barrier(parties[, action[, timeout]]): the last to come calls action() before all go on; timeout is for each wait
-- that is given none.
function sync.Barrier(parties, action, timeout)
  parties = check.count("parties", parties, 1, "the number of processes that meet, an integer of at least 1")
  if action ~= nil and not check.is_callable(action) then
    errors.raise("action must be a function that the last process calls, or nil, got %s%s", errors.show(action),
      type(action) == "number" and "; the timeout is the third argument" or "")
  end
  return core.barrier(parties, action, check.timeout(timeout))
end

-- Condition([lock]): its lock is an RLock of its own when none is given.
sync.Condition = core.condition

local condition_class = core.class("mproc.Condition")

-- The list's values, and behind them the word that the lock came with, if any.
local function with_word(list, abandoned)
  list[#list + 1] = abandoned
  return table.unpack(list)
end

local function check_held(condition, how)
  if not condition:mine() then
    errors.raise("cannot wait: %s; acquire the lock first, as in c:with(function() c:wait_for(f) end)", how)
  end
end

local function check_wait_for(condition, predicate, timeout)
  if getmetatable(condition) ~= condition_class then
    errors.raise("this is not a condition, but %s; call its methods with a colon, as in c:wait_for(f)",
      errors.show(condition))
  elseif not check.is_callable(predicate) then
    errors.raise("wait_for takes a function that tells whether to go on, got %s", errors.show(predicate))
  end
  check.timeout(timeout)
  check_held(condition, "this process does not hold the condition's lock")
end

-- Waits until predicate() gives something true and returns that; or false, "timeout". "abandoned" follows when the lock
-- has come so. The lock is held whenever predicate is called, and when it raises.
function condition_class.__index.wait_for(condition, predicate, timeout)
  check_wait_for(condition, predicate, timeout)
  predicate = errors.callee(predicate)
  local deadline = timeout and core.time() + timeout
  local abandoned
  while true do
    local value = predicate()
    if value then
      return with_word({ value }, abandoned)
    end
    local left = deadline and deadline - core.time()
    if left and left <= 0 then
      return with_word({ false, "timeout" }, abandoned)
    end
    check_held(condition, "the function has released the condition's lock")
    local _, first, second = condition:wait(left)
    abandoned = first == "abandoned" and first or second or abandoned
  end
end

return sync
