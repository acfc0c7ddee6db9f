-- SPDX-License-Identifier: MIT
-- mproc.wait: until one of many things is ready. Used by init.lua.
--
-- What can be waited for is the number of a descriptor, a shared object whose binding says how (src/bind/watch.h), or a
-- table whose metatable has
--
--   __mproc_wait(object) -> source | source, test | nil, why not
--
-- source is a descriptor, a shared object, a handle of core's, or, beside a test, false for none. Without a test the
-- object is ready when that is. With one it is ready when test(object) is true, which is asked first of all, when the
-- source is ready (the test must put an end to that, by taking the message that came, say), and once a slice: so it may
-- know more than its source tells.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local wait = {}

local SLICE = 0.1
local FD_MAX = 0x7fffffff
local NO_SOURCE = "it cannot be waited for; wait takes queues, connections, processes, events, futures, Descriptors "
  .. "and numbers of descriptors"

local function hook_of(value)
  local mt = getmetatable(value)
  return type(mt) == "table" and rawget(mt, "__mproc_wait")
end

local function check_list(list, timeout)
  if type(list) ~= "table" or hook_of(list) then
    errors.raise("wait takes a list, as in mproc.wait({ q, p }), got %s", errors.show(list))
  end
  local n = check.length("the list's n", list)
  if n == 0 and timeout == nil then
    errors.raise("the list is empty and there is no timeout: this would wait for ever")
  end
  return n
end

local function refuse(i, why)
  errors.raise("list[%d]: %s", i, why or NO_SOURCE)
end

-- What core.wait is to look at for list[i], and its test, if it has one.
local function source_of(value, i)
  if type(value) == "number" then
    local fd = math.tointeger(value)
    return fd and fd >= 0 and fd <= FD_MAX and fd or refuse(i, value .. " is no file descriptor")
  elseif value == nil then
    refuse(i, "it is nil")
  end
  local hook = hook_of(value)
  if not hook then
    return value
  end
  local source, test = hook(value)
  if source == nil then
    refuse(i, test)
  end
  return source, test
end

-- sources, count: what is looked at; owners[k]: whose the k-th is, an index of the list; tests[i]: if list[i] has one.
-- Objects with tests that share a source, as the futures of a pool do, have it looked at once: all tests are asked.
local function make_plan(list, n)
  local sources, owners, tests, shared, count = {}, {}, {}, {}, 0
  for i = 1, n do
    local source, test = source_of(list[i], i)
    tests[i] = test
    if source and not (test and shared[source]) then
      count = count + 1
      sources[count], owners[count] = source, i
      shared[source] = test and true
    end
  end
  return { sources = sources, count = count, owners = owners, tests = tests }
end

-- Marks in `ready` what is ready by itself. True; or false, message, NAME when the system refuses.
local function look(plan, ready, timeout)
  local found, at, why = core.wait(plan.sources, plan.count, timeout)
  if not found and type(at) == "number" then
    refuse(plan.owners[at], why)
  elseif not found then
    return false, at, why
  end
  for _, k in ipairs(found) do
    local i = plan.owners[k]
    ready[i] = ready[i] or not plan.tests[i] or nil
  end
  return true
end

local function ask(tests, list, ready)
  for i, test in pairs(tests) do
    ready[i] = test(list[i]) or nil
  end
end

local function look_and_ask(plan, list, ready, timeout)
  local deadline = timeout and core.time() + timeout or math.huge
  local ok, message, name, left
  repeat
    left = deadline - core.time()
    ask(plan.tests, list, ready)
    ok, message, name = look(plan, ready, next(ready) and 0 or math.min(left, SLICE))
  until not ok or next(ready) or left <= 0
  return ok, message, name
end

-- A list of the indices of what is ready; or nil, message, NAME.
local function wait_by_plan(list, n, timeout)
  local plan, ready = make_plan(list, n), {}
  local ok, message, name
  if next(plan.tests) then
    ok, message, name = look_and_ask(plan, list, ready, timeout)
  else
    ok, message, name = look(plan, ready, timeout)
  end
  if not ok then
    return nil, message, name
  end
  local found = {}
  for i = 1, n do
    if ready[i] then
      table.insert(found, i)
    end
  end
  return found
end

-- Returns a list of those in `list` that are ready, in its order: at once if some are, else as soon as one is; {} and
-- "timeout" when none is in time; or nil, message, NAME.
function wait.wait(list, timeout)
  check.timeout(timeout)
  local n = check_list(list, timeout)
  -- Most lists are as core wants them. It says at once if this one is not.
  local found, message, name = core.wait(list, n, timeout)
  if not found and type(message) == "number" then
    found, message, name = wait_by_plan(list, n, timeout)
  end
  if not found then
    return nil, message, name
  end
  local result = {}
  for k, i in ipairs(found) do
    result[k] = list[i]
  end
  if not result[1] then
    return result, "timeout"
  end
  return result
end

return wait
