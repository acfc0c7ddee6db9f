-- SPDX-License-Identifier: MIT
-- What a worker of a pool does, from its start to its end. Runs in the child, started by pool_crew.lua.
-- Invariant: a task's lease ends only after all its results are in the results queue.

local core = require("mproc.core")
local here = require("mproc.pool_here")
local label = require("mproc.pool_label")
local run = require("mproc.pool_run")

local worker = {}

local CALL, SEAT_SHIFT, DONE, ONE = label.CALL, label.SEAT_SHIFT, label.DONE, 1 << label.SHIFT
local NONE = {}
local FULL_NAP = 0.01 -- between tries, while the arena is full

-- One task. `f` is known, or there is an error that stands for it.
local function run_known(seat, f, err, a, b, c, began, ...)
  if not f then
    run.fail_all(seat, a, c, err)
  elseif b & label.MODE_MASK == CALL then
    run.call(seat, f, a, began, ...)
  else
    run.items(seat, f, a, b, c, (...))
  end
end

local function run_given(seat, a, b, c, began, f, ...)
  if b & label.MODE_MASK == CALL then
    run.call(seat, f, a, began, ...)
  else
    run.items(seat, f, a, b, c, (...), f)
  end
end

-- The functions that came by mail or were there at the fork; of one that could not be decoded, the error.
local function learn(seat, known, id, kind, _, _, ok, f)
  if kind == label.FORGET then
    known[id], seat.unknown[id] = nil, nil
  elseif ok then
    known[id] = f
  else
    seat.unknown[id] = { f }
  end
end

-- The function; or nil and the error.
local function function_of(seat, known, id)
  local unknown, inherited = seat.unknown, seat.inherited[id]
  if inherited and not known[id] and not unknown[id] then
    learn(seat, known, id, label.FUNCTION, nil, nil, pcall(core.thaw, inherited))
  end
  while not known[id] and not unknown[id] do -- it was sent before the task
    learn(seat, known, core.fetch(seat.mailbox))
  end
  return known[id], unknown[id] and unknown[id][1]
end

-- One task of any kind. False when the worker shall leave.
local function handle(seat, known, a, b, c, began, lease, ok, ...)
  seat.lease = lease
  if b & label.MODE_MASK == label.RETIRE then
    run.report(seat, seat.record.pid, label.LEAVING | seat.index << SEAT_SHIFT, 0)
    lease:done()
    return false
  elseif not run.claim(seat, c) then
    run.skip(seat, a, c)
  elseif not ok then
    run.fail_all(seat, a, c, (...))
  elseif b >> label.FUNCTION_SHIFT == 0 then
    run_given(seat, a, b, c, began, ...)
  else
    local f, err = function_of(seat, known, b >> label.FUNCTION_SHIFT)
    run_known(seat, f, err, a, b, c, began, ...)
  end
  lease:done()
  return seat.record.tasks_done < seat.max_tasks
end
worker.handle = handle

-- What core.serve gave. False when the worker shall leave.
local function go_on(seat, known, what, ...)
  if what == "taken" then
    return handle(seat, known, ...)
  elseif what == "ran" then
    local a, _, _, began, lease = ...
    seat.lease = lease
    run.answer(seat, a, began, select(6, ...))
    lease:done()
    return seat.record.tasks_done < seat.max_tasks
  end
  local _, name = ...
  return name == "ENOMEM" and not core.sleep(FULL_NAP) -- a lease needs a page, and the arena is full
end

-- Runs tasks until one leaves this loop. With a task_timeout the owner must be told of each before it begins.
local function serve(seat)
  local known, record = {}, seat.record
  local simple = seat.task_timeout and NONE or known
  local base = DONE | seat.index << SEAT_SHIFT | ONE
  repeat
    local left = seat.max_tasks - record.tasks_done
  until not go_on(seat, known, core.serve(seat.tasks, seat.results, simple, here.describe, record, base, left,
    seat.lease))
end

local function initialize(seat)
  if not seat.initializer then
    return true
  end
  local args = core.thaw(seat.initargs)
  local ok, err = xpcall(seat.initializer, here.describe, table.unpack(args, 1, args.n))
  if not ok then
    run.report(seat, seat.record.pid, label.BROKEN | seat.index << SEAT_SHIFT, 0, err)
  end
  return ok
end

local function finalize(seat)
  local ok, err = xpcall(seat.finalizer or tostring, here.describe, nil)
  if not ok then
    core.complain(("mproc: the finalizer of worker %d (pid %d) failed: %s\n"):format(seat.record.index, seat.record.pid,
      here.text_of(err)))
  end
end

-- What the seat asks for that the system may refuse.
local function settle_in(seat)
  seat.unknown = {}
  if seat.cpu then
    core.pin(seat.cpu)
  end
  for name, amount in pairs(seat.rlimit or {}) do
    assert(core.limit(name, amount))
  end
end

-- seat: index, tasks, results, mailbox, stops, inherited (id -> frozen function), peers, max_tasks (or math.huge), and
-- of the pool's options initializer, initargs (frozen), finalizer, task_timeout, rlimit, cpu.
function worker.main(seat)
  core.hear_no_interrupt()
  seat.record = here.enter(seat.index, worker.main)
  settle_in(seat)
  if not initialize(seat) then
    return
  end
  run.report(seat, seat.record.pid, label.READY | seat.index << SEAT_SHIFT, 0)
  serve(seat)
  finalize(seat)
end

return worker
