-- SPDX-License-Identifier: MIT
-- How many items go out together, and when: so that a chunk takes about a millisecond, each worker has a little more
-- than it needs, and no more memory is used than that takes. Used by pool_drive.lua and those that make jobs.

local chunks = require("mproc.pool_chunks")
local job = require("mproc.pool_job")

local feed = {}

local CHUNK_SECONDS = 0.001
local AHEAD = 4 -- chunks out per worker
local GROWTH = 8 -- a chunk is at most so many times as long as the one before
local COUNT_MAX = 2048
local BYTES_MAX = 1 << 20 -- of a chunk
local WINDOW_BYTES = 16 << 20 -- of what is out or waits to be fetched
local WINDOW_MAX, WINDOW_MIN = 4096, 4 -- items of a stream that may be out or wait; the least, per worker
local ASYNC_SHARE = 4 -- an asynchronous job's next chunk is this part of what each worker would get of the rest

local function whole_chunks(self, n)
  local granule = self.granule
  return math.max(granule, n // granule * granule)
end

local function rest_of(self)
  local size = self.source.size
  return size and size - self.fed
end

local function by_time(self)
  local n = CHUNK_SECONDS / math.max(self.cost, 1e-8)
  local bytes = self.bytes + self.out
  if bytes > 0 then
    n = math.min(n, BYTES_MAX / bytes)
  end
  return math.min(n // 1 | 0, self.last_count * GROWTH, COUNT_MAX)
end

-- Of a stream: so many more may go out before some are fetched.
local function room(self)
  local least = math.max(WINDOW_MIN, 2 * self.granule) * self.pool.size
  local bytes = self.bytes + self.out
  local most = WINDOW_MAX
  if self.cost then
    most = math.min(most, self.pool.size * AHEAD * by_time(self))
  end
  if bytes > 0 then
    most = math.min(most, WINDOW_BYTES // bytes)
  end
  return math.max(least, most) - (self.fed - self.fetched)
end

-- How many items the next chunk shall have.
local function next_count(self)
  if self.source.singly then
    return 1
  end
  local pool = self.pool
  local rest = rest_of(self)
  local n
  if self.cost then
    n = by_time(self)
    if rest then
      n = math.min(n, (rest + 2 * pool.size - 1) // (2 * pool.size))
    end
  elseif self.all_at_once and rest then
    n = rest // (ASYNC_SHARE * pool.size)
  else
    n = 1
  end
  if self.window then
    n = math.min(n, room(self))
  end
  return whole_chunks(self, math.min(n, pool.max_tasks or n))
end

local function has_room(self)
  if self.all_at_once then
    return true
  elseif self.messages >= self.pool.size * AHEAD then
    return false
  end
  return not self.window or room(self) >= self.granule
end

-- The codec names items by their place in the message.
local function renumber(reason, base)
  if type(reason) ~= "string" then
    return reason
  end
  return (reason:gsub("^cannot send items%[(%d+)%]", function(k)
    return ("cannot send items[%d]"):format(base + math.tointeger(k))
  end))
end

local function sent(self, count, bytes)
  self.fed = self.fed + count
  self.last_count = count
  self.out = bytes / count
end

-- One that cannot travel fails alone.
local function send_singly(self, items, count)
  for k = 1, count do
    local base = self.fed
    self.fed = base + 1
    local ok, why = chunks.send(self.pool, self, base, 1, { items[k] })
    if not ok then
      self:deliver(base + 1, false, renumber(why, base))
    end
  end
end

-- Sends a chunk. False when the arena is full and something will be fetched that makes room.
local function send(self, items, count)
  local ok, bytes, name = chunks.send(self.pool, self, self.fed, count, items)
  if ok then
    sent(self, count, bytes)
  elseif name == "ENOMEM" and self.pool.in_flight > 0 then
    self.held, self.held_count = items, count
    return false
  else
    send_singly(self, items, count)
  end
  self.exhausted = self.exhausted or self.fed == self.source.size
  return true
end

local function pull(self)
  if self.held then
    local items, count = self.held, self.held_count
    self.held = nil
    return items, count
  end
  local source, n = self.source, next_count(self)
  local items, count, packed, failed, err = source:pull(n)
  if packed and not self.packed then
    self.packed = true
    self.mode = self.mode | 1 -- STAR
  elseif self.packed and not packed and self.verb ~= "starmap" then
    for k = 1, count do
      items[k] = { n = 1, items[k] }
    end
  end
  if count < n and not source.busy then
    self.exhausted = true
    if failed then
      self.source_failed, self.source_error = true, err
    end
  end
  return items, count
end

-- Sends what may go out. True while there is more to send. An iterator may end the pool, and with it the job.
function feed.job(self)
  while not self.exhausted and has_room(self) do
    local items, count = pull(self)
    if self.ended then
      return false
    elseif count > 0 and not send(self, items, count) then
      return true
    elseif count == 0 and not self.exhausted then -- the iterator is suspended elsewhere
      return true
    end
  end
  if self.exhausted and not self.held then
    job.check_complete(self)
    return false
  end
  return not self.ended
end

local function remove(list, self)
  for i = 1, #list do
    if list[i] == self then
      return table.remove(list, i)
    end
  end
end

-- True when a job has ended by it. An iterator that a job reads may use the pool as well, so the list may change.
function feed.pool(pool)
  local i, ended = 1, pool.nended
  while pool.feeding[i] do
    local self = pool.feeding[i]
    if self.ended or not feed.job(self) then
      remove(pool.feeding, self)
    else
      i = i + 1
    end
  end
  return pool.nended > ended
end

-- A job with a source begins.
function feed.start(self)
  self.last_count = self.granule
  if feed.job(self) then
    table.insert(self.pool.feeding, self)
  end
end

return feed
