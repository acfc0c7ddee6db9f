-- SPDX-License-Identifier: MIT
-- A pool's calls that take many items and give one list, or nothing: map, starmap, their asynchronous forms, each. Used
-- by pool.lua, pool_search.lua.

local begin_job = require("mproc.pool_begin")
local drive = require("mproc.pool_drive")
local functions = require("mproc.pool_functions")
local future = require("mproc.future")
local job = require("mproc.pool_job")
local label = require("mproc.pool_label")
local source = require("mproc.pool_source")

local lists = {}

-- The first error is that of the first item.
local function note_error(self, index, err)
  if not self.failed or index < self.failed_index then
    self.failed, self.failed_index, self.err = true, index, err
  end
end

local function deliver(self, index, ok, value)
  if self.ended then
    return
  elseif ok then
    self.values[index] = value
  else
    note_error(self, index, value)
  end
  self.arrived = self.arrived + 1
  if self.exhausted and self.arrived == self.fed then
    job.check_complete(self)
  end
  if self.progress and not self.ended then
    self.progress:advance(self)
  end
end

-- An iterator's own error comes after those of the items before it.
local function complete(self)
  if self.source_failed and not self.failed then
    self.failed, self.err = true, self.source_error
  end
  if self.failed then
    return self:abort(self.err)
  end
  if self.shape then
    return self:succeed(self:shape())
  end
  self:succeed(self.values)
end

-- All that an iterator has, as a list: an asynchronous call takes it at once.
local function read_all(from)
  if from.size then
    return from
  end
  local all, n, packed = {}, 0, false
  repeat
    local items, count, these_packed, failed, err = from:pull(1024)
    if these_packed and not packed then
      packed = true
      for k = 1, n do
        all[k] = { n = 1, all[k] }
      end
    end
    for k = 1, count do
      n = n + 1
      all[n] = (packed and not these_packed) and { n = 1, items[k] } or items[k]
    end
    if failed then
      from:close(err)
      error(err, 0)
    end
  until count < 1024
  from:close()
  all.n = n
  return (source.read(all)), packed
end

-- Makes the job of a list call and sends its first chunks. `more`: fields beyond those of each job.
function lists.begin(pool, verb, mode, f, more, items, ...)
  drive.check_owner(pool)
  job.check_function(f, "pool:%s(f, items)", verb)
  local from, chunksize, options = source.read(items, ...)
  job.check_open(pool)
  local version = functions.version(pool, f)
  local self = setmetatable(more, future.Future)
  self.verb, self.f, self.mode, self.version, self.source = verb, f, mode, version, from
  self.granule, self.values = chunksize or 1, {}
  if self.all_at_once then
    local packed
    self.source, packed = read_all(from)
    job.check_open(pool) -- the iterator may have ended it
    self.mode = packed and mode | label.STAR or mode
  end
  if self.wrap then
    self.source = self.wrap(from, self)
    self.items = self.source.items
  end
  self.deliver, self.complete = self.deliver or deliver, complete
  begin_job(pool, self, options)
  return self
end

local function is_over(self)
  return self.ended
end

-- Waits for a job that only the call itself knows of; what it gives, or its error raised.
function lists.finish(self)
  drive.await(self.pool, is_over, self, nil, self)
  if self.failed then
    error(self.err, 0)
  end
  return table.unpack(self.results, 1, self.results.n)
end

-- The list of f's first results, in order.
function lists.map(pool, f, ...)
  return lists.finish(lists.begin(pool, "map", label.MAP, f, {}, ...))
end

-- The same; each item is a list of arguments.
function lists.starmap(pool, f, ...)
  return lists.finish(lists.begin(pool, "starmap", label.STAR, f, {}, ...))
end

-- Calls f for each item and keeps nothing.
function lists.each(pool, f, ...)
  lists.finish(lists.begin(pool, "each", label.MAP | label.NO_RESULT, f, {}, ...))
end

local function begin_async(pool, verb, mode, f, items, ...)
  return lists.begin(pool, verb, mode, f, { is_future = true, all_at_once = true }, items, ...)
end

-- A Future of the list. All items are read and sent before it returns.
function lists.map_async(pool, ...)
  return begin_async(pool, "map_async", label.MAP, ...)
end

function lists.starmap_async(pool, ...)
  return begin_async(pool, "starmap_async", label.STAR, ...)
end

return lists
