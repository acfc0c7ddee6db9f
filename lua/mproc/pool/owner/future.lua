-- SPDX-License-Identifier: MIT
-- Futures: what a pool's asynchronous calls give, a job that users can ask and wait for; as_completed and wait_all.
--
-- Beside a job's fields: is_future; callback, error_callback; callbacks, a list of { f, future }; told: those have run;
-- was_cancelled. Its class has give(job): its results. Its pool's owner alone can use it.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local job_of = require("mproc.pool.owner.job")
local limits = require("mproc.pool.owner.limits")
local loop = require("mproc.pool.owner.loop")
local pool_errors = require("mproc.pool.errors")
local record = require("mproc.pool.record")

local future = {}

local shield = core.shield
local JOB = record.JOB

local Future = { __name = "mproc.Future" }
Future.__index = Future

-- The user's object for a job.
function future.new(job)
  return setmetatable({ [JOB] = job }, Future)
end

local function is_future(value)
  local job = record.job(value)
  return job and job.is_future and job or nil
end

-- The job of a future, for its method of that name.
local function job_for(self, name)
  local job = is_future(self)
  if not job then
    errors.raise("this is not a future, but %s; call its methods with a colon, as in future:%s()", errors.show(self),
      name)
  end
  record.check_owner(job.state)
  return job
end

local function is_over(job)
  return job.ended
end

local function await(self, name, timeout)
  local job = job_for(self, name)
  if timeout ~= nil then
    check.timeout(timeout)
  end
  if job.ended and not job.state.jobs.showing[1] then
    return true, job
  end
  return loop.await(job.state, is_over, job, loop.deadline(timeout)), job
end

-- The task's results, or raises its error; nil, "timeout".
Future.get = shield(function(self, timeout)
  local over, job = await(self, "get", timeout)
  if not over then
    return nil, "timeout"
  elseif job.failed then
    job.read = true
    error(job.err, 0)
  end
  return job:give()
end)

-- true, or false, "timeout".
Future.wait = shield(function(self, timeout)
  if await(self, "wait", timeout) then
    return true
  end
  return false, "timeout"
end)

-- The error, or nil when there was none; nil, "timeout".
Future.exception = shield(function(self, timeout)
  local over, job = await(self, "exception", timeout)
  if not over then
    return nil, "timeout"
  end
  job.read = true
  return job.err
end)

-- Looks at what has come in, without waiting.
local function look(self, name)
  local job = job_for(self, name)
  if not job.ended then
    loop.step(job.state, 0)
  end
  return job.ended, job
end

Future.ready = shield(function(self) return (look(self, "ready")) end)
Future.done = shield(function(self) return (look(self, "done")) end)

Future.successful = shield(function(self)
  local ended, job = look(self, "successful")
  return ended and not job.failed
end)

Future.cancelled = shield(function(self)
  local ended, job = look(self, "cancelled")
  return ended and job.was_cancelled == true
end)

-- Runs now: a worker has begun it, or a part of it.
Future.running = shield(function(self)
  local ended, job = look(self, "running")
  return not ended and job_of.has_begun(job)
end)

local function cancel(job)
  if not job_of.try_cancel(job) then
    return false
  end
  job.was_cancelled, job.read = true, true
  job_of.fail(job, pool_errors.cancelled(pool_errors.name_task(job)))
  return true
end

-- True when none of it had begun, and none will; false when it is too late.
Future.cancel = shield(function(self)
  local ended, job = look(self, "cancel")
  if ended then
    return job.was_cancelled == true
  end
  return cancel(job)
end)

-- Ends it, whatever it does: a worker that runs it is killed, and replaced. False when it had ended.
Future.terminate = shield(function(self)
  local ended, job = look(self, "terminate")
  if ended then
    return false
  elseif not cancel(job) then
    job.read = true
    job_of.stop(job) -- first, so that nobody begins what is left
    limits.end_job(job.state, job)
    job_of.fail(job, pool_errors.task_terminated(pool_errors.name_task(job)))
  end
  return true
end)

