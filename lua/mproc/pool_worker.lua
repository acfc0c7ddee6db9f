-- SPDX-License-Identifier: MIT
-- What a worker of a pool does, from its start to its end. Runs in the child, started by pool_crew.lua.
-- Invariant: a task's lease ends only after all its results are in the results queue; an item's result is there before
-- the next item begins. So whatever a killed worker had in hand is known to the owner by what has not been reported.

local core = require("mproc.core")
local label = require("mproc.pool_label")
local traceback = require("mproc.traceback")
local words = require("mproc.pool_words")

local worker = {}

local post, time = core.post, core.time
local SHIFT, MASK, SEAT_SHIFT = label.SHIFT, label.MASK, label.SEAT_SHIFT
local DONE, FAILED, CALL, STAR = label.DONE, label.FAILED, label.CALL, label.STAR

local REPORT_SECONDS = 0.001 -- how often the time that items took is told
local CUT_SECONDS = 0.004 -- a chunk that has run for so long is shared with workers that have nothing to do
local FULL_SECONDS = 5 -- how long a full arena is waited for

local here -- what mproc.worker() gives, in a worker
local depth = 0 -- how many workers' loops this process has inherited, its own included

-- { index, pid, tasks_done, store } in a worker, store being the worker's own; nil elsewhere.
function worker.current()
  return here and here.pid == core.getpid() and here or nil
end

-- In the caller, for a pool that is serial.
function worker.pretend(record)
  local was = here
  here = record
  return was
end

local function trace_of(err)
  return ("%s\nremote traceback of worker %d (pid %d):\n%s"):format(err, here.index, here.pid,
    traceback.of_task(worker.main, depth, 1))
end

-- The message handler of tasks: strings get their traceback (in the caller there is one anyway), other values stay.
local function describe(err)
  if type(err) == "string" and not here.serial then
    return trace_of(err)
  end
  return err
end
worker.describe = describe

local function text_of(value)
  local ok, text = pcall(tostring, value)
  return ok and text or "(" .. type(value) .. ")"
end

-- Reports one item; the result that cannot travel becomes an error, and so does that. Returns the time.
local function report(seat, a, b, c, ...)
  local now, reason, name = post(seat.results, a, b, c, "result", ...)
  if now then
    return now
  elseif name == "ENOMEM" then -- the owner makes room when it reads
    local deadline = time() + FULL_SECONDS
    repeat
      core.sleep(0.001)
      now, reason, name = post(seat.results, a, b, c, "result", ...)
    until now or name ~= "ENOMEM" or time() > deadline
    if now then
      return now
    end
  end
  local text = b & label.STATUS_MASK == FAILED
    and ("%s; the error said: %s"):format(text_of(reason), text_of((...))) or text_of(reason)
  repeat
    now, reason, name = post(seat.results, a, b & ~label.STATUS_MASK | FAILED, c, "error", text)
  until now or name ~= "ENOMEM" or core.sleep(0.01)
  return now or time()
end

local function call_map(f, item)
  return xpcall(f, describe, item)
end

