-- SPDX-License-Identifier: MIT
-- Pool: a number of workers that run tasks. This file makes a pool and ends it; its other methods stand in calls/.
--
--      owner (its program's calls)                                      workers (daemon processes)
--
--   calls/*  ──>  job  ──>  dispatch  ──>  inflight ══ task queue ══>  worker: takes a message under lease,
--      ^           ^        (how many      (chunks by                    finds its function, runs the items
--      │           │       items, when)     their number)                        │
--      │           └── note ──────────────  inflight <══ result queue ══════════─┘  one message an item
--   future, iterator                           ^
--                                              │ orphans: what a dead worker had in hand comes back by the task queue
--   functions ══ a channel for each worker ══> │ workers (starts, ends, replacements)
--
-- A pool has no thread or process of its own beside its workers: its owner moves it along in every call that waits
-- (owner/loop.lua). The user's object has methods and a record, the state, under a private key; each part of the state
-- is written by one file: state.workers, .inflight, .functions, .jobs. Beside these: owner and owner_pid, phase
-- ("open", "closed", "terminated"), broken and broken_error (workers cannot start), finishing (no worker shall be
-- replaced), finished, size (of the pool, whoever its workers are), transport (how messages go and come:
-- protocol.transport), results, flags (protocol.flags), and the options.
--
-- Every method runs under core.shield: no hook of the program's, and no Ctrl-C but in a wait, ends it between two
-- lines. Code of the user's that it calls may do anything to the pool, and finalizers may come at any allocation.

local check = require("mproc.check")
local core = require("mproc.core")
local dispatch = require("mproc.pool.owner.dispatch")
local errors = require("mproc.errors")
local far = require("mproc.pool.owner.far")
local apply = require("mproc.pool.calls.apply")
local functions = require("mproc.pool.owner.functions")
local imap = require("mproc.pool.calls.imap")
local inflight = require("mproc.pool.owner.inflight")
local job = require("mproc.pool.owner.job")
local loop = require("mproc.pool.owner.loop")
local map = require("mproc.pool.calls.map")
local options = require("mproc.pool.options")
local pool_errors = require("mproc.pool.errors")
local protocol = require("mproc.pool.protocol")
local record = require("mproc.pool.record")
local report = require("mproc.pool.report")
local search = require("mproc.pool.calls.search")
local inline = require("mproc.pool.worker.inline")
local workers = require("mproc.pool.owner.workers")
require("mproc.pool.owner.channels")

local UNREAD_SHOWN = 10

local shield, of_pool, STATE = core.shield, record.of_pool, record.STATE

local Pool = { __name = "mproc.Pool" }
Pool.__index = Pool

for _, calls in ipairs({ apply, map, imap, search }) do
  for _, name in ipairs({
    "apply", "submit", "apply_async", "map", "starmap", "each", "map_async", "starmap_async", "imap", "imap_unordered",
    "reduce", "filter", "any", "all", "find",
  }) do
    Pool[name] = Pool[name] or calls[name]
  end
end

for _, name in ipairs({ "stats", "workers", "insights" }) do
  Pool[name] = shield(function(pool)
    return report[name](of_pool(pool))
  end)
end

-- Moves things along once: results, callbacks, replacements, retries. Waits for up to `timeout` seconds (by default not
-- at all) when there is nothing to do. True when something has happened.
Pool.step = shield(function(pool, timeout)
  local state = of_pool(pool)
  check.timeout(timeout)
  if state.phase == "terminated" then
    return loop.run_due(state)
  end
  return loop.note_interrupts(loop.step, state, timeout or 0)
end)

-- A descriptor for event loops. When it is readable, several times a second at least, step() has something to look at.
Pool.fileno = shield(function(pool)
  local state = of_pool(pool)
  if state.phase == "terminated" then
    errors.raise("this pool is terminated: nothing will move any more")
  end
  return state.results:fileno()
end)

-- What the loops of others ask for: cqueues the first three, LuaSocket's select the others.
Pool.pollfd = Pool.fileno
function Pool.events()
  return "r"
end
function Pool.timeout() end
Pool.getfd = Pool.fileno
function Pool.dirty()
  return false
end

-- From now on there are n workers.
Pool.resize = shield(function(pool, n)
  local state = of_pool(pool)
  job.check_open(state)
  if state.far then
    errors.raise("workers come and go by themselves: start some with `mproc worker URL`, stop others by SIGTERM")
  elseif state.serial then
    errors.raise("a serial pool has no workers")
  elseif state.broken then
    error(state.broken_error, 0)
  end
  local ok, message, name = workers.resize(state, options.processes(n))
  if message ~= nil and (ok or name == "hook") then
    error(message, 0)
  elseif not ok then
    return nil, message, name
  end
  return true
end)

-- --- the end ---

-- Errors that nobody has asked for are told once.
local function tell_unread(state)
  local unread, count = job.take_unread(state)
  local lines = {}
  for _, failed in ipairs(unread) do
    if not failed.read then
      failed.read = true
      count = count + 1
      if count <= UNREAD_SHOWN then
        lines[#lines + 1] = ("mproc: %s failed and nobody asked: %s\n"):format(
          pool_errors.name_task(failed, failed.first_failed), errors.text_of(failed.err))
      end
    end
  end
  if count > UNREAD_SHOWN then
    lines[#lines + 1] = ("mproc: and %d more\n"):format(count - UNREAD_SHOWN)
  end
  if count > 0 then
    core.write_stderr(table.concat(lines))
  end
end

local function close(state)
  if state.phase == "open" then
    state.phase, state.takes_calls, state.call = "closed", false, false
  end
end

-- No more tasks; those that were given are still done.
Pool.close = shield(function(pool)
  local state = of_pool(pool)
  if state.phase == "terminated" then
    return
  end
  close(state)
  loop.note_interrupts(loop.step, state, 0)
  if state.jobs.nlive == 0 then
    tell_unread(state)
  end
end)

local function is_idle(state)
  return state.jobs.nlive == 0 and state.inflight.count == 0
end

-- The streams' windows open: who joins waits for all of their input.
local function open_windows(state)
  for _, live in pairs(state.jobs.live) do
    live.window = false
  end
end

-- The pool's queues are let go.
local function close_transport(state)
  state.results = nil
  state.transport = {
    tasks = false, receive = function() end, done = function() end, absorb = function() return 0 end,
    pending = function() return 0 end,
    post = function() return nil, "the pool is terminated", "EPIPE" end,
  }
end

-- Ends the workers whatever they do; with a grace, or where other machines must be told, asks them first. What is
-- pending fails. Ctrl-C may end its waits: the next call goes on then.
local function terminate(state, grace)
  if state.finished then
    return
  elseif state.phase ~= "terminated" then
    state.phase, state.finishing, state.takes_calls, state.call = "terminated", true, false, false
    job.fail_all(state, pool_errors.terminated(), true)
    inflight.close(state)
  end
  grace = grace or state.far and state.far.LEAVE_SECONDS
  if grace then
    workers.terminate(state, grace)
  end
  workers.kill(state)
  workers.join_killed(state)
  state.finished = true
  close_transport(state)
  loop.run_due(state)
  tell_unread(state)
end

-- Waits until the workers have left, which were told so.
local function finish(state, deadline)
  state.finishing = true
  if not state.serial then
    state.transport.tasks:close()
  end
  if not workers.join(state, deadline) then
    return false
  elseif not state.finished then
    state.finished = true
    if state.serial then
      state.transport:finish()
    end
  end
  return true
end

-- Closes, and waits until all is done and the workers have left. True, or false when the time is over. A callback may
-- terminate the pool meanwhile.
local function join(state, deadline)
  close(state)
  while state.phase == "closed" and not state.finished do
    open_windows(state)
    if not loop.await(state, is_idle, state, deadline) then
      return false
    elseif state.phase == "closed" and is_idle(state) and not finish(state, deadline) then
      return false
    end
  end
  tell_unread(state)
  return true
end

-- true, or false, "timeout".
Pool.join = shield(function(pool, timeout)
  local state = of_pool(pool)
  check.timeout(timeout)
  if join(state, loop.deadline(timeout)) then
    return true
  end
  return false, "timeout"
end)

local TERMINATE_OPTIONS = { "grace" }

Pool.terminate = shield(function(pool, given)
  local state, grace = of_pool(pool), nil
  if given ~= nil then
    if type(given) ~= "table" then
      errors.raise("terminate takes a table such as { grace = 2 }, got %s", errors.show(given))
    end
    check.options(given, "terminate has", TERMINATE_OPTIONS)
    grace = given.grace ~= nil and check.seconds("grace", given.grace) or nil
  end
  terminate(state, grace)
end)

Pool.__close = shield(function(pool, err)
  local state = pool[STATE]
  if state.owner ~= core.self() then
    return
  elseif err ~= nil then
    loop.note_scope_error(state)
    terminate(state)
  else
    join(state)
  end
end)

-- Dropped without close: nobody can have asked for what is left. Never waits.
function Pool.__gc(pool)
  local state = pool[STATE]
  if state and state.owner == core.self() and not state.finished then
    state.finishing = true
    workers.kill(state)
  end
end

function Pool.__tostring(pool)
  local state = pool[STATE]
  local where = state.far and "at " .. state.far.show or ("%d workers"):format(state.size)
  return ("mproc.Pool: %s, %s, %d tasks pending"):format(where, state.broken and "broken" or state.phase,
    state.inflight.count)
end

function Pool.__mproc_encode()
  return nil, "a pool belongs to the process that made it; make another one there, or send it tasks through a queue"
end

-- --- making ---

local made = 0 -- pools, by this process and those that it is a fork of: their numbers, for viewers

local function new_state(method, ...)
  local state = options.read(...)
  state.method = method
  made = made + 1
  state.number = made
  state.owner, state.owner_pid, state.phase, state.size = core.self(), core.getpid(), "open", state.processes
  state.on_crash, state.retries = state.on_crash or "error", state.retries or 3
  state.broken, state.finishing, state.finished = false, false, false
  if state.url then
    state.far = far.open(state)
  end
  for _, part in ipairs({ inflight, functions, job, workers, loop, dispatch, apply }) do
    part.prepare(state)
  end
  return state
end

-- The shared objects that all workers use. True, or nil, message, NAME.
local function make_transport(state)
  local message, name, tasks
  state.flags, message, name = protocol.flags()
  if state.flags then
    state.results, message, name = core.queue(0, "reports")
  end
  if state.results and state.serial then
    state.size = math.max(1, state.size)
    state.transport = inline.new({
      initializer = state.initializer, initargs = state.initargs, finalizer = state.finalizer,
      inherited = state.functions.packed, flags = state.flags,
    })
    return true
  elseif state.results then
    tasks, message, name = core.queue(0, "reports")
  end
  if not tasks then
    return nil, message, name
  end
  state.transport = state.far and far.transport(state, tasks) or protocol.transport(tasks, state.results)
  return true
end

-- A pool, or nil, message, NAME when the system has no room for its workers. method: by which its workers start,
-- whatever is set elsewhere; or nil.
local function make(method, ...)
  local state = new_state(method, ...)
  if not state.serial then
    workers.check_functions(state)
  end
  local ok, message, name = make_transport(state)
  if not ok then
    return nil, message, name
  end
  local pool = setmetatable({ [STATE] = state }, Pool)
  state.handle = pool -- who has a future of it keeps it
  if state.serial then
    return pool
  end
  ok, message, name = workers.fill(state)
  if ok and message == nil then
    return pool
  end
  terminate(state)
  if ok or name == "hook" then
    error(message, 0)
  end
  return nil, message, name
end

return {
  Pool = shield(function(...) return make(nil, ...) end),
  bound = shield(make),
}
