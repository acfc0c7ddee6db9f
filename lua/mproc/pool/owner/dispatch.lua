-- SPDX-License-Identifier: MIT
-- How many items go out together, and when: so that a chunk takes about a millisecond, each worker has a little more
-- than it needs, and no more memory is used than that takes.
--
-- state.pace: seconds (that a chunk shall take) and ahead (chunks out per worker). How many workers there are is
-- state.size, wherever they run.
-- Of a job: chunksize (chunks are of so many items, or multiples), last_count, all_at_once (nothing is held back),
-- window (so much may be out or wait to be fetched), one_by_one (chunks of one item), held (a batch that found no
-- room).

local inflight = require("mproc.pool.owner.inflight")
local protocol = require("mproc.pool.protocol")

local dispatch = {}

local CHUNK_SECONDS = 0.001
local AHEAD = 4 -- chunks out per worker
local GROWTH = 8 -- a chunk is at most so many times as long as the one before
local COUNT_MAX = 2048
local BYTES_MAX = 1 << 20 -- of a chunk
local WINDOW_BYTES = 16 << 20 -- of what is out or waits to be fetched
local WINDOW_MAX, WINDOW_MIN = 4096, 4 -- items of a stream that may be out or wait; the least, per worker
local WINDOW_CHUNKS = 4 -- a window has room for so many
local ASYNC_SHARE = 4 -- an asynchronous job's next chunk is this part of what each worker would get of the rest
local STAR = protocol.STAR

dispatch.CHUNKSIZE_MAX = inflight.COUNT_MAX

function dispatch.prepare(state)
  state.pace = { seconds = CHUNK_SECONDS, ahead = AHEAD }
end

