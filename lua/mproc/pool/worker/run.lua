-- SPDX-License-Identifier: MIT
-- How a worker runs tasks and reports them. Used by pool/worker/.
-- Invariant: an item's result is in the results queue before the next item begins. So whatever a killed worker had in
-- hand is known to the owner by what has not been reported.
--
-- A task here is { chunk, offset, mode, count, flag, f (its function's number) }, as its header says.

local context = require("mproc.pool.worker.context")
local core = require("mproc.core")
local errors = require("mproc.errors")
local pool_errors = require("mproc.pool.errors")
local protocol = require("mproc.pool.protocol")

local run = {
  GIVE_UP = {}, -- the error by which a worker that cannot deliver leaves its loop
}

local tracing = core.tracing
local time, describe, text_of = core.time, context.describe, errors.text_of
local send, call_user = protocol.report, protocol.call
local DONE, RETURNED, FAILED = protocol.DONE, protocol.RETURNED, protocol.FAILED
local CUT, SKIPPED = protocol.CUT, protocol.SKIPPED

local REPORT_SECONDS = 0.001 -- how often the time that items took is told
local CUT_SECONDS = 0.004 -- a chunk that has run for so long is shared with workers that have nothing to do
local RESULTS_MAX = protocol.RESULTS_MAX -- of a task
local ARGUMENTS_MAX = 100000 -- of one call: they must find room on Lua's stack
local NANO = 1e9

-- --- reports ---

-- It cannot deliver what it has: it ends, and its words tell the owner why.
local function give_up(slot)
  protocol.reason(slot.words, protocol.NO_ROOM)
  error(run.GIVE_UP, 0)
end

-- A result that cannot be sent, or finds no room, becomes an error; so does an error. What a hook raised stays what it
-- is, if it can travel.
local function report_failure(slot, chunk, offset, status, count, nanoseconds, reason, ...)
  local was_result = status == DONE or status == RETURNED
  local function tell(value)
    return send(slot.results, chunk, offset, was_result and FAILED or status, count, slot.index, nanoseconds, "error",
      value)
  end
  local text = text_of(reason)
  if not was_result then
    text = ("%s; the error said: %s"):format(text, text_of((...)))
  elseif reason ~= nil and type(reason) ~= "string" and tell(reason) then
    return time()
  end
  return tell(text) and time() or give_up(slot)
end

-- What post did not take.
local function report_again(slot, chunk, offset, status, count, nanoseconds, reason, name, ...)
  if name == "ENOMEM" then -- the owner makes room when it reads
    local now
    now, reason = protocol.post_when_room(slot.results, chunk, offset, status, count, slot.index, nanoseconds,
      "result", ...)
    if now then
      return now
    end
  end
  return report_failure(slot, chunk, offset, status, count, nanoseconds, reason, ...)
end

-- Reports what is at chunk and offset; `count` items took those nanoseconds. Returns the time.
local function report(slot, chunk, offset, status, count, nanoseconds, ...)
  if slot.keep then
    return slot:keep(chunk, offset, status, count, nanoseconds, ...)
  end
  local now, reason, name = send(slot.results, chunk, offset, status, count, slot.index, nanoseconds, "result", ...)
  if now then
    return now
  end
  return report_again(slot, chunk, offset, status, count, nanoseconds, reason, name, ...)
end

run.report = report

function run.skip(slot, task)
  report(slot, task.chunk, task.offset, SKIPPED, task.count, 0)
end

function run.fail_all(slot, task, err)
  for k = 0, task.count - 1 do
    report(slot, task.chunk, task.offset + k, FAILED, 1, 0, err)
  end
end

-- --- calls ---

-- A worker calls user code at once, a serial pool where its caller is.
local function call(slot, f, ...)
  if slot.call then
    return slot:call(f, ...)
  end
  return call_user(f, describe, ...)
end

run.call = call

local function show_item(item)
  if type(item) == "table" and item.n ~= nil then
    return "a table whose n is " .. errors.show(item.n)
  end
  return errors.show(item)
end

-- The number of arguments, and a plain list of them, if that number is one.
local function read_arguments(item)
  local n = item.n or #item
  return n, math.type(n) == "integer" and n <= ARGUMENTS_MAX and { table.unpack(item, 1, n) } or item
end

-- The same, but what raises in an item with a metatable is its error; nil: it is no list.
local function arguments_of(slot, item)
  if type(item) ~= "table" and not core.is_frozen(item) then
    return true, nil
  elseif debug.getmetatable(item) then
    return call(slot, read_arguments, item)
  end
  return true, item.n or #item, item
end

local function call_star(slot, f, item)
  local ok, n, list = arguments_of(slot, item)
  if not ok then
    return false, n
  end
  if math.type(n) ~= "integer" or n < 0 or n > ARGUMENTS_MAX then
    return false, ("starmap takes a list of arguments (at most %d) for each call, as in { { 1, 2 }, { 3, 4 } }, but "
      .. "this item is %s; use map for one argument (%s)"):format(ARGUMENTS_MAX, show_item(item),
      pool_errors.name_function(f))
  end
  return call(slot, f, table.unpack(list, 1, n))
end

-- A result as its mode wants it. Of MAP and STAR there is one.
local function shape(mode, v)
  if protocol.has(mode, protocol.NO_RESULT) then
    return nil
  elseif protocol.has(mode, protocol.TEST) then
    return not not v
  end
  return v
end

-- True once the worker is to leave after the task that it has done.
function run.is_spent(slot)
  return slot.record.tasks_done >= slot.max_tasks
    or slot.max_memory and (protocol.resident() or 0) > slot.max_memory or false
end

-- A task that SIGTERM has ended is not reported: its worker leaves.
local function heed_end()
  if protocol.told_to_end() then
    error(run.GIVE_UP, 0)
  end
end

-- --- items ---

-- Items from k on go back to the tasks queue. True when they did.
local function hand_back(slot, run_of, k)
  local task, rest = run_of.task, table.move(run_of.items, k, run_of.last, 1, {})
  local offset, count = task.offset + k - 1, run_of.last - k + 1
  local posted
  if slot.put_back then
    posted = slot:put_back(task, offset, count, run_of.given, rest)
  elseif run_of.given then
    posted = protocol.post(slot.tasks, task.chunk, offset, task.mode, count, task.flag, task.f, "items", run_of.given,
      rest)
  else
    posted = protocol.post(slot.tasks, task.chunk, offset, task.mode, count, task.flag, task.f, "items", rest)
  end
  if not posted then
    return false
  end
  report(slot, task.chunk, offset, CUT, 0, 0)
  run_of.last = k - 1
  return true
end

-- Nobody waits for what is in the queue while it holds something.
local function others_are_idle(slot)
  return slot.pool_size > 1 and slot.tasks:empty()
end

-- Before item k of a chunk that has run for long: ends it, or shares it.
local function look_round(slot, run_of, k)
  local task, last = run_of.task, run_of.last
  if protocol.is_cancelled(slot.flags, task.flag) then
    report(slot, task.chunk, task.offset + k - 1, SKIPPED, last - k + 1, 0)
    run_of.last = k - 1
  elseif not protocol.has(task.mode, protocol.WHOLE) and others_are_idle(slot) then
    hand_back(slot, run_of, k + (last - k + 1) // 2)
  end
end

-- Tells what item k came to, and the time that items since the last such report took.
local function report_time(slot, run_of, k, status, v)
  local task, ended = run_of.task, time()
  run_of.now = report(slot, task.chunk, task.offset + k - 1, status, k - run_of.reported,
    (ended - run_of.began) * NANO // 1 | 0, v)
  run_of.began, run_of.reported = ended, k
end

-- Runs items from k on and reports them, but for the last of them: its number, and what it gave. In a serial pool that
-- is one item.
local function run_some(slot, run_of, k)
  local task, record = run_of.task, slot.record
  if not slot.keep then
    local run_items = run_of.call and protocol.run_by or protocol.run
    return run_items(slot.results, run_of.f, describe, run_of.items, record, slot.words, task.mode, task.chunk,
      task.offset - 1, slot.index, run_of.last, slot.max_memory and 0 or slot.max_tasks,
      run_of.began + REPORT_SECONDS, k, run_of.call, slot)
  end
  local ok, v = run_of.call(slot, run_of.f, run_of.items[k])
  record.tasks_done = record.tasks_done + 1
  if ok then
    v = shape(task.mode, v)
  end
  return k, ok, v
end

-- After item k: what else is to be done before the next one.
local function look_up(slot, run_of, k)
  if run.is_spent(slot) or slot.interrupted then
    hand_back(slot, run_of, k + 1)
  elseif run_of.now > run_of.cut_at then
    run_of.cut_at = run_of.now + CUT_SECONDS
    look_round(slot, run_of, k + 1)
  end
end

-- Runs a chunk's items from the first to the last, or to where it cuts the chunk. `given`: the function, when it came
-- with the task.
function run.items(slot, f, task, items, given)
  local now = time()
  local run_of = {
    task = task, f = f, items = items, given = given, last = task.count, began = now, now = now, reported = 0,
    cut_at = now + CUT_SECONDS, call = protocol.verb(task.mode) == protocol.STAR and call_star or slot.call,
  }
  local k = 0
  while k < run_of.last do
    local ok, v
    k, ok, v = run_some(slot, run_of, k + 1)
    if not ok then
      heed_end()
    end
    report_time(slot, run_of, k, ok and DONE or FAILED, v)
    if k < run_of.last then
      look_up(slot, run_of, k)
    end
  end
  if tracing then
    local verb = protocol.verb(task.mode) == protocol.STAR and "starmap" or "map"
    core.trace_work(verb, f, now, false, task.chunk, task.flag, task.offset, k)
  end
end

-- --- single tasks ---

-- What came of a single task.
function run.answer(slot, task, began, ok, ...)
  local n = select("#", ...)
  if n > RESULTS_MAX then
    return run.answer(slot, task, began, false, ("the task returned %d results, and at most %d can travel; return a "
      .. "table of them"):format(n, RESULTS_MAX))
  end
  if not ok then
    heed_end()
  end
  slot.record.tasks_done = slot.record.tasks_done + 1
  if tracing then
    core.trace_work("apply", slot.known[task.f], began, true, task.chunk, task.flag, task.offset, 1)
  end
  report(slot, task.chunk, task.offset, ok and RETURNED or FAILED, 1, (time() - began) * NANO // 1 | 0, ...)
end

function run.single(slot, f, task, began, ...)
  run.answer(slot, task, began, call(slot, f, ...))
end

return run
