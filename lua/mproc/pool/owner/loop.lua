-- SPDX-License-Identifier: MIT
-- What moves a pool along, in whatever call of its owner waits: sends what may go out, takes in results, notices deaths
-- and timeouts, runs callbacks. All that users call runs under core.shield, and user code through core.outside alone:
-- so between two calls of these nothing interrupts it but finalizers, and behind each of them the pool may have ended.

local core = require("mproc.core")
local deaths = require("mproc.pool.owner.deaths")
local dispatch = require("mproc.pool.owner.dispatch")
local errors = require("mproc.errors")
local inflight = require("mproc.pool.owner.inflight")
local job = require("mproc.pool.owner.job")
local limits = require("mproc.pool.owner.limits")
local progress = require("mproc.pool.progress")
local protocol = require("mproc.pool.protocol")
local workers = require("mproc.pool.owner.workers")

local loop = {}

local SHORT = 0.005 -- so long results alone are waited for, which is quicker; then for ends of workers as well
local SLICE = 0.02 -- where the system refuses that, ends are looked for so often
local WAIT_SLICE = 0.1 -- a finalizer may take in what is waited for when the wait has begun
local BATCH = 256 -- results taken in before more is sent
local LOOK_EVERY = 16 -- rounds that a result ended at once, between two looks for ends of workers
local NAP_MIN, NAP_MAX = 0.00005, 0.001 -- of waiting for many small results at once
local INTERRUPTED_STATUS = 130

local NEVER = "this call would wait for ever: what it waits for comes from an iterator that has called it, or is "
  .. "suspended in another coroutine; give it a timeout"

local READY, RETURNED = protocol.READY, protocol.RETURNED
local accept_task, report, outside = inflight.accept_task, inflight.report, core.outside
local count_report, count_plain = workers.count_report, workers.count_plain

loop.SHORT = SHORT

function loop.prepare(state)
  -- rounds since ends of workers were looked for; seconds that apply has waited since then
  state.unlooked, state.asked = 0, 0
  state.may_interrupt = core.may_interrupt()
end

-- --- user code ---

-- Ctrl-C ends the call with its error; a program that does not catch it ends with the status that shells give to that.
function loop.raise_interrupt(err)
  core.exit_as(INTERRUPTED_STATUS)
  core.state.exit_as = true
  error(err, 0)
end

dispatch.raise_interrupt = loop.raise_interrupt

-- A task is given: what was interrupted before has been caught.
function loop.forget_interrupt(state)
  if core.state.exit_as then
    core.state.exit_as = nil
    core.exit_as(0)
    state.may_interrupt = core.may_interrupt()
  end
end

-- The pool's scope is left by an error. lua.c takes its handler of SIGINT away when that fires, which it also does
-- outside of mproc's calls.
function loop.note_scope_error(state)
  if state.may_interrupt and not core.catches_sigint() then
    core.exit_as(INTERRUPTED_STATUS)
    core.state.exit_as = true
  end
end

-- A callback that raises is told once and harms nobody. Ctrl-C is no error of the callback's.
function loop.call_back(f, ...)
  local ok, err = outside(f, ...)
  if ok == nil then
    loop.raise_interrupt(err)
  elseif not ok then
    core.write_stderr(("mproc: a pool's callback raised: %s\n"):format(errors.text_of(err)))
  end
end

-- Tells of the jobs that have ended. Their callbacks may use the pool: each job is taken off the list first.
local function run_due(state)
  local jobs, any = state.jobs, false
  while jobs.due[jobs.due_from] do
    local ended = jobs.due[jobs.due_from]
    jobs.due[jobs.due_from] = nil
    jobs.due_from = jobs.due_from + 1
    job.note_unread(ended)
    ended:run_callbacks(loop.call_back)
    any = true
  end
  return any
end
loop.run_due = run_due

-- --- results ---

-- A message, as transport.receive gives it. It stays in the inbox, for whoever uses the pool meanwhile, until it has
-- been accounted for. False when there was none.
local function take_in(state, way, generation, chunk, offset, status, count, slot, nanoseconds, bytes, ok, value)
  if not generation then
    return false
  elseif status == RETURNED and ok and accept_task(state, chunk, nanoseconds, value) then
    count_report(state, slot, nanoseconds, false)
  elseif status >= READY then
    workers.report(state, status, chunk, slot, value)
  elseif report(state, chunk, offset, status, count, nanoseconds, bytes, ok, value) then
    count_report(state, slot, nanoseconds, not ok or status > RETURNED)
  end
  way.done(way.inbox, generation)
  return true
end
loop.take_in = take_in

local function fetch(state, timeout)
  local way = state.transport
  return take_in(state, way, way.receive(way.inbox, timeout))
end

-- Takes in what is there: at least `most` results, unless there are fewer; no fetched one stays behind.
local function take_batch(state, most)
  local n = 0
  while true do
    local way = state.transport
    local plain, slot = way.absorb(way.inbox, state.inflight)
    if plain > 0 then
      count_plain(state, slot, plain)
      n = n + plain
    elseif (n < most or way.pending(way.inbox) > 0) and fetch(state, 0) then
      n = n + 1
    else
      return n
    end
  end
end

local function drain(state)
  take_batch(state, math.huge)
end

-- --- one round ---

