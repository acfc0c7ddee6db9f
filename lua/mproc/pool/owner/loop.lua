-- SPDX-License-Identifier: MIT
-- What moves a pool along, in whatever call of its owner waits: sends what may go out, takes in results, notices deaths
-- and timeouts, runs callbacks. Used by all that wait: pool.lua, pool_lists.lua, pool_stream.lua, future.lua.

local chunks = require("mproc.pool_chunks")
local core = require("mproc.core")
local crew = require("mproc.pool_crew")
local errors = require("mproc.errors")
local feed = require("mproc.pool_feed")
local label = require("mproc.pool_label")

local drive = {}

local SHORT = 0.005 -- so long results alone are waited for, which is quicker; then for ends of workers as well
local SLICE = 0.02 -- where the system refuses that, ends are looked for so often
local BATCH = 256 -- results taken in before more is sent
local LOOK_EVERY = 16 -- rounds that a result ended at once, between two looks for ends of workers
local NAP_MIN, NAP_MAX = 0.00005, 0.001 -- of waiting for many small results at once
local INTERRUPTED_STATUS = 130

local STATUS_MASK, BEGUN = label.STATUS_MASK, label.BEGUN
local fetch, report = core.fetch, chunks.report

-- One message of the results queue. False when there was none.
local function take_in(pool, a, b, c, bytes, ok, ...)
  if not a then
    return false
  end
  local status = b & STATUS_MASK
  if status < BEGUN then
    report(pool, a, b, c, bytes, ok, ...)
  else
    crew.report(pool, status, a, b, (...))
  end
  return true
end

drive.take_in = take_in

local function take_batch(pool, most)
  local n = 0
  while n < most and take_in(pool, fetch(pool.results, 0)) do
    n = n + 1
  end
  return n
end

local function drain(pool)
  repeat until not take_in(pool, fetch(pool.results, 0))
end

local function is_interrupt(err)
  return type(err) == "string" and err:find("interrupted!", 1, true) ~= nil
end

-- A callback that raises is told once and harms nobody. Ctrl-C is no error of the callback's: it ends the wait.
local function run_callback(f, ...)
  local ok, err = pcall(f, ...)
  if not ok and is_interrupt(err) then
    error(err, 0)
  elseif not ok then
    local shown, text = pcall(tostring, err)
    core.complain(("mproc: a pool's callback raised: %s\n"):format(shown and text or "an error of type " .. type(err)))
  end
end
drive.run_callback = run_callback

-- Runs the callbacks of what has ended. They may use the pool: each is taken off the list first.
local function run_due(pool)
  local any = false
  while pool.due[pool.due_from] do
    local ended = pool.due[pool.due_from]
    pool.due[pool.due_from] = nil
    pool.due_from = pool.due_from + 1
    ended:run_callbacks(run_callback)
    any = true
  end
  return any
end

drive.run_due = run_due

-- How long nothing can be missed by not looking: while many small tasks are out, waking up for each would slow them.
local function nap_seconds(pool)
  if not pool.cost or pool.task_timeout then
    return 0
  end
  local expected = pool.in_flight * pool.cost / pool.size
  return pool.cost < NAP_MIN and math.min(expected / 4, NAP_MAX) or 0
end

-- Until there is a result, or a worker has ended.
local function wait_for_all(pool, timeout)
  if timeout <= 0 then
    return
  end
  local sources, n = crew.sources(pool, pool.results)
  if pool.fill_again or next(pool.dead) then
    timeout = math.min(timeout, SLICE)
  end
  if not core.wait(sources, n, timeout < math.huge and timeout or nil) then
    core.sleep(math.min(timeout, SLICE))
  end
end

-- Waits for news for at most `timeout` seconds. True when there is some; and whether it came at once, by a result.
local function wait_for_news(pool, timeout)
  local nap = math.min(nap_seconds(pool), timeout)
  if nap > NAP_MIN then
    core.sleep(nap)
    return take_in(pool, fetch(pool.results, 0))
  end
  if pool.task_timeout then
    timeout = math.min(timeout, math.max(0, crew.check_timeouts(pool) - core.time()))
  end
  if take_in(pool, fetch(pool.results, timeout < SHORT and timeout or SHORT)) then
    return true, true
  end
  wait_for_all(pool, timeout - SHORT)
  return take_in(pool, fetch(pool.results, 0))
end

-- Looks for ends of workers and tasks that take too long. True when there was news.
local function look_after_workers(pool)
  pool.unlooked, pool.asked = 0, 0
  if pool.run_here then
    return false
  end
  if pool.task_timeout then
    crew.check_timeouts(pool)
  end
  return crew.look(pool, drain)
end

-- One round. True when something has happened. Nothing that has happened is waited for.
function drive.step(pool, timeout)
  local at_once
  local any = pool.feeding[1] and feed.pool(pool) or false
  any = take_batch(pool, BATCH) > 0 or any
  any = pool.due[pool.due_from] and run_due(pool) or any
  if not any and timeout > 0 and not pool.run_here then
    any, at_once = wait_for_news(pool, timeout)
  end
  if at_once and pool.unlooked < LOOK_EVERY then
    pool.unlooked = pool.unlooked + 1
  else
    any = look_after_workers(pool) or any
  end
  return pool.due[pool.due_from] and run_due(pool) or any
end

-- The next round looks for ends of workers.
function drive.look_soon(pool)
  pool.unlooked, pool.asked = LOOK_EVERY, 0
end

-- A round in short, while there is nothing to do but to wait for results of tasks that run. False when there is, or
-- nothing has come.
local function try_result(pool)
  local unlooked = pool.unlooked
  if unlooked == LOOK_EVERY or pool.in_flight > pool.size or pool.feeding[1] or pool.due[pool.due_from]
    or pool.task_timeout or pool.run_here then
    return false
  end
  pool.unlooked = unlooked + 1
  if not take_in(pool, fetch(pool.results, SHORT)) then
    return false
  elseif pool.due[pool.due_from] then
    run_due(pool)
  end
  return true
end

local function rounds(pool, is_over, subject, deadline)
  while not is_over(subject) do
    if deadline or not try_result(pool) then
      local rest = deadline and deadline - core.time() or math.huge
      drive.step(pool, math.max(rest, 0))
      if rest <= 0 then
        return is_over(subject)
      end
    end
  end
  return true
end

-- Ctrl-C ends the wait with an error; a program that does not catch it ends with the status that shells give to that.
local function note_interrupt(err)
  if is_interrupt(err) then
    core.exit_as(INTERRUPTED_STATUS)
  end
end
drive.note_interrupt = note_interrupt

-- Moves the pool along until is_over(subject). True; or false when the time is over. abandoned: a job that nobody will
-- ask for when the wait is interrupted.
function drive.await(pool, is_over, subject, deadline, abandoned)
  if is_over(subject) then
    return true
  end
  local ok, over = pcall(rounds, pool, is_over, subject, deadline)
  if not ok then
    note_interrupt(over)
    if abandoned then
      pool:abandon(abandoned)
    end
    error(over, 0)
  end
  return over
end

function drive.deadline(timeout)
  return timeout and core.time() + timeout
end

-- Every public function of a pool begins with this.
function drive.check_owner(pool)
  if type(pool) ~= "table" or not pool.maker then
    errors.raise("this is not a pool, but %s; call its methods with a colon, as in pool:map(f, items)",
      errors.show(pool))
  elseif pool.maker ~= core.self() then
    errors.raise("this pool belongs to the process that made it (pid %d); make another one here, or send it tasks "
      .. "through a queue", pool.maker_pid)
  end
end

return drive