local function whole_chunks(self, n)
  local chunksize = self.chunksize
  return math.min(math.max(chunksize, n // chunksize * chunksize), inflight.COUNT_MAX)
end

local function rest_of(self)
  local size = self.source.size
  return size and size - self.sent
end

local function by_time(self)
  local n = self.state.pace.seconds / math.max(self.cost, 1e-8)
  local bytes = self.bytes + self.item_bytes
  if bytes > 0 then
    n = math.min(n, BYTES_MAX / bytes)
  end
  return math.min(n // 1 | 0, self.last_count * GROWTH, COUNT_MAX)
end

-- Of a stream: so many items may be out, or wait to be fetched.
local function window_of(self)
  local size = self.state.size
  local least = math.max(WINDOW_MIN, 2 * self.chunksize) * size
  local bytes = self.bytes + self.item_bytes
  local most = WINDOW_MAX
  if self.cost then
    most = math.min(most, size * self.state.pace.ahead * by_time(self))
  end
  if bytes > 0 then
    most = math.min(most, WINDOW_BYTES // bytes)
  end
  return math.max(least, most)
end

local function room(self)
  return window_of(self) - (self.sent - self.fetched)
end

-- Of a stream: what each chunk is at most, so that the window has some of them; and, while some are out, at least: each
-- result that is fetched would make room for a chunk of one otherwise.
local function share(self)
  return self.cost and math.max(1, math.min(by_time(self), window_of(self) // WINDOW_CHUNKS)) or 1
end

-- How many items the next chunk shall have.
local function next_count(self)
  if self.one_by_one then
    return 1
  end
  local state, rest, n = self.state, rest_of(self), 1
  if self.cost then
    n = by_time(self)
    if rest then
      n = math.min(n, (rest + 2 * state.size - 1) // (2 * state.size))
    end
  elseif self.all_at_once and rest then
    n = rest // (ASYNC_SHARE * state.size)
  end
  if self.window then
    n = math.min(n, room(self), share(self))
  end
  return whole_chunks(self, math.min(n, state.maxtasksperchild or n))
end

local function has_room(self)
  if self.all_at_once then
    return true
  elseif self.messages >= self.state.size * self.state.pace.ahead then
    return false
  end
  local least = self.messages > 0 and math.max(share(self), self.chunksize) or self.chunksize
  return not self.window or room(self) >= least
end

-- One that cannot travel fails alone, and is named by its index.
local function send_singly(self, batch, base, mode)
  for k = 1, batch.count do
    local index = base + k
    local ok, why, name = inflight.send(self.state, self, mode, index - 1, 1, { batch.list[k] })
    if not ok then
      inflight.fail(self.state, self, index, inflight.explain_unsent(self.state, index, batch.list[k], why, name))
    end
  end
end

-- Sends a batch, which was counted as sent when it was pulled. False when the arena is full and something will be
-- fetched that makes room.
local function send(self, batch)
  local base, count, mode = batch.base, batch.count, self.mode | (batch.packed and STAR or 0)
  local ok, bytes, name = inflight.send(self.state, self, mode, base, count, batch.list)
  if ok then
    self.last_count, self.item_bytes = count, bytes / count
  elseif name == "ENOMEM" and self.state.inflight.count > 0 then
    self.held = batch
    return false
  else
    send_singly(self, batch, base, mode)
  end
  return true
end

-- The source has ended: what a generic for does then. A job that has ended is left to its own call.
local function end_source(self, batch)
  local source = self.source
  if not batch.failed then
    local ok, err = source:close()
    if not ok then
      batch.failed, batch.err, batch.interrupted = true, err, ok == nil
    end
  else
    source:close(batch.err)
  end
  if batch.failed and not self.ended then
    self.source_failed, self.source_error = true, batch.err
  end
  self.exhausted = true
end

-- The next batch: held, or read now, which may run code of the user's. Its items are counted as sent from here on.
local function pull(self)
  local batch = self.held
  if batch then
    self.held = nil
    return batch
  end
  local n, source = next_count(self), self.source
  batch = source:pull(n)
  batch.base = self.sent -- no call between the pull and the count
  self.sent = self.sent + batch.count
  if not batch.waiting then
    source:counted()
  end
  if batch.interrupted then
    self.interrupted = batch.err
  elseif batch.failed or batch.count < n and not batch.waiting then
    end_source(self, batch)
  elseif self.sent == source.size then
    self.exhausted = true
  end
  return batch
end

-- Sends what may go out. True while there is more to send. Reading an item may end the pool, and with it the job.
function dispatch.job(self)
  while not self.ended and (self.held or not self.exhausted and has_room(self)) do
    local batch = pull(self)
    if batch.count > 0 and not self.ended and not send(self, batch) then
      return true
    elseif batch.interrupted then
      return true
    elseif batch.count == 0 and not self.exhausted then -- the iterator is suspended elsewhere
      return true
    end
  end
  if not self.ended then
    self:note(0)
  end
  return not self.ended and not (self.exhausted and not self.held)
end

-- Ctrl-C ended an iterator of the user's, in the call that moves the pool along just now.
local function raise_interrupt(self)
  local err = self.interrupted
  if err ~= nil then
    self.interrupted = nil
    dispatch.raise_interrupt(err)
  end
end

local function remove(list, self)
  for i = 1, #list do
    if list[i] == self then
      return table.remove(list, i)
    end
  end
end

-- All jobs that have more to send. True when one has ended by it. An iterator that a job reads may use the pool as
-- well, so the list may change.
function dispatch.all(state)
  local jobs = state.jobs
  local list, i, ended = jobs.sending, 1, jobs.nended
  while list[i] do
    local self = list[i]
    local more = not self.ended and dispatch.job(self)
    raise_interrupt(self)
    if not more then
      remove(list, self)
    elseif list[i] == self then
      i = i + 1
    end
  end
  return jobs.nended > ended
end

-- A job with a source begins.
function dispatch.start(self)
  self.last_count = self.chunksize
  table.insert(self.state.jobs.sending, self)
  local more = dispatch.job(self)
  raise_interrupt(self)
  if not more then
    remove(self.state.jobs.sending, self)
  end
end

-- raise_interrupt(err): set by loop.lua, which uses this file.
dispatch.raise_interrupt = nil

return dispatch