-- How long nothing can be missed by not looking: while many small tasks are out, waking up for each would slow them.
local function nap_seconds(state)
  local cost = state.inflight.cost
  if not cost or cost >= NAP_MIN or limits.have_limits(state) then
    return 0
  end
  return math.min(state.inflight.count * cost / state.size / 4, NAP_MAX)
end

-- Changes whenever an item is accounted for or a job ends.
local function moves_of(state)
  return state.inflight.moves + state.jobs.nended
end

-- Until there is a result, or a worker has ended; or a while.
local function wait_for_all(state, timeout, moves)
  local results = state.results
  if timeout <= 0 or not results then
    return
  end
  local sources, n = workers.sources(state, results)
  timeout = math.min(timeout, deaths.are_unsettled(state) and SLICE or WAIT_SLICE)
  if moves == moves_of(state) and not core.wait(sources, n, timeout) then
    core.sleep(math.min(timeout, SLICE))
  end
end

-- Waits for news for at most `timeout` seconds. True when there is some; and whether it came at once, by a result.
local function wait_for_news(state, timeout, moves)
  local nap = math.min(nap_seconds(state), timeout)
  if nap > NAP_MIN then
    core.sleep(nap)
    return fetch(state, 0)
  end
  if limits.have_limits(state) then
    timeout = math.min(timeout, math.max(0, limits.check_timeouts(state) - core.time()))
  end
  if fetch(state, timeout < SHORT and timeout or SHORT) then
    return true, true
  end
  wait_for_all(state, timeout - SHORT, moves)
  return fetch(state, 0)
end

-- Looks for ends of workers and tasks that take too long. True when there was news.
local function look_after_workers(state)
  state.unlooked, state.asked = 0, 0
  if state.serial or state.phase == "terminated" then
    return false
  end
  if limits.have_limits(state) then
    limits.check_timeouts(state)
  end
  return deaths.look(state, drain)
end

local function has_due(state)
  return state.jobs.due[state.jobs.due_from] ~= nil
end

-- One round. True when something has happened. Nothing that has happened is waited for, since there were so many moves
-- (or since now).
function loop.step(state, timeout, moves)
  local jobs = state.jobs
  moves = moves or moves_of(state)
  inflight.conclude(state)
  local any, at_once = jobs.sending[1] and dispatch.all(state) or false, nil
  any = take_batch(state, BATCH) > 0 or any
  if jobs.showing[1] then
    progress.show(state, loop.call_back)
  end
  any = has_due(state) and run_due(state) or any
  if not any and timeout > 0 and moves == moves_of(state) then
    if state.serial then -- whatever there was has run: others must move
      core.sleep(math.min(timeout, SHORT))
    else
      any, at_once = wait_for_news(state, timeout, moves)
    end
  end
  if at_once and state.unlooked < LOOK_EVERY then
    state.unlooked = state.unlooked + 1
  else
    any = look_after_workers(state) or any
  end
  return has_due(state) and run_due(state) or any
end

-- The next round looks for ends of workers.
function loop.look_soon(state)
  state.unlooked, state.asked = LOOK_EVERY, 0
end

-- --- waiting ---

-- A round in short, while there is nothing to do but to wait for results of tasks that run. False when there is, or
-- nothing has come.
local function try_result(state)
  local unlooked, jobs = state.unlooked, state.jobs
  if unlooked == LOOK_EVERY or state.inflight.count > state.size or jobs.sending[1] or jobs.showing[1]
    or jobs.due[jobs.due_from] or jobs.ntimed > 0 or state.task_timeout or state.serial then
    return false
  end
  state.unlooked = unlooked + 1
  if not fetch(state, SHORT) then
    return false
  elseif jobs.due[jobs.due_from] then
    run_due(state)
  end
  return true
end

-- Whether nothing can come any more: what is left to do are items of iterators that are suspended, further up in the
-- stack or in other coroutines.
local function waits_for_itself(state)
  local sending = state.jobs.sending
  if not sending[1] or state.inflight.count > 0 or has_due(state) then
    return false
  end
  for _, self in ipairs(sending) do
    if not self.source.busy then
      return false
    end
  end
  return true
end

local function rounds(state, is_over, subject, deadline)
  local moves = moves_of(state)
  while not is_over(subject) do
    if deadline or not try_result(state) then
      local rest = deadline and deadline - core.time() or math.huge
      loop.step(state, math.max(rest, 0), moves)
      if rest <= 0 then
        return is_over(subject)
      elseif not deadline and waits_for_itself(state) and not is_over(subject) then
        errors.raise("%s", NEVER)
      end
    end
    moves = moves_of(state)
  end
  return true
end

-- Calls f(...), in which Ctrl-C may end a wait.
local function note_interrupts(f, ...)
  local before = core.interrupts()
  local ok, result = pcall(f, ...)
  if ok then
    return result
  elseif core.interrupts() ~= before then
    loop.raise_interrupt(result)
  end
  error(result, 0)
end
loop.note_interrupts = note_interrupts

-- Moves the pool along until is_over(subject). True; or false when the time is over.
function loop.await(state, is_over, subject, deadline)
  local over = is_over(subject) or note_interrupts(rounds, state, is_over, subject, deadline)
  if state.jobs.showing[1] then
    progress.show(state, loop.call_back)
  end
  return over
end

-- In a serial pool: runs what was sent.
function loop.run_inline(state)
  if state.serial then
    note_interrupts(drain, state)
  end
end

function loop.deadline(timeout)
  return timeout and core.time() + timeout
end

return loop
