-- SPDX-License-Identifier: MIT
-- Jobs: what one call of a pool's methods asked for, from one task to an endless stream. A job names no worker and no
-- process: it is given to the book of what is in flight (inflight.lua), which gives it outcomes by their index.
--
-- Fields: state (of its pool), verb, f, number, single (one task, which is its own chunk); mode (of its messages),
-- version (functions.lua, or false), cancel (its cancel flag, or 0), timeout (seconds for each item, or false);
-- source and chunksize (dispatch.lua); sent and arrived (items), exhausted (no more to send), messages (chunks in
-- flight); cost (seconds an item), bytes and item_bytes (of a result, of an item); ended, failed, err; read (its error
-- was seen).
-- values[index], errors[index] = { err }; of a single task results (packed) and failure. A class has note(job, index):
-- what follows from the outcome of that item; it may be called again for the same one. A `plain` job's does nothing
-- while there are other items in the chunk, but for errors.
--
-- state.jobs, which this file alone writes: live (number -> job), nlive, nended, calling, ntimed (those with a
-- timeout); sending: a list of jobs with more to
-- send; due: ended jobs that somebody is to be told of; unread: failed futures that nobody has asked.
-- Invariant: live holds the jobs that have not ended, and each ends once, by job.finish. What ends a job are plain
-- assignments without a call between them, so that a finalizer finds it either live or ended.

local core = require("mproc.core")
local errors = require("mproc.errors")
local functions = require("mproc.pool.owner.functions")
local protocol = require("mproc.pool.protocol")

local job = {}

local time = core.time
local UNREAD_MAX = 1000 -- failed futures that are remembered

function job.prepare(state)
  state.jobs = {
    live = {}, nlive = 0, ntimed = 0, nended = 0, next_number = 1,
    busy = 0, busy_since = 0, -- seconds in which some job was live; since when one is
    calling = false, -- the job that is out by the short cut (ask.lua)
    sending = {}, showing = {}, -- jobs with more to send; those whose progress is shown
    due = {}, due_from = 1, due_to = 0,
    unread = {}, unread_more = 0, -- and how many there are besides
  }
end

-- --- checks that every call begins with ---

local function is_callable(f)
  local mt = debug.getmetatable(f)
  return type(mt) == "table" and rawget(mt, "__call") ~= nil
end

-- example: how it is called, a format of `verb`.
function job.check_function(f, example, verb)
  if type(f) == "function" or is_callable(f) then
    return
  end
  example = example:format(verb)
  if f == nil then
    errors.raise("the task is nil - did you write f(...) instead of f? Write %s", example)
  elseif type(f) == "string" then
    errors.raise("the task must be a function, got the string %q; pass the function itself, without quotes", f)
  end
  errors.raise("the task must be a function, got %s - did you write f(...) instead of f? Write %s", errors.show(f),
    example)
end

local REMEDY = {
  closed = "the pool is closed: close(), join() or the end of its scope came before; make a new one with mproc.Pool()",
  terminated = "the pool is terminated: terminate() or an error in its scope ended it; make a new one with "
    .. "mproc.Pool()",
}

-- Raises unless the pool takes tasks.
function job.check_open(state)
  if REMEDY[state.phase] then
    errors.raise("%s", REMEDY[state.phase])
  end
end

-- --- the life of a job ---

-- What every job begins with goes into its class.
function job.class(class)
  class.__index = class
  class.sent, class.arrived, class.messages, class.bytes, class.item_bytes = 0, 0, 0, 0, 0
  class.ended, class.failed, class.single, class.exhausted, class.timeout = false, false, false, false, false
  class.cancel, class.version, class.arrivals = 0, false, false
  class.window, class.is_future, class.source, class.plain = false, false, false, false
  return class
end

-- It lives from now on. number: its own, if it was taken before.
function job.begin(state, self, number)
  local jobs = state.jobs
  if not number then
    number = jobs.next_number
    jobs.next_number = number + 1
  end
  self.state, self.number = state, number
  if jobs.nlive == 0 then
    jobs.busy_since = time()
  end
  jobs.live[number] = self
  jobs.nlive = jobs.nlive + 1
  if self.timeout then
    jobs.ntimed = jobs.ntimed + 1
  end
  return self
end

-- It can be called off from now on, if there is a flag left for it.
function job.take_flag(self)
  self.cancel = protocol.take_flag(self.state.flags)
