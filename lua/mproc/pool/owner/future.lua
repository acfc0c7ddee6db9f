-- SPDX-License-Identifier: MIT
-- Futures: what a pool's asynchronous calls give, a job (pool_job.lua) that users can ask and wait for; as_completed
-- and wait_all. Used by pool.lua and init.lua.
--
-- Beside a job's fields: is_future, results (packed) or failed and err; read: its error has been seen; was_cancelled;
-- callbacks. Its pool's owner alone can use it.

local core = require("mproc.core")
local drive = require("mproc.pool_drive")
local errors = require("mproc.errors")
local job = require("mproc.pool_job")
local pool_errors = require("mproc.pool_errors")

local future = {}

local Future = { __name = "mproc.Future" }
Future.__index = Future
future.Future = Future
job.inherit(Future)

local Task = { __name = Future.__name } -- futures of one task
Task.__index = Task

local function is_future(value)
  local mt = type(value) == "table" and getmetatable(value)
  return mt == Future or mt == Task
end

local function check(self, name)
  if not is_future(self) then
    errors.raise("this is not a future, but %s; call its methods with a colon, as in future:%s()", errors.show(self),
      name)
  end
  drive.check_owner(self.pool)
end

local function is_over(self)
  return self.ended
end

-- The ends of its job: its results, or its error. Called once, by those who make it.
function Future:succeed(...)
  self.results = table.pack(...)
  job.finish(self)
end

function Future:abort(err)
  if not self.ended then
    self.failed, self.err = true, err
    job.finish(self)
  end
end

local function await(self, name, timeout)
  check(self, name)
  errors.check_timeout(timeout)
  return drive.await(self.pool, is_over, self, drive.deadline(timeout))
end

-- The task's results, or raises its error; nil, "timeout".
function Future:get(timeout)
  if not await(self, "get", timeout) then
    return nil, "timeout"
  elseif self.failed then
    self.read = true
    error(self.err, 0)
  end
  return table.unpack(self.results, 1, self.results.n)
end

-- true, or false, "timeout".
function Future:wait(timeout)
  if await(self, "wait", timeout) then
    return true
  end
  return false, "timeout"
end

-- The error, or nil when there was none; nil, "timeout".
function Future:exception(timeout)
  if not await(self, "exception", timeout) then
    return nil, "timeout"
  end
  self.read = true
  return self.err
end

-- Looks at what has come in, without waiting.
local function look(self, name)
  check(self, name)
  if not self.ended then
    drive.step(self.pool, 0)
  end
  return self.ended
end

function Future:ready()
  return look(self, "ready")
end

function Future:done()
  return look(self, "done")
end

function Future:successful()
  return look(self, "successful") and not self.failed
end

function Future:cancelled()
  return look(self, "cancelled") and self.was_cancelled == true
end

-- Runs now: a worker has begun it, or a part of it.
function Future:running()
  return not look(self, "running") and self.pool:has_begun(self)
end

-- True when none of it had begun, and none will; false when it is too late.
function Future:cancel()
  if look(self, "cancel") then
    return self.was_cancelled == true
  elseif not self.pool:withdraw(self) then
    return false
  end
  self.was_cancelled, self.read = true, true
  self:abort(pool_errors.cancelled(pool_errors.name_task(self, 0)))
  return true
end

-- f(future) when it has ended: inside a call that waits, or now. In the order of being added.
function Future:add_done_callback(f)
  check(self, "add_done_callback")
  job.check_function(f, "future:%s(f)", "add_done_callback")
  if self.ended and self.ran_callbacks then
    drive.run_callback(f, self)
  else
    self.callbacks = self.callbacks or {}
    table.insert(self.callbacks, f)
  end
end

-- For pool_drive.lua.
function Future:run_callbacks(run)
  self.ran_callbacks = true
  local named = self.failed and self.error_callback or not self.failed and self.callback
  if named and self.failed then
    self.read = true
    run(named, self.err)
  elseif named then
    run(named, table.unpack(self.results, 1, self.results.n))
  end
  for _, f in ipairs(self.callbacks or {}) do
    run(f, self)
  end
  self.callbacks = nil
