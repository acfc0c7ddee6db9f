-- SPDX-License-Identifier: MIT
-- How a worker runs tasks and reports them. Used by pool_worker.lua.
-- Invariant: an item's result is in the results queue before the next item begins. So whatever a killed worker had in
-- hand is known to the owner by what has not been reported.

local core = require("mproc.core")
local errors = require("mproc.errors")
local here = require("mproc.pool_here")
local label = require("mproc.pool_label")
local words = require("mproc.pool_words")

local run = {}

local post, time, describe, text_of = core.post, core.time, here.describe, here.text_of
local SHIFT, MASK, SEAT_SHIFT = label.SHIFT, label.MASK, label.SEAT_SHIFT
local DONE, FAILED, STAR = label.DONE, label.FAILED, label.STAR
local ONE = 1 << SHIFT -- item

local REPORT_SECONDS = 0.001 -- how often the time that items took is told
local CUT_SECONDS = 0.004 -- a chunk that has run for so long is shared with workers that have nothing to do
local FULL_SECONDS = 5 -- how long a full arena is waited for
local RESULTS_MAX = core.label.RESULTS_MAX -- of a task
local ARGUMENTS_MAX = 100000 -- of one call: they must find room on Lua's stack

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
  local _
  local text = b & label.STATUS_MASK == FAILED
    and ("%s; the error said: %s"):format(text_of(reason), text_of((...))) or text_of(reason)
  repeat
    now, _, name = post(seat.results, a, b & ~label.STATUS_MASK | FAILED, c, "error", text)
  until now or name ~= "ENOMEM" or core.sleep(0.01)
  return now or time()
end

local function call_map(f, item)
  return xpcall(f, describe, item)
end

local function call_star(f, item)
  local n = type(item) == "table" and (item.n or #item)
  if math.type(n) ~= "integer" or n > ARGUMENTS_MAX then
    return false, ("starmap takes a list of arguments (at most %d) for each call, as in { { 1, 2 }, { 3, 4 } }, but "
      .. "this item is %s; use map for one argument"):format(ARGUMENTS_MAX, errors.show(item))
  end
  return xpcall(f, describe, table.unpack(item, 1, n))
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

-- Of a chunk that has run for long, before item k: the last item that this worker still runs.
local function last_of_its_own(seat, given, a, b, c, items, k, count)
  if stopped(seat, c) then
    report(seat, a + k - 1, label.SKIPPED | seat.index << SEAT_SHIFT | count - k + 1 << SHIFT, 0)
    return k - 1
  elseif b & label.WHOLE == 0 and others_are_idle(seat) then
    local middle = k + (count - k + 1) // 2
    return hand_back(seat, given, a, b, count, c, items, middle) and middle - 1 or count
  end
  return count
end

-- Runs a chunk's items from the first to the last, or to where it cuts the chunk. `given`: the function, when it came
-- with the task.
local function run_items(seat, f, a, b, c, items, given)
  local me, mode, count = seat.record, b & 0xff, c & MASK
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
    me.tasks_done = me.tasks_done + 1
    local status = ok and DONE or FAILED
    if k == count or now - began > REPORT_SECONDS or me.tasks_done >= seat.max_tasks then
      local ended = time()
      now = report(seat, a + k - 1, status | base | k - reported << SHIFT, (ended - began) * 1e9 // 1 | 0, v)
      began, reported = ended, k
    else
      now = post(seat.results, a + k - 1, status | base, 0, "result", v)
        or report(seat, a + k - 1, status | base, 0, v)
    end
    k = k + 1
    if k <= count then
      if me.tasks_done >= seat.max_tasks and hand_back(seat, given, a, b, count, c, items, k) then
        return
      elseif now > cut_at then
        cut_at = now + CUT_SECONDS
        count = last_of_its_own(seat, given, a, b, c, items, k, count)
      end
    end
  end
end

-- What came of a single task.
local function answer(seat, a, began, ok, ...)
  local n = select("#", ...)
  if n > RESULTS_MAX then
    return answer(seat, a, began, false, ("the task returned %d results, and at most %d can travel; return a table of "
      .. "them"):format(n, RESULTS_MAX))
  end
  seat.record.tasks_done = seat.record.tasks_done + 1
  report(seat, a, (ok and DONE or FAILED) | seat.index << SEAT_SHIFT | ONE, (time() - began) * 1e9 // 1 | 0, ...)
end

local function run_call(seat, f, a, began, ...)
  if seat.task_timeout then
    report(seat, a, label.BEGUN | seat.index << SEAT_SHIFT, 0, began)
  end
  answer(seat, a, began, xpcall(f, describe, ...))
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

run.report, run.items, run.call, run.answer = report, run_items, run_call, answer
run.claim, run.skip, run.fail_all = claim, skip, fail_all

return run
