-- SPDX-License-Identifier: MIT
-- imap and imap_unordered: items go out a bounded window ahead of what is fetched, so that an endless input takes
-- constant memory. Used by pool.lua.
--
-- The job keeps index -> value in ready (errors in errors[index]). `fetched` counts what was given; unordered, arrivals
-- lists the indices as they came. The iterator alone refers to its End, whose closing or collection ends the job.

local core = require("mproc.core")
local begin_job = require("mproc.pool_begin")
local drive = require("mproc.pool_drive")
local functions = require("mproc.pool_functions")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local source = require("mproc.pool_source")

local stream = {}

local NIL = {} -- a nil result
local LOOK_EVERY = 16 -- results given between two looks for what is to be done

local Stream = { __name = "mproc.Stream" }
Stream.__index = Stream
job.inherit(Stream)

function Stream:deliver(index, ok, value)
  if self.ended then
    return
  end
  self.arrived = self.arrived + 1
  if ok then
    self.ready[index] = value == nil and NIL or value
  else
    self.ready[index], self.errors[index] = NIL, { value }
  end
  if not self.ordered then
    self.arrivals_to = self.arrivals_to + 1
    self.arrivals[self.arrivals_to] = index
  end
  if self.exhausted then
    job.check_complete(self)
  end
  if self.progress and not self.ended then
    self.progress:advance(self)
  end
end

-- All has arrived; what is ready may be fetched later.
function Stream:complete()
  job.finish(self)
end

function Stream:abort(err)
  if not self.ended then
    self.lost = { err }
    job.finish(self)
  end
end

-- The index of what is to be given next, if it is here.
local function next_ready(self)
  if self.ordered then
    local index = self.fetched + 1
    return self.ready[index] ~= nil and index or nil
  end
  return self.arrivals[self.arrivals_from]
end

local function is_over(self)
  return self.ended or next_ready(self) ~= nil
end

local function take(self, index)
  local value = self.ready[index]
  self.ready[index] = nil
  self.fetched = self.fetched + 1
  if not self.ordered then
    self.arrivals[self.arrivals_from] = nil
    self.arrivals_from = self.arrivals_from + 1
  end
  local failed = self.errors[index]
  if failed then
    self.errors[index] = nil
    error(failed[1], 0)
  end
  if value == NIL then
    return index, nil
  end
  return index, value
end

-- What comes after the last item: nothing, or the input's own error, once.
local function at_end(self)
  local failed = self.lost or self.source_failed and { self.source_error }
  self.lost, self.source_failed = nil, nil
  if failed then
    error(failed[1], 0)
  end
  return nil
end

local function next_item(self)
  drive.check_owner(self.pool)
  self.calls = self.calls + 1
  if self.calls % LOOK_EVERY == 0 and not self.ended then
    drive.step(self.pool, 0)
  end
  local index = next_ready(self)
  if not index and not self.ended then
    drive.await(self.pool, is_over, self)
    index = next_ready(self)
  end
  if index then
    return take(self, index)
  end
  return at_end(self)
end

-- Ends the job of a dropped or closed iterator.
local End = { __name = "mproc.Stream" }

local function leave(self)
  local of = self.job
  if of and core.self() == of.pool.maker then
    self.job = nil
    of.pool:abandon(of)
  end
end

End.__gc, End.__close = leave, leave

local function begin(pool, verb, ordered, f, items, ...)
  drive.check_owner(pool)
  job.check_function(f, "pool:%s(f, items)", verb)
  local from, chunksize, options = source.read(items, ...)
  job.check_open(pool)
  local self = setmetatable({
    verb = verb, f = f, mode = label.MAP, version = functions.version(pool, f), source = from, granule = chunksize or 1,
    ordered = ordered, window = true, fetched = 0, calls = 0, ready = {}, errors = {},
    arrivals = {}, arrivals_from = 1, arrivals_to = 0,
  }, Stream)
  begin_job(pool, self, options)
  local ending = setmetatable({ job = self }, End)
  return function()
    return next_item(ending.job or self)
  end, nil, nil, ending
end

-- An iterator of index, first result of f(item), in order. An item's error is raised where it would come, and the
-- next call goes on behind it.
function stream.imap(pool, f, ...)
  return begin(pool, "imap", true, f, ...)
end

-- The same, as they end.
function stream.imap_unordered(pool, f, ...)
  return begin(pool, "imap_unordered", false, f, ...)
end

return stream