end

-- Once it has ended and nothing of it is in flight: its function and its cancel flag serve others.
local function retire(self)
  if not self.ended or self.messages > 0 then
    return
  end
  local version, flag = self.version, self.cancel
  self.version, self.cancel = false, 0
  if version then
    functions.release(self.state, version)
  end
  if flag ~= 0 then
    protocol.return_flag(self.state.flags, flag)
  end
end
job.retire = retire

-- The end of a job: nothing more of it is sent, what still arrives is dropped.
function job.finish(self)
  if self.ended then
    return retire(self)
  end
  local jobs = self.state.jobs
  local now = jobs.nlive == 1 and time() or 0
  if self.ended then
    return
  elseif self.is_future and (self.failed or self.callbacks or self.callback) then
    local due_to = jobs.due_to + 1
    jobs.due[due_to] = self
    jobs.due_to = due_to
  else
    self.told = true
  end
  self.ended, self.exhausted = true, true
  jobs.nended = jobs.nended + 1
  if jobs.live[self.number] == self then
    jobs.live[self.number], jobs.nlive = nil, jobs.nlive - 1
    if self.timeout then
      jobs.ntimed = jobs.ntimed - 1
    end
    if jobs.nlive == 0 then
      jobs.busy = jobs.busy + now - jobs.busy_since
    end
  end
  if self.messages == 0 then
    return retire(self)
  end
end

function job.fail(self, err)
  if not self.ended then
    self.failed, self.err = true, err
    job.finish(self)
  end
end

-- Once all that was sent has been reported, and there is no more.
function job.is_complete(self)
  return self.exhausted and self.arrived == self.sent and not self.held
end

-- Nothing more of it begins.
function job.stop(self)
  protocol.cancel(self.state.flags, self.cancel)
end

-- Nobody wants what it still has in flight.
function job.discard(self)
  job.stop(self)
  job.finish(self)
end

local Guard = {}

-- Closed, or collected with a coroutine that was dropped. A job that was never begun has no state.
function Guard.__close(guard)
  local self = guard.job
  if self and not self.ended and self.state and self.state.owner == core.self() then
    job.discard(self)
  end
end

Guard.__gc = Guard.__close

-- A variable to be closed: a call that is left before its job has ended leaves nothing behind, whether it is left by an
-- error, by Ctrl-C or with its coroutine, closed or dropped. Without its field `job` it does nothing.
function job.guard(self)
  return setmetatable({ job = self }, Guard)
end

-- True when nothing of it had begun, and nothing will.
function job.try_cancel(self)
  local far = self.state.far
  if far then
    return far.try_cancel(self.state, self.cancel)
  end
  return protocol.try_cancel(self.state.flags, self.cancel)
end

function job.has_begun(self)
  return protocol.has_begun(self.state.flags, self.cancel)
end

-- Ends every job that lives with that error, oldest first. told: who asked for it needs no news of it.
function job.fail_all(state, err, told)
  local numbers = {}
  for number in pairs(state.jobs.live) do
    numbers[#numbers + 1] = number
  end
  table.sort(numbers)
  if state.jobs.calling then
    job.fail(state.jobs.calling, err)
  end
  for _, number in ipairs(numbers) do
    local self = state.jobs.live[number]
    if self then -- none of the others' ends has ended it
      self.read = self.read or told
      job.fail(self, err)
    end
  end
  state.jobs.sending = {}
end

-- --- errors that nobody asks for ---

-- Futures that were asked meanwhile make room; what is more than can be told is counted.
function job.note_unread(self)
  local jobs = self.state.jobs
  if not self.failed or self.read then
    return
  elseif #jobs.unread >= UNREAD_MAX then
    local kept = {}
    for _, other in ipairs(jobs.unread) do
      if not other.read and #kept < UNREAD_MAX // 2 then
        kept[#kept + 1] = other
      elseif not other.read then
        jobs.unread_more = jobs.unread_more + 1
      end
    end
    jobs.unread = kept
  end
  table.insert(jobs.unread, self)
end

-- The failed futures that nobody has asked, and how many there are besides. They count as asked from now on.
function job.take_unread(state)
  local jobs = state.jobs
  local unread, more = jobs.unread, jobs.unread_more
  jobs.unread, jobs.unread_more = {}, 0
  return unread, more
end

return job
