-- SPDX-License-Identifier: MIT
-- A pool's calls that take many items and give one list, or nothing: map, starmap, their asynchronous forms, each. What
-- reads items and makes a list's job serves the other calls as well.

local core = require("mproc.core")
local dispatch = require("mproc.pool.owner.dispatch")
local functions = require("mproc.pool.owner.functions")
local future = require("mproc.pool.owner.future")
local job_of = require("mproc.pool.owner.job")
local protocol = require("mproc.pool.protocol")
local loop = require("mproc.pool.owner.loop")
local progress = require("mproc.pool.progress")
local record = require("mproc.pool.record")
local source = require("mproc.pool.owner.source")

local calls = {}

local shield, of_pool = core.shield, record.of_pool

-- A job whose results make a list. first_failed: the lowest index that failed, if any.
local List = job_of.class({ verb = "map", run_callbacks = future.run_callbacks })
List.plain = true

local function is_over(job)
  return job.ended
end

-- The error that counts is that of the first item.
local function note_error(self, index)
  local first = self.first_failed
  if not self.errors[index] or index == first then
    return
  elseif first and first < index then
    self.errors[index] = nil
  else
    self.first_failed = index
    if first then
      self.errors[first] = nil
    end
  end
end

-- An iterator's own error comes after those of the items before it.
local function complete(self)
  local first = self.first_failed
  if first then
    self.failed, self.err = true, self.errors[first][1]
  elseif self.source_failed then
    self.failed, self.err = true, self.source_error
  end
  job_of.finish(self)
end

function List:note(index)
  note_error(self, index)
  if job_of.is_complete(self) then
    complete(self)
  end
end
calls.note_error, calls.complete = note_error, complete

function List:give()
  return self.values
end

-- --- for all calls with many items ---

-- Begins a job with many items, which has verb, f, mode and class. Sends its first chunks.
function calls.begin(state, self, class, options)
  local keeps = class == List and not protocol.has(self.mode, protocol.NO_RESULT)
  self.values, self.errors, self.chunksize = protocol.list(keeps and self.source.size or 0), {}, options.chunksize or 1
  self.timeout, self.cancel, self.version = options.timeout, 0, false
  if self.chunksize > 1 then
    self.mode = self.mode | protocol.WHOLE
  end
  self.chunksize = math.min(self.chunksize, dispatch.CHUNKSIZE_MAX)
  setmetatable(self, class)
  if self.timeout or state.task_timeout then
    self.mode = self.mode | protocol.TIMED
    self.one_by_one = self.one_by_one or state.far ~= nil -- a machine can time a message, not what is in it
  end
  self.progress = progress.start(state, options.progress, self)
  self.version = functions.use(state, self.f, self.timeout)
  job_of.check_open(state) -- packing it may have ended the pool
  job_of.begin(state, self)
  job_of.take_flag(self)
  if state.broken then
    return job_of.fail(self, state.broken_error)
  elseif self.progress then
    table.insert(state.jobs.showing, self)
  end
  dispatch.start(self)
end

-- What every such call checks first. Returns the source and the options.
function calls.read(state, verb, f, ...)
  loop.forget_interrupt(state)
  job_of.check_function(f, "pool:%s(f, items)", verb)
  local from, options = source.read(...)
  job_of.check_open(state)
  return from, options
end

-- The input of a job that ended early is closed as a generic for closes it that is left by an error.
local function close_source(self)
  local from = self.source
  self.source = false
  if from then
    local ok, err = from:close(self.err)
    if ok == nil then
      loop.raise_interrupt(err)
    elseif not ok then
      error(err, 0)
    end
  end
end
calls.close_source = close_source

-- Runs a job that only the call itself knows of to its end. Raises its error.
function calls.run(state, self, options)
  local _ <close> = job_of.guard(self)
  calls.begin(state, self, List, options)
  loop.await(state, is_over, self)
  close_source(self)
  if self.failed then
    error(self.err, 0)
  end
  return self
end

-- --- the calls ---

local function list_call(verb, mode, give)
  return shield(function(pool, f, ...)
    local state = of_pool(pool)
    local from, options = calls.read(state, verb, f, ...)
    local job = calls.run(state, { verb = verb, f = f, mode = mode, source = from }, options)
    if give then
      return job.values
    end
  end)
end

-- The list of f's first results, in order; of starmap, each item is a list of arguments.
calls.map = list_call("map", protocol.MAP, true)
calls.starmap = list_call("starmap", protocol.STAR, true)

-- Calls f for each item and keeps nothing.
calls.each = list_call("each", protocol.MAP | protocol.NO_RESULT, false)

local function async_call(verb, mode)
  return shield(function(pool, f, ...)
    local state = of_pool(pool)
    local from, options = calls.read(state, verb, f, ...)
    from = loop.note_interrupts(source.read_all, from)
    job_of.check_open(state) -- the iterator may have ended it
    local job = { verb = verb, f = f, mode = mode, source = from, is_future = true, all_at_once = true }
    local guard <close> = job_of.guard(job)
    calls.begin(state, job, List, options)
    guard.job = nil
    loop.run_inline(state)
    return future.new(job)
  end)
end

-- A Future of the list. All items are read and sent before it returns.
calls.map_async = async_call("map_async", protocol.MAP)
calls.starmap_async = async_call("starmap_async", protocol.STAR)

return calls
