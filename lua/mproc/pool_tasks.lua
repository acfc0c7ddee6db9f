-- SPDX-License-Identifier: MIT
-- A pool's calls for one task: apply, submit, apply_async. Used by pool.lua.

local chunks = require("mproc.pool_chunks")
local core = require("mproc.core")
local drive = require("mproc.pool_drive")
local errors = require("mproc.errors")
local functions = require("mproc.pool_functions")
local future = require("mproc.future")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local lists = require("mproc.pool_lists")

local tasks = {}

-- Of a job with one item.
local function deliver_single(self, _, ok, ...)
  if self.ended then
    return
  elseif ok then
    self:succeed(...)
  else
    self:abort((...))
  end
end

-- Why the arguments, or the function, could not be sent, by the names that they have in the call.
local function raise_unsendable(f, what, reason, name, ...)
  if name then
    errors.raise("cannot send the task: %s", reason)
  end
  local bytes, precise = core.freeze(f, "f")
  if bytes then
    bytes, precise = core.freeze(table.pack(...), what)
  end
  reason = bytes and reason or precise
  if type(reason) == "string" then
    errors.raise("%s", reason)
  end
  error(reason, 0)
end

-- verb: for messages. what: names the arguments in errors. more: fields of the future.
local function submit(pool, verb, f, more, what, ...)
  drive.check_owner(pool)
  job.check_function(f, ("pool:%s(f, ...)"):format(verb))
  job.check_open(pool)
  local version = functions.version_or_none(pool, f)
  local task = setmetatable(more, future.Future)
  task.verb, task.f, task.mode, task.single, task.deliver = verb, f, label.CALL, true, deliver_single
  job.begin(pool, task)
  if pool.broken then
    task:abort(pool.broken_error)
    return task
  end
  task.fed, task.exhausted = 1, true
  local ok, reason, name = chunks.send(pool, task, 0, 1, version, f, what, ...)
  if not ok then
    task.is_future = false
    task:abort(reason)
    raise_unsendable(f, what, reason, name, ...)
  end
  return task
end

-- A Future of f(...).
function tasks.submit(pool, f, ...)
  return submit(pool, "submit", f, { is_future = true }, "args", ...)
end

local function pack_args(verb, args)
  if args == nil then
    return { n = 0 }
  elseif type(args) ~= "table" then
    errors.raise("args must be a list of arguments, got %s; write pool:%s(f, { %s })", errors.show(args), verb,
      type(args) == "string" and ("%q"):format(args) or tostring(args))
  end
  local n = args.n or #args
  if math.type(n) ~= "integer" or n < 0 then
    errors.raise("args.n must be the number of arguments, got %s", errors.show(n))
  elseif n == 0 and next(args) ~= nil and args.n == nil then
    errors.raise("args is a table without a list part; named arguments (kwargs) come after it: %s(f, {}, {...})", verb)
  end
  return { n = n, table.unpack(args, 1, n) }
end

local function with_kwargs(verb, args, kwargs)
  local packed = pack_args(verb, args)
  if kwargs ~= nil then
    if type(kwargs) ~= "table" then
      errors.raise("kwargs must be a table of named arguments, got %s", errors.show(kwargs))
    end
    packed.n = packed.n + 1
    packed[packed.n] = kwargs
  end
  return packed
end

local function check_callbacks(given)
  if given == nil then
    return nil, nil
  elseif type(given) ~= "table" then
    errors.raise("the callbacks are a table { callback = f, error_callback = g }, got %s", errors.show(given))
  end
  for name, f in pairs(given) do
    if name ~= "callback" and name ~= "error_callback" then
      errors.raise("there is callback and error_callback, but no %s", errors.show(name))
    elseif type(f) ~= "function" then
      errors.raise("%s must be a function, got %s", name, errors.show(f))
    end
  end
  return given.callback, given.error_callback
end

-- A Future of f(args..., kwargs). callbacks: { callback = f(results...), error_callback = f(error) }.
function tasks.apply_async(pool, f, args, kwargs, callbacks)
  local packed = with_kwargs("apply_async", args, kwargs)
  local callback, error_callback = check_callbacks(callbacks)
  return submit(pool, "apply_async", f, { is_future = true, callback = callback, error_callback = error_callback },
    "args", table.unpack(packed, 1, packed.n))
end

-- f(args..., kwargs), run by a worker: all its results.
function tasks.apply(pool, f, args, kwargs)
  local packed = with_kwargs("apply", args, kwargs)
  return lists.finish(submit(pool, "apply", f, {}, "args", table.unpack(packed, 1, packed.n)))
end

return tasks
