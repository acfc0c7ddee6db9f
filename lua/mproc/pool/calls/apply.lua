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
local words = require("mproc.pool_words")

local tasks = {}

local pack, unpack, finish = table.pack, table.unpack, job.finish
local ask, open = core.ask, job.open
local SHIFT = label.SHIFT
local SEAT_SHIFT, SEAT_MASK = label.SEAT_SHIFT, label.SEAT_MASK
local SHORT = 0.005 -- so long a result alone is waited for
local LOOK_SECONDS = 0.005 -- of such waits, between two looks for ends of workers

-- What all single tasks have in common: each is a job, and the one chunk of it.
local Task = future.task_class({
  mode = label.CALL, single = true, fed = 1, exhausted = true, is_future = false, failed = false, messages = 1,
  base = 0, count = 1, left = 1, next = 0,
})

function Task:deliver(_, ok, ...)
  if self.ended then
    return
  elseif ok then
    self.results = pack(...)
    return finish(self)
  end
  self:abort((...))
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

-- Sends f(...), unless the pool is broken. Returns the stop word, the version of f, and the chunk; raises for what
-- cannot travel. alone: nobody can call it off, so that it needs no stop word when it begins at once.
local function send(pool, verb, alone, f, ...)
  drive.check_owner(pool)
  local version = pool.known_functions[f]
  if not version or not version.fixed then
    job.check_function(f, "pool:%s(f, ...)", verb)
  end
  if pool.state ~= "open" then
    job.check_open(pool)
  end
  if not version or not version.fixed then
    version = functions.version_or_none(pool, f)
  end
  local word = alone and pool.in_flight < pool.size and 0 or words.take(pool)
  if pool.broken then
    return word
  end
  local id, reason, name = chunks.send_task(pool, word, version, f, "args", ...)
  if not id then
    words.give_back(pool, word)
    raise_unsendable(f, "args", reason, name, ...)
  end
  return word, version, id
end

-- What was sent begins to be a job. Ctrl-C may come at any line: what is out is counted first, so that its result is
-- expected, whoever wants it. The constructors below leave room for what is written later.
local function begin(pool, task, id)
  if id and not pool.broken then
    chunks.adopt(pool, id, task)
    if not task.ended then
      job.enlist(pool, task)
    end
  else
    job.enlist(pool, task)
    task.messages = 0
    task:abort(pool.broken_error)
  end
  return task
end

-- A Future of f(...).
function tasks.submit(pool, f, ...)
  local word, version, id = send(pool, "submit", false, f, ...)
  return begin(pool, setmetatable({
    pool = pool, verb = "submit", f = f, number = job.take_number(pool), stop_word = word, version = version,
    is_future = true, messages = 1, ended = false, results = false, callbacks = nil, read = nil,
  }, Task), id)
end

local function count_args(verb, args)
  if args == nil then
    return 0
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
  return table.unpack(all, 1, n + 1)
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
  local callback, error_callback = check_callbacks(callbacks)
  local word, version, id = send(pool, "apply_async", false, f, unpack_args("apply_async", args, kwargs))
  return begin(pool, setmetatable({
    pool = pool, verb = "apply_async", f = f, number = job.take_number(pool), stop_word = word, version = version,
    is_future = true, messages = 1, ended = false, results = false, callback = callback,
    error_callback = error_callback,
  }, Task), id)
end

local function new_call(pool, f, word, version)
  return setmetatable({
    pool = pool, verb = "apply", f = f, number = job.take_number(pool), stop_word = word, version = version,
    ended = false, results = false,
  }, Task)
end

-- f(args..., kwargs) as a job of its own.
local function apply(pool, f, args, kwargs)
  local word, version, id = send(pool, "apply", true, f, unpack_args("apply", args, kwargs))
  if pool.asked >= LOOK_SECONDS then
    drive.look_soon(pool)
  end
  return lists.finish(begin(pool, new_call(pool, f, word, version), id))
end

-- What came of core.ask: mostly the result of task `id`, which then needs no job. `bytes` is the time that took. Else
-- it is a job from now on, or was never sent.
local function settle(pool, f, args, version, id, mine, a, b, c, bytes, ok, ...)
  pool.asking = false
  if mine then
    local seat, seconds = pool.crew[b >> SEAT_SHIFT & SEAT_MASK], c * 1e-9
    pool.next_job, pool.done, pool.cost = pool.next_job + 1, pool.done + 1, seconds
    pool.busy, pool.asked = pool.busy + bytes, pool.asked + bytes
    if seat then
      seat.done, seat.working = seat.done + 1, seat.working + seconds
    end
    return ...
  elseif mine == nil and a then -- it still runs: it is counted until it has ended, as those that are given up are
    functions.use(version)
    pool:abandon(begin(pool, new_call(pool, f, 0, version), id))
    drive.note_interrupt(a)
    error(a, 0)
  elseif mine == nil then
    return apply(pool, f, args)
  end
  functions.use(version)
  if a == nil then
    pool.busy = pool.busy + SHORT
  end
  local task = begin(pool, new_call(pool, f, 0, version), id)
  drive.take_in(pool, a, b, c, bytes, ok, ...)
  return lists.finish(task)
end

-- f(args..., kwargs), run by a worker: all its results. While nothing else is to be done, a function that the workers
-- have is sent and its result awaited at once. From time to time something is: to look for ends of workers. Behind
-- tasks that nobody wants any more it is a job with a stop word, so that Ctrl-C calls it off.
function tasks.apply(pool, f, args, kwargs)
  local version = open[pool] and pool.nlive == 0 and pool.asked < LOOK_SECONDS and pool.in_flight < pool.size
    and pool.due_from > pool.due_to and not pool.asking and kwargs == nil and pool.known_functions[f]
  if not version or not version.at_once or not version.fixed and not functions.unchanged(version) then
    return apply(pool, f, args, kwargs)
  end
  local id = pool.next_chunk
  pool.next_chunk, pool.asking = id + 1, id
  return settle(pool, f, args, version, id, ask(pool.tasks, pool.results, pool.maker, id << SHIFT,
    version.at_once, SHORT, args))
end

return tasks