end

local function state_of(self)
  if not self.ended then
    return "pending"
  elseif self.was_cancelled then
    return "cancelled"
  end
  return self.failed and "failed" or "done"
end

function Future:__tostring()
  return ("mproc.Future %d: %s"):format(self.number, state_of(self))
end

-- For mproc.wait: news of its pool comes by the queue of results; what else there may be, it learns from its own look.
function Future:__mproc_wait()
  drive.check_owner(self.pool)
  return not self.ended and self.pool.results, Future.ready
end

function Future.__mproc_encode()
  error("a future belongs to the process that made its pool; get() its result and send that", 0)
end

-- The class of single tasks, with what is the same for all of them.
function future.task_class(common)
  for _, class in ipairs({ Future, common }) do
    for name, value in pairs(class) do
      Task[name] = value
    end
  end
  Task.__index = Task
  return Task
end

-- --- several ---

local function check_list(list, name)
  if type(list) ~= "table" or is_future(list) then
    errors.raise("%s takes a list of futures, got %s", name, errors.show(list))
  end
  for i = 1, list.n or #list do
    if not is_future(list[i]) then
      errors.raise("%s takes a list of futures; its element %d is %s", name, i, errors.show(list[i]))
    end
    drive.check_owner(list[i].pool)
  end
end

-- The pools of those that have not ended.
local function pools_of(list)
  local pools, seen = {}, {}
  for _, f in ipairs(list) do
    if not f.ended and not seen[f.pool] then
      seen[f.pool] = true
      pools[#pools + 1] = f.pool
    end
  end
  return pools
end

local TURN = 0.005 -- how long one pool of several is waited for

-- Until is_enough(subject); false when the time is over.
local function await_any(list, is_enough, subject, deadline)
  while not is_enough(subject) do
    local pools = pools_of(list)
    if #pools == 1 then
      return drive.await(pools[1], is_enough, subject, deadline)
    elseif deadline and core.time() >= deadline then
      return false
    end
    for _, pool in ipairs(pools) do
      local turn = drive.deadline(TURN)
      drive.await(pool, is_enough, subject, deadline and math.min(deadline, turn) or turn)
    end
  end
  return true
end

local function first_ended(list)
  for i, f in ipairs(list) do
    if f.ended then
      return i
    end
  end
end

-- An iterator of the futures as they end; it ends with nil, "timeout" when the time (for all of them) is over.
function future.as_completed(list, timeout)
  check_list(list, "as_completed")
  errors.check_timeout(timeout)
  local deadline, waiting = drive.deadline(timeout), table.move(list, 1, #list, 1, {})
  return function()
    if #waiting == 0 then
      return nil
    elseif not await_any(waiting, first_ended, waiting, deadline) then
      return nil, "timeout"
    end
    return table.remove(waiting, first_ended(waiting))
  end
end

local ENOUGH = {
  all = function(list)
    for _, f in ipairs(list) do
      if not f.ended then
        return false
      end
    end
    return true
  end,
  first_completed = function(list)
    return #list == 0 or first_ended(list)
  end,
}

function ENOUGH.first_error(list)
  for _, f in ipairs(list) do
    if f.failed then
      return true
    end
  end
  return ENOUGH.all(list)
end

-- Waits as long as `until_when` says ("all", "first_completed" or "first_error"), at most timeout seconds. Returns the
-- list of those that have ended and the list of the others, each in the order given.
function future.wait_all(list, until_when, timeout)
  if type(until_when) == "number" then
    until_when, timeout = nil, until_when
  end
  check_list(list, "wait_all")
  errors.check_timeout(timeout)
  local is_enough = ENOUGH[until_when or "all"]
  if not is_enough then
    errors.raise("wait_all waits for \"all\", \"first_completed\" or \"first_error\", got %s", errors.show(until_when))
  end
  await_any(list, is_enough, list, drive.deadline(timeout))
  local done, pending = {}, {}
  for _, f in ipairs(list) do
    table.insert(f.ended and done or pending, f)
  end
  return done, pending
end

return future
