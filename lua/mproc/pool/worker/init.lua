-- SPDX-License-Identifier: MIT
-- What a worker of a pool does, from its start to its end: takes tasks under lease, reports results through a queue.
-- Runs in the child that the owner has started for a worker slot.
-- Invariant: a task's lease ends only after all its results are in the results queue.
--
-- A slot is what the child is given: index, number (the pool's), tasks, results (queues), channel (the queue by which
-- functions come), words (protocol.words), flags (protocol.flags), inherited (function number -> its packed form),
-- pool_size, max_tasks (or math.huge), and of the pool's options max_memory, initializer, initargs (packed), finalizer,
-- rlimit, cpu; newer_pipes (core.pipe_writers: what is not for this worker). The worker adds record
-- (worker/context.lua), known and unknown (function number -> function, or the error that stands for it).

local context = require("mproc.pool.worker.context")
local core = require("mproc.core")
local errors = require("mproc.errors")
local protocol = require("mproc.pool.protocol")
local run = require("mproc.pool.worker.run")

local worker = {}

local package = package

local CALL = protocol.CALL
local FULL_NAP = 0.01 -- between tries, while the arena is full
local FUNCTION_SECONDS = 60 -- how long a function is waited for that was sent before its task
local FAILED_STATUS = 1
local TERMINATED_STATUS = 143 -- what shells give to SIGTERM

-- --- functions ---

-- A notice of the function channel, or what was there at the fork.
local function learn(slot, number, notice, ok, value, cpath)
  if notice == protocol.FORGET then
    slot.known[number], slot.unknown[number] = nil, nil
  elseif notice == protocol.PATHS then
    package.path, package.cpath = ok and value or package.path, ok and cpath or package.cpath
  elseif ok then
    slot.known[number] = value
  else
    slot.unknown[number] = { value }
  end
end

local function is_met(slot, number)
  return slot.known[number] ~= nil or slot.unknown[number] ~= nil
end

-- Takes one notice. False when none has come in time.
local function take_notice(slot, generation, number, _, notice, _, _, _, _, ok, ...)
  if not generation then
    return false
  end
  learn(slot, number, notice, ok, ...)
  protocol.done(slot.notices, generation)
  return true
end

-- The function; or nil and the error.
function worker.function_of(slot, number)
  local inherited = slot.inherited[number]
  if inherited and not is_met(slot, number) then
    learn(slot, number, protocol.FUNCTION, pcall(core.unpack, inherited))
  end
  if not is_met(slot, number) then
    slot.notices = slot.notices or protocol.inbox(slot.channel)
    local deadline = core.time() + FUNCTION_SECONDS
    repeat
      local came = take_notice(slot, protocol.receive(slot.notices, deadline - core.time()))
    until is_met(slot, number) or not came
  end
  local f, err = slot.known[number], slot.unknown[number]
  if f == nil and not err then
    return nil, ("the worker has waited %d s for the task's function"):format(FUNCTION_SECONDS)
  end
  return f, err and err[1]
end

-- --- tasks ---

local function run_with(slot, f, task, began, ok, ...)
  if not ok then
    run.fail_all(slot, task, (...))
  elseif protocol.verb(task.mode) == CALL then
    run.single(slot, f, task, began, ...)
  else
    run.items(slot, f, task, (...))
  end
end

local function run_given(slot, task, began, ok, f, ...)
  if not ok then
    run.fail_all(slot, task, f)
  elseif protocol.verb(task.mode) == CALL then
    run.single(slot, f, task, began, ...)
  else
    run.items(slot, f, task, (...), f)
  end
end

-- Runs a task, whose values are ok, ...
function worker.run(slot, task, began, ...)
  if task.f == 0 then
    return run_given(slot, task, began, ...)
  end
  local f, err = worker.function_of(slot, task.f)
  if f == nil then
    return run.fail_all(slot, task, err)
  end
  return run_with(slot, f, task, began, ...)
end

-- What core.pool.serve may give. Each: (slot, task, began, lease, ok, ...).
local acts = {}

function acts.list(slot, task, began, _, ...)
  worker.run(slot, task, began, ...)
end

function acts.unknown(slot, task, began, lease) -- it is decoded once its function, and the paths of modules, are here
  local f, err = worker.function_of(slot, task.f)
  if f == nil then
    return run.fail_all(slot, task, err)
  end
  run_with(slot, f, task, began, protocol.values(lease))