-- f(future) when it has ended: inside a call that waits, or now. In the order of being added.
Future.add_done_callback = shield(function(self, f)
  local job = job_for(self, "add_done_callback")
  job_of.check_function(f, "future:%s(f)", "add_done_callback")
  if job.told then
    loop.call_back(f, self)
  else
    local callbacks = job.callbacks or {}
    callbacks[#callbacks + 1] = { f, self }
    job.callbacks = callbacks
  end
end)

-- Tells those who wanted to know of the end. call_back(f, ...) calls code of the user's.
function future.run_callbacks(job, call_back)
  local callbacks, callback = job.callbacks or {}, not job.failed and job.callback
  job.told, job.callbacks, job.callback = true, nil, nil
  if job.failed and job.error_callback then
    job.read = true
    call_back(job.error_callback, job.err)
  elseif callback then
    call_back(callback, job:give())
  end
  for _, pair in ipairs(callbacks) do
    call_back(pair[1], pair[2])
  end
end

local function state_of(job)
  if not job.ended then
    return "pending"
  elseif job.was_cancelled then
    return "cancelled"
  end
  return job.failed and "failed" or "done"
end

function Future:__tostring()
  local job = record.job(self)
  return ("mproc.Future %d: %s"):format(job.number, state_of(job))
end

-- For mproc.wait: news of its pool comes by the queue of results; what else there may be, it learns from its own look.
function Future:__mproc_wait()
  local job = job_for(self, "wait")
  return not job.ended and job.state.results or false, Future.ready
end

function Future.__mproc_encode()
  return nil, "a future belongs to the process that made its pool; get() its result and send that"
end

-- --- several ---

-- The futures of a list, and their jobs.
local function read_list(list, name)
  if type(list) ~= "table" or is_future(list) then
    errors.raise("%s takes a list of futures, got %s", name, errors.show(list))
  end
  local entries = {}
  for i = 1, check.length("the list's n", list) do
    local job = is_future(list[i])
    if not job then
      errors.raise("%s takes a list of futures; its element %d is %s", name, i, errors.show(list[i]))
    end
    record.check_owner(job.state)
    entries[i] = { future = list[i], job = job }
  end
  return entries
end

-- The pools of those that have not ended.
local function pools_of(entries)
  local states, seen = {}, {}
  for _, entry in ipairs(entries) do
    local state = entry.job.state
    if not entry.job.ended and not seen[state] then
      seen[state] = true
      states[#states + 1] = state
    end
  end
  return states
end

local TURN = 0.005 -- how long one pool of several is waited for

-- Until is_enough(subject); false when the time is over.
local function await_any(entries, is_enough, deadline)
  while not is_enough(entries) do
    local states = pools_of(entries)
    if #states == 1 then
      return loop.await(states[1], is_enough, entries, deadline)
    elseif deadline and core.time() >= deadline then
      return false
    end
    for _, state in ipairs(states) do
      local turn = loop.deadline(TURN)
      loop.await(state, is_enough, entries, deadline and math.min(deadline, turn) or turn)
    end
  end
  return true
end

local function first_ended(entries)
  for i, entry in ipairs(entries) do
    if entry.job.ended then
      return i
    end
  end
end

-- An iterator of the futures as they end; it ends with nil, "timeout" when the time (for all of them) is over.
future.as_completed = shield(function(list, timeout)
  local waiting = read_list(list, "as_completed")
  check.timeout(timeout)
  local deadline = loop.deadline(timeout)
  return shield(function()
    if #waiting == 0 then
      return nil
    elseif not await_any(waiting, first_ended, deadline) then
      return nil, "timeout"
    end
    return table.remove(waiting, first_ended(waiting)).future
  end)
end)

local ENOUGH = {
  all = function(entries)
    for _, entry in ipairs(entries) do
      if not entry.job.ended then
        return false
      end
    end
    return true
  end,
  first_completed = function(entries)
    return #entries == 0 or first_ended(entries)
  end,
}

function ENOUGH.first_error(entries)
  for _, entry in ipairs(entries) do
    if entry.job.failed then
      return true
    end
  end
  return ENOUGH.all(entries)
end

-- Waits as long as `until_when` says ("all", "first_completed" or "first_error"), at most timeout seconds. Returns the
-- list of those that have ended and the list of the others, each in the order given.
future.wait_all = shield(function(list, until_when, timeout)
  if type(until_when) == "number" and timeout == nil then
    until_when, timeout = nil, until_when
  end
  local entries = read_list(list, "wait_all")
  check.timeout(timeout)
  local is_enough = ENOUGH[until_when or "all"]
  if not is_enough then
    errors.raise("wait_all waits for \"all\", \"first_completed\" or \"first_error\", got %s", errors.show(until_when))
  end
  await_any(entries, is_enough, loop.deadline(timeout))
  local done, pending = {}, {}
  for _, entry in ipairs(entries) do
    table.insert(entry.job.ended and done or pending, entry.future)
  end
  return done, pending
end)

return future
