-- SPDX-License-Identifier: MIT
-- A pool's calls for one task: apply, submit, apply_async.

local ask = require("mproc.pool.owner.ask")
local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local functions = require("mproc.pool.owner.functions")
local future = require("mproc.pool.owner.future")
local inflight = require("mproc.pool.owner.inflight")
local job_of = require("mproc.pool.owner.job")
local protocol = require("mproc.pool.protocol")
local loop = require("mproc.pool.owner.loop")
local record = require("mproc.pool.record")

local calls = {}

local shield, field, STATE = core.shield, core.field, record.STATE
local unpack, of_pool = table.unpack, record.of_pool
local LOOK_SECONDS = 0.005 -- of waits for apply's results, between two looks for ends of workers

-- What all single tasks have in common: each is a job, and the one chunk of it.
local Task = job_of.class({
  mode = protocol.CALL, verb = "apply", base = 0, count = 1, left = 1, next = 0, reported = false, cuts = false,
  failure = false, results = false, callbacks = nil, run_callbacks = future.run_callbacks,
})
Task.single, Task.sent, Task.exhausted = true, 1, true

-- With room for what is written later. A chunk has a job, which is itself here.
local function new_task(f, verb, is_future, version)
  local task = setmetatable({
    f = f, verb = verb, is_future = is_future, version = version, state = false, job = false, number = 0, id = 0,
    ended = false, left = 1, messages = 0, cancel = 0, results = false, told = false,
  }, Task)
  task.job = task
  return task
end

function Task:note()
  if self.failure then
    job_of.fail(self, self.failure[1])
  elseif self.results then
    job_of.finish(self)
  end
end

function Task:give()
  return unpack(self.results, 1, self.results.n)
end

-- Why the arguments, or the function, could not be sent, by the names that they have in the call.
local function raise_unsendable(state, job, reason, name, ...)
  if state.far then
    state.far.raise_unsent(reason, name, ...)
  elseif name then
    errors.raise("cannot send the task: %s", reason)
  end
  local bytes, precise, refused = core.pack(job.f, "f")
  if bytes then
    bytes, precise, refused = core.pack(table.pack(...), "args")
  end
  errors.raise_unsendable(bytes and reason or precise, not bytes and refused)
end

-- Begins the job of a task, f(...), and sends it. alone: nobody can call it off, so that it needs no cancel flag when
-- it begins at once. Raises for what cannot travel.
local function begin(state, job, alone, ...)
  loop.forget_interrupt(state)
  if type(job.f) ~= "function" then
    job_of.check_function(job.f, "pool:%s(f, ...)", job.verb)
  end
  job_of.check_open(state)
  local version = functions.use_known(state, job.f, job.timeout)
  if state.phase ~= "open" then -- packing it has ended the pool
    functions.release(state, version)
    job_of.check_open(state)
  end
  job.version = version
  job_of.begin(state, job)
  if state.broken then
    return job_of.fail(job, state.broken_error)
  elseif not alone or state.inflight.count >= state.size then
    job_of.take_flag(job)
  end
  local sent, reason, name = inflight.send_task(state, job, ...)
  if not sent and not job.ended then
    job.is_future = false
    job_of.finish(job)
    raise_unsendable(state, job, reason, name, ...)
  end
end

-- A Future of f(...).
calls.submit = shield(function(pool, f, ...)
  local state, job = of_pool(pool), new_task(f, "submit", true, false)
  begin(state, job, false, ...)
  if state.serial then
    loop.run_inline(state)
  end
  return future.new(job)
end)

local function count_args(verb, args)
  if args == nil then
    return 0
  elseif type(args) ~= "table" then
    errors.raise("args must be a list of arguments, got %s; write pool:%s(f, { %s })", errors.show(args), verb,
      type(args) == "string" and ("%q"):format(args) or tostring(args))
  end
  local n = check.length("args.n", args, check.ARGUMENTS_MAX)
  if n == 0 and next(args) ~= nil and args.n == nil then
    errors.raise("args is a table without a list part; named arguments (kwargs) come after it: %s(f, {}, {...})", verb)
  end
  return n
end

-- The arguments, kwargs behind them.
local function unpack_args(verb, args, kwargs)
  local n = count_args(verb, args)
  if kwargs == nil then
    return unpack(args or {}, 1, n)
  elseif type(kwargs) ~= "table" then
    errors.raise("kwargs must be a table of named arguments, got %s", errors.show(kwargs))
  end
  local all = table.move(args or {}, 1, n, 1, {})
  all[n + 1] = kwargs
  return unpack(all, 1, n + 1)
end

local ASYNC_OPTIONS = { "callback", "error_callback", "timeout" }

local function read_async_options(given)
  if given == nil then
    return {}
  elseif type(given) ~= "table" then
    errors.raise("the callbacks are a table { callback = f, error_callback = g }, got %s", errors.show(given))
  end
  check.options(given, "there is", ASYNC_OPTIONS)
  for name, value in next, given do
    if name == "timeout" then
      check.seconds(name, value)
    else
      check.callable(name, value)
    end
  end
  return given
end

-- A Future of f(args..., kwargs). options: { callback = f(results...), error_callback = f(error), timeout = seconds }.
calls.apply_async = shield(function(pool, f, args, kwargs, options)
  local state = of_pool(pool)
  local given = read_async_options(options)
  local job = new_task(f, "apply_async", true, false)
  job.callback, job.error_callback, job.timeout = given.callback, given.error_callback, given.timeout or false
  begin(state, job, false, unpack_args("apply_async", args, kwargs))
  loop.run_inline(state)
  return future.new(job)
end)

local function is_over(job)
  return job.ended
end

-- Waits for a task that only the call itself knows of.
local function finish(state, job)
  local _ <close> = job_of.guard(job)
  if state.asked >= LOOK_SECONDS then
    loop.look_soon(state)
  end
  loop.await(state, is_over, job)
  if job.failed then
    error(job.err, 0)
  end
  return job:give()
end

-- f(args..., kwargs), as every other task.
local function apply(pool, f, args, kwargs)
  local state = of_pool(pool)
  local job = new_task(f, "apply", false, false)
  begin(state, job, true, unpack_args("apply", args, kwargs))
  return finish(state, job)
end

local function new_call(state)
  local job = new_task(nil, "apply", false, false)
  job.state = state
  return job
end

function calls.prepare(state)
  state.asked = 0
  state.takes_calls = not state.serial and not state.far and not state.task_timeout
  state.call = state.takes_calls and new_call(state)
end

local function finish_asked(pool, state, f, args, kwargs, over, ...)
  if over then
    return ...
  elseif over == false then
    return finish(state, (...))
  end
  return apply(pool, f, args, kwargs)
end

-- f(args..., kwargs), run by a worker: all its results.
calls.apply = shield(function(pool, f, args, kwargs)
  local state = field(pool, STATE)
  if kwargs == nil then
    return finish_asked(pool, state, f, args, kwargs, ask(state, f, args, new_call))
  end
  return apply(pool, f, args, kwargs)
end)

return calls