local function call_star(f, item)
  return xpcall(f, describe, table.unpack(item, 1, item.n or #item))
end

-- A result as its mode wants it. Of MAP and STAR there is one.
local function shape(mode, v)
  if mode & label.NO_RESULT ~= 0 then
    return nil
  elseif mode & label.TEST ~= 0 then
    return not not v
  end
  return v
end

local function hand_back(seat, f, a, b, count, c, items, from)
  local rest = table.move(items, from, count, 1, {})
  c = c & ~MASK | count - from + 1
  local posted
  if f then
    posted = post(seat.tasks, a + from - 1, b, c, "items", f, rest)
  else
    posted = post(seat.tasks, a + from - 1, b, c, "items", rest)
  end
  if posted then
    report(seat, a + from - 1, label.CUT | seat.index << SEAT_SHIFT, 0)
  end
  return posted
end

-- Nobody waits for what is in the queue while it holds something.
local function others_are_idle(seat)
  return seat.peers > 1 and seat.tasks:empty()
end

local function stopped(seat, c)
  local word = c >> SHIFT
  return word ~= 0 and seat.stops[word] == words.STOPPED
end

-- Runs a chunk's items from the first to the last, or to where it cuts the chunk. `given`: the function, when it came
-- with the task.
local function run_items(seat, f, a, b, c, items, given)
  local mode, count = b & 0xff, c & MASK
  local call = mode & label.MODE_MASK == STAR and call_star or call_map
  local plain = mode & (label.NO_RESULT | label.TEST) == 0
  local base = seat.index << SEAT_SHIFT
  local began, reported = time(), 0
  local now, cut_at = began, began + CUT_SECONDS
  local k = 1
  while k <= count do
    if seat.task_timeout then
      report(seat, a + k - 1, label.BEGUN | base, 0, now)
    end
    local ok, v = call(f, items[k])
    if ok and not plain then
      v = shape(mode, v)
    end
    here.tasks_done = here.tasks_done + 1
    local status = ok and DONE or FAILED
    if k == count or now - began > REPORT_SECONDS or here.tasks_done >= seat.max_tasks then
      local ended = time()
      now = report(seat, a + k - 1, status | base | k - reported << SHIFT, (ended - began) * 1e9 // 1 | 0, v)
      began, reported = ended, k
    else
      now = post(seat.results, a + k - 1, status | base, 0, "result", v)
        or report(seat, a + k - 1, status | base, 0, v)
    end
    k = k + 1
    if k <= count then
      if here.tasks_done >= seat.max_tasks and hand_back(seat, given, a, b, count, c, items, k) then
        return
      elseif now > cut_at then
        cut_at = now + CUT_SECONDS
        if stopped(seat, c) then
          report(seat, a + k - 1, label.SKIPPED | base | count - k + 1 << SHIFT, 0)
          return
        elseif mode & label.WHOLE == 0 and others_are_idle(seat) then
          local middle = k + (count - k + 1) // 2
          if hand_back(seat, given, a, b, count, c, items, middle) then
            count = middle - 1
          end
        end
      end
    end
  end
end

local function report_call(seat, a, began, ok, ...)
  here.tasks_done = here.tasks_done + 1
  local b = (ok and DONE or FAILED) | seat.index << SEAT_SHIFT | 1 << SHIFT
  report(seat, a, b, (time() - began) * 1e9 // 1 | 0, ...)
end

local function run_call(seat, f, a, ...)
  local began = time()
  if seat.task_timeout then
    report(seat, a, label.BEGUN | seat.index << SEAT_SHIFT, 0, began)
  end
  report_call(seat, a, began, xpcall(f, describe, ...))
end

-- True when the task's job may begin: its owner can no longer withdraw it.
local function claim(seat, c)
  local word = c >> SHIFT
  if word == 0 then
    return true
  end
  local _, before = seat.stops:compare_exchange(word, words.QUEUED, words.BEGUN)
  return before ~= words.STOPPED
end

local function skip(seat, a, c)
  report(seat, a, label.SKIPPED | seat.index << SEAT_SHIFT | (c & MASK) << SHIFT, 0)
end

local function fail_all(seat, a, c, err)
  for k = 1, c & MASK do
    report(seat, a + k - 1, FAILED | seat.index << SEAT_SHIFT | 1 << SHIFT, 0, err)
  end
end

-- One task. `f` is known, or the error that stands for it.
local function run_known(seat, f, a, b, c, ...)
  if type(f) == "table" and rawget(f, seat) then
    fail_all(seat, a, c, f[seat])
  elseif b & label.MODE_MASK == CALL then
    run_call(seat, f, a, ...)
  else
    run_items(seat, f, a, b, c, (...))
  end
end

local function run_given(seat, a, b, c, f, ...)
  if b & label.MODE_MASK == CALL then
    run_call(seat, f, a, ...)
  else
    run_items(seat, f, a, b, c, (...), f)
  end
end

-- The functions that came by mail or were there at the fork; one that could not be decoded is { [seat] = error }.
local function learn(seat, known, id, kind, _, _, ok, f)
  if kind == label.FORGET then
    known[id] = nil
  elseif ok then
    known[id] = f
  else
    known[id] = { [seat] = f }
  end
end

local function function_of(seat, known, id)
  local inherited = seat.inherited[id]
  if known[id] == nil and inherited then
    learn(seat, known, id, label.FUNCTION, nil, nil, pcall(core.thaw, inherited))
  end
  while known[id] == nil do -- it was sent before the task
    learn(seat, known, core.fetch(seat.mailbox))
  end
  return known[id]
end

-- Handles what core.take gave. False when the worker shall leave.
local function handle(seat, known, a, b, c, lease, ok, ...)
  if not a then
    return false
  elseif b & label.MODE_MASK == label.RETIRE then
    lease:done()
    return false
  elseif not claim(seat, c) then
    skip(seat, a, c)
  elseif not ok then
    fail_all(seat, a, c, (...))
  elseif b >> label.FUNCTION_SHIFT == 0 then
    run_given(seat, a, b, c, ...)
  else
    run_known(seat, function_of(seat, known, b >> label.FUNCTION_SHIFT), a, b, c, ...)
  end
  lease:done()
  return here.tasks_done < seat.max_tasks
end
worker.handle = handle

local function initialize(seat)
  if not seat.initializer then
    return true
  end
  local args = core.thaw(seat.initargs)
  local ok, err = xpcall(seat.initializer, describe, table.unpack(args, 1, args.n))
  if not ok then
    report(seat, here.pid, label.BROKEN | seat.index << SEAT_SHIFT, 0, err)
  end
  return ok
end

local function finalize(seat)
  local ok, err = xpcall(seat.finalizer or tostring, describe, nil)
  if not ok then
    core.complain(("mproc: the finalizer of worker %d (pid %d) failed: %s\n"):format(here.index, here.pid,
      text_of(err)))
  end
end

-- What the seat asks for that the system may refuse.
local function settle_in(seat)
  if seat.cpu then
    core.pin(seat.cpu)
  end
  for name, amount in pairs(seat.rlimit or {}) do
    assert(core.limit(name, amount))
  end
end

-- seat: index, tasks, results, mailbox, stops, inherited (id -> frozen function), peers, max_tasks (or math.huge), and of
-- the pool's options initializer, initargs (frozen), finalizer, task_timeout, rlimit, cpu.
function worker.main(seat)
  core.hear_no_interrupt()
  depth = depth + 1
  here = { index = seat.index, pid = core.getpid(), tasks_done = 0, store = {} }
  settle_in(seat)
  if not initialize(seat) then
    return
  end
  report(seat, here.pid, label.READY | seat.index << SEAT_SHIFT, 0)
  local known = {}
  repeat until not handle(seat, known, core.take(seat.tasks))
  finalize(seat)
end

return worker
