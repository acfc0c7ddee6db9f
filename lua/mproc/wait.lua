-- SPDX-License-Identifier: MIT
-- mproc.wait: until one of many things is ready. Used by init.lua.
--
-- What can be waited for is a descriptor's number, a shared object whose binding says so (src/bind/watch.h), or a table
-- whose metatable has
--
--   __mproc_wait(object) -> source | sources, test | nil, why not
--
-- With a source alone, a thing of the other kinds or a handle of core's, the object is ready when that is. With a test,
-- sources is a list of such things, and the object is ready when test(object) is true: it is called first, and again
-- whenever one of them is ready, which it must put an end to (by taking the message that arrived, say).

local core = require("mproc.core")
local errors = require("mproc.errors")

local wait = {}

local NOTHING = "it cannot be waited for; wait takes queues, connections, processes, events, futures and numbers of file "
  .. "descriptors"

local function refuse(i, why)
  errors.raise("list[%d]: %s", i, why)
end

local function hook_of(value)
  local mt = getmetatable(value)
  return type(mt) == "table" and rawget(mt, "__mproc_wait")
end

local function check_list(list)
  if type(list) ~= "table" or hook_of(list) then
    errors.raise("wait takes a list, as in mproc.wait({ q, p }), got %s", errors.show(list))
  end
  local n = list.n
  if n == nil then
    return #list
  elseif math.type(n) ~= "integer" or n < 0 then
    errors.raise("the list's n must be a count, got %s", errors.show(n))
  end
  return n
end

local function check_fd(i, value)
  local fd = math.tointeger(value)
  if not fd or fd < 0 or fd > 0x7fffffff then
    refuse(i, ("%s is no file descriptor"):format(tostring(value)))
  end
  return fd
end

-- sources: what core.wait is to look at; owner[k]: whose the k-th is; tests[i]: of list[i], or nil.
local Plan = {}
Plan.__index = Plan

function Plan:add(i, source)
  self.count = self.count + 1
  self.sources[self.count] = source
  self.owner[self.count] = i
end

-- Objects that share a source, as futures of one pool do, have it looked at once: every test is called anyway.
function Plan:add_tested(i, sources, test)
  self.tests = self.tests or {}
  self.tests[i] = test
  for _, source in ipairs(sources) do
    if not self.seen[source] then
      self.seen[source] = true
      self:add(i, source)
    end
  end
end

function Plan:add_object(i, value)
  local hook = hook_of(value)
  if not hook then
    refuse(i, NOTHING)
  end
  local source, test = hook(value)
  if source == nil then
    refuse(i, test)
  elseif test then
    self:add_tested(i, source, test)
  else
    self:add(i, source)
  end
end

local function make_plan(list, n)
  local plan = setmetatable({ count = 0, sources = {}, owner = {}, seen = {}, tests = nil }, Plan)
  for i = 1, n do
    local value = list[i]
    if type(value) == "number" then
      plan:add(i, check_fd(i, value))
    elseif type(value) == "userdata" then
      plan:add(i, value)
    elseif type(value) == "table" then
      plan:add_object(i, value)
    else
      refuse(i, value == nil and "it is nil" or NOTHING)
    end
  end
  return plan
end

-- A set of indices of the list, and whether there are any; raises or returns false, message, NAME when the system refuses.
function Plan:look(timeout)
  local found, at, why = core.wait(self.sources, self.count, timeout)
  if not found and type(at) == "number" then
    refuse(self.owner[at], why == "it cannot be waited for" and NOTHING or why)
  elseif not found then
    return false, at, why
  end
  local ready = {}
  for _, k in ipairs(found) do
    local i = self.owner[k]
    ready[i] = not (self.tests and self.tests[i]) or nil
  end
  return ready
end

local function run_tests(tests, list, ready)
  for i, test in pairs(tests) do
    ready[i] = test(list[i]) or nil
  end
end

-- With tests: they come before each look, so that what a look shows is tested before the next.
function Plan:look_and_test(list, timeout)
  local deadline = timeout and core.time() + timeout
  while true do
    local tested = {}
    run_tests(self.tests, list, tested)
    local left = deadline and deadline - core.time()
    local ready, message, name = self:look(next(tested) and 0 or left)
    if not ready then
      return false, message, name
    end
    for i in pairs(tested) do
      ready[i] = true
    end
    if next(ready) or (left and left <= 0) then
      return ready
    end
  end
end

-- Returns a list of those in `list` that are ready, in its order: at once those that are, else as soon as one is.
-- {}, "timeout" when none is in time.
function wait.wait(list, timeout)
  errors.check_timeout(timeout)
  local n = check_list(list)
  if n == 0 and timeout == nil then
    errors.raise("the list is empty, and there is no timeout: this would wait for ever")
  end
  local plan = make_plan(list, n)
  local ready, message, name
  if plan.tests then
    ready, message, name = plan:look_and_test(list, timeout)
  else
    ready, message, name = plan:look(timeout)
  end
  if not ready then
    return nil, message, name
  end
  local result = {}
  for i = 1, n do
    if ready[i] then
      result[#result + 1] = list[i]
    end
  end
  if #result == 0 then
    return result, "timeout"
  end
  return result
end

return wait