end

function acts.cancelled(slot, task)
  run.skip(slot, task)
end

function acts.ran(slot, task, began, _, ok, ...)
  run.answer(slot, task, began, ok, ...)
end

function acts.retire(slot)
  run.report(slot, slot.record.pid, 0, protocol.LEAVING, 0, 0)
end

-- A lease needs a page of the arena. False when it has been full for too long.
local function wait_for_room(slot)
  local now = core.time()
  slot.full_since = slot.full_since or now
  if now - slot.full_since > protocol.ROOM_SECONDS then
    protocol.reason(slot.words, protocol.NO_ROOM)
    return false
  end
  core.sleep(FULL_NAP)
  return true
end

-- What core.pool.serve gave. False when the worker shall leave.
local function go_on(slot, what, chunk, offset, mode, count, flag, f, began, lease, ...)
  local act = acts[what]
  if what == "enough" then
    return not run.is_spent(slot)
  elseif not act then
    return offset == "ENOMEM" and wait_for_room(slot)
  end
  slot.lease, slot.full_since = lease, nil
  act(slot, { chunk = chunk, offset = offset, mode = mode, count = count, flag = flag, f = f }, began, lease, ...)
  if protocol.told_to_end() then
    return false
  end
  lease:done()
  return what ~= "retire" and not run.is_spent(slot)
end

-- Runs tasks until one leaves this loop.
local function serve(slot)
  local record, describe = slot.record, context.describe
  repeat
    local left = slot.max_memory and 1 or slot.max_tasks - record.tasks_done
  until not go_on(slot, protocol.serve(slot.tasks, slot.results, slot.known, describe, record, slot.words,
    slot.flags.array, slot.index, left, slot.lease))
end

-- --- start and end ---

-- True, or false when the initializer raised, which the owner is told.
function worker.initialize(slot)
  local initializer = slot.initializer
  if not initializer then
    return true
  end
  slot.initializer = nil
  local args = core.unpack(slot.initargs)
  local ok, err = run.call(slot, initializer, table.unpack(args, 1, args.n))
  if not ok and not protocol.told_to_end() then
    run.report(slot, slot.record.pid, 0, protocol.BROKEN, 0, 0, err)
  end
  return ok
end

function worker.finalize(slot)
  if not slot.finalizer then
    return
  end
  local ok, err = run.call(slot, slot.finalizer)
  if not ok then
    core.write_stderr(("mproc: the finalizer of worker %d (pid %d) failed: %s\n"):format(slot.index, slot.record.pid,
      errors.text_of(err)))
  end
end

-- Sets affinity and limits, which the system may refuse.
local function set_limits(slot)
  if slot.cpu then
    core.pin(slot.cpu)
  end
  for name, amount in pairs(slot.rlimit or {}) do
    assert(core.limit(name, amount))
  end
end

-- Ends the process in order: what at_exit has registered here runs.
local function leave(status)
  local exits = core.state.exits
  if exits then
    exits.run()
  end
  core.exit(status)
end

-- True when it left in order.
local function work(slot)
  if not worker.initialize(slot) then
    return false
  end
  run.report(slot, slot.record.pid, 0, protocol.READY, 0, 0)
  serve(slot)
  if protocol.told_to_end() or protocol.reason(slot.words) then
    return false
  end
  worker.finalize(slot)
  return true
end

local function close_pipes(writers)
  for i = 1, #writers, 2 do
    core.close_pipe_writer(writers[i], writers[i + 1])
  end
end

function worker.main(slot)
  core.ignore_sigint()
  close_pipes(slot.newer_pipes)
  protocol.heed_sigterm()
  slot.record = context.enter(slot.index, worker.main)
  slot.known, slot.unknown = {}, {}
  protocol.enlist(slot.number, slot.tasks, slot.results, slot.words)
  set_limits(slot)
  local ok, in_order = pcall(work, slot)
  if protocol.told_to_end() then
    leave(TERMINATED_STATUS)
  elseif not ok and in_order ~= run.GIVE_UP then
    error(in_order, 0)
  elseif not ok or not in_order then
    leave(FAILED_STATUS)
  end
end

return worker
