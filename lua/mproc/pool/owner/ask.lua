-- SPDX-License-Identifier: MIT
-- The short cut for a single task whose result is awaited at once, while nothing else is to be done: one call of C
-- sends it and takes its result. The rest of the pool does not know of it: what is not over at once is an ordinary job.
--
-- state.asked: seconds that were waited here since ends of workers were looked for. state.call: the job that serves
-- such tasks one after another, or false while one is out; it is in the book of what is in flight, so that a finalizer
-- that uses the pool meanwhile finds it there, and in state.jobs.calling, so that one that ends the pool fails it.

local core = require("mproc.core")
local functions = require("mproc.pool.owner.functions")
local inflight = require("mproc.pool.owner.inflight")
local job_of = require("mproc.pool.owner.job")
local loop = require("mproc.pool.owner.loop")
local protocol = require("mproc.pool.protocol")
local workers = require("mproc.pool.owner.workers")

local self_ref, claim, settle = core.self, inflight.claim_task, inflight.settle_task
local SHORT = loop.SHORT
local LOOK_SECONDS = 0.005 -- of waits, between two looks for ends of workers

-- The version of a function that the workers have; nil when there is something else to do, or it cannot be told.
local function version_of(state, f)
  local version, jobs = state.functions.known[f], state.jobs
  if not version or not version.at_once or jobs.nlive > 0 or state.asked >= LOOK_SECONDS
    or state.inflight.count >= state.size or jobs.due_from <= jobs.due_to or core.state.exit_as
    or state.owner ~= self_ref() or not version.fixed and not functions.unchanged(version) then
    return nil
  end
  return version
end

-- The task is over: its job serves the next. Returns its results.
local function over(state, job, slot, nanoseconds, seconds, ...)
  local book, jobs = state.inflight, state.jobs
  book.chunks[job.id] = nil -- from here to the next comment without a call
  book.count, book.moves, book.done, book.cost = book.count - 1, book.moves + 1, book.done + 1, nanoseconds * 1e-9
  job.messages, jobs.calling = 0, false
  state.call, state.asked, jobs.busy = state.takes_calls and job, state.asked + seconds, jobs.busy + seconds
  functions.release(state, job.version)
  workers.count_report(state, slot, nanoseconds, false)
  return true, ...
end

-- It is an ordinary job from here on, if it has not ended meanwhile.
local function go_on(state, job, new_call, ...)
  local jobs = state.jobs
  jobs.calling, state.call = false, state.takes_calls and new_call(state)
  if not job.ended then
    job_of.begin(state, job, job.number)
  end
  if not loop.take_in(state, state.transport, ...) then
    state.asked = state.asked + SHORT
  end
  return false, job
end

local function sort_out(state, job, new_call, mine, ...)
  if mine then
    return over(state, job, ...)
  elseif mine == nil then -- nothing was sent
    settle(state, job)
    state.jobs.calling, state.call = false, state.takes_calls and new_call(state)
    functions.release(state, job.version)
    return nil
  end
  return go_on(state, job, new_call, ...)
end

-- ask(state, f, args, new_call) -> true, results... | false, job: it is out, and its result to be awaited | nil: it is
-- not so simple, and nothing was sent. new_call(state) makes a job like state.call.
return function(state, f, args, new_call)
  local job = state and state.call
  local version = job and version_of(state, f)
  if not version then
    return nil
  end
  local jobs = state.jobs
  state.call, jobs.calling = false, job
  job.f, job.version, job.number = f, version, jobs.next_number
  jobs.next_number = job.number + 1
  version.refs = version.refs + 1
  local way = state.transport
  return sort_out(state, job, new_call, protocol.ask(way.tasks, way.inbox, claim(state, job), version.id, SHORT, args))
end
