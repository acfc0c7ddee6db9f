-- SPDX-License-Identifier: MIT
-- imap and imap_unordered: items go out a bounded window ahead of what is fetched, so that an endless input takes
-- constant memory.
--
-- Beside a job's fields: ordered; fetched (what was given); unordered, arrivals lists the indices as they came, from
-- arrivals_from to arrivals_to. The iterator is the user's, and refers to the job; the job does not refer to it, so
-- that its closing, or its collection, ends the job.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local job_of = require("mproc.pool.owner.job")
local protocol = require("mproc.pool.protocol")
local loop = require("mproc.pool.owner.loop")
local map = require("mproc.pool.calls.map")
local progress = require("mproc.pool.progress")
local record = require("mproc.pool.record")

local calls = {}

local shield, of_pool, JOB = core.shield, record.of_pool, record.JOB
local LOOK_EVERY = 16 -- results that were waited for between two looks for what is to be done

local NIL = {} -- a nil result, and what stands for one that failed

local Stream = job_of.class({ verb = "imap", nil_value = NIL, failed_value = NIL })
Stream.plain = true

-- All has arrived; what is ready may be fetched later.
function Stream:note()
  if job_of.is_complete(self) then
    job_of.finish(self)
  end
end

-- The index of what is to be given next, if it is here.
local function next_ready(self)
  if self.ordered then
    local index = self.fetched + 1
    return self.values[index] ~= nil and index or nil
  end
  return self.arrivals[self.arrivals_from]
end

local function is_over(self)
  return self.ended or next_ready(self) ~= nil
end

-- Takes an item out; from here on it has been given.
local function take(self, index)
  local value, failure = self.values[index], self.errors[index]
  self.values[index], self.errors[index] = nil, nil
  self.fetched = self.fetched + 1
  if not self.ordered then
    self.arrivals[self.arrivals_from] = nil
    self.arrivals_from = self.arrivals_from + 1
  end
  if failure then
    error(failure[1], 0)
  elseif value == NIL then
    return index, nil
  end
  return index, value
end

-- What comes after the last item: nothing, or the error that ended it, once.
local function at_end(self)
  local failed, err = self.failed, self.err
  if not failed and self.source_failed then
    failed, err = true, self.source_error
  end
  self.failed, self.source_failed = false, false
  map.close_source(self)
  if failed then
    error(err, 0)
  end
  return nil
end

-- The next index and value; nil at the end; nil, "timeout". due: the pool is to be looked after.
local function next_item(self, timeout, due)
  record.check_owner(self.state)
  self.calls = self.calls + 1
  if (due or self.calls % LOOK_EVERY == 0) and not self.ended then
    loop.step(self.state, 0)
  end
  local index = next_ready(self)
  if not index and not self.ended then
    if not loop.await(self.state, is_over, self, loop.deadline(timeout)) then
      return nil, "timeout"
    end
    index = next_ready(self)
  end
  if index then
    return take(self, index)
  end
  if self.progress then
    progress.show(self.state, loop.call_back)
  end
  return at_end(self)
end

-- --- the iterator ---

local Iterator = { __name = "mproc.Stream" }
Iterator.__index = Iterator

local function job_for(self)
  local job = record.job(self)
  if not job or job.is_future then
    errors.raise("this is not the iterator of an imap, but %s; call its method with a colon, as in iterator:next(1)",
      errors.show(self))
  end
  return job
end

-- Keeps its first argument from being collected while the others are found: that would end the job.
local function keeping(_, ...)
  return ...
end

Iterator.__call = core.pool.giver(shield(function(self, due)
  return keeping(self, next_item(job_for(self), nil, due))
end), JOB, NIL)

-- Index, value; nil at the end; nil, "timeout".
Iterator.next = shield(function(self, timeout)
  local job = job_for(self)
  check.timeout(timeout)
  return keeping(self, next_item(job, timeout))
end)

-- Stops what has not begun, and lets go of what was not fetched.
local function leave(job)
  if core.self() ~= job.state.owner or job.left then
    return false
  end
  job.left = true
  job_of.discard(job)
  job.values, job.errors, job.arrivals = {}, {}, job.arrivals and {}
  job.failed, job.source_failed = false, false
  return true
end

-- Harmless when repeated; from then on there is nothing more to fetch.
Iterator.close = shield(function(self)
  local job = job_for(self)
  if leave(job) then
    map.close_source(job)
  end
end)

Iterator.__close = Iterator.close

function Iterator:__gc()
  local job = record.job(self)
  if job and leave(job) then
    pcall(map.close_source, job)
  end
end

function Iterator:__tostring()
  local job = record.job(self)
  return ("mproc.Stream: %d items fetched of %s"):format(job.fetched, job.verb)
end

local function stream_call(verb, ordered)
  return shield(function(pool, f, ...)
    local state = of_pool(pool)
    local from, options = map.read(state, verb, f, ...)
    local job = {
      verb = verb, f = f, mode = protocol.MAP, source = from, ordered = ordered, window = true, fetched = 0, calls = 0,
      arrivals = not ordered and {} or false, arrivals_from = 1, arrivals_to = 0,
    }
    local iterator = setmetatable({ [JOB] = job }, Iterator)
    map.begin(state, job, Stream, options)
    loop.run_inline(state)
    return iterator, nil, nil, iterator
  end)
end

-- An iterator of index, first result of f(item), in order. An item's error is raised where it would come, and the
-- next call goes on behind it.
calls.imap = stream_call("imap", true)

-- The same, as they end.
calls.imap_unordered = stream_call("imap_unordered", false)

return calls
