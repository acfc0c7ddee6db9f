-- SPDX-License-Identifier: MIT
-- Who works for the queue, and how much is to be out for them. Used by mproc.far.redis.keeper alone, which tells the
-- owner: by this the pool decides how long chunks are, and how many go out.
--
-- self.fleet: workers (a list, as far.hear has them), processes, chunks (that may be out), trip (seconds to the server
-- and back), seconds (of a chunk), ended and ended_at (chunks that had ended at the last look, and when that was),
-- looks, look_at (when it is asked next), idle_since (chunks are out, and nobody works).

local core = require("mproc.core")
local message = require("mproc.far.redis.message")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local protocol = lazy.load("mproc.pool.protocol")
local say = require("mproc.far.redis.keeper.say")

local fleet = {}

local LOOK_SECONDS, LOOK_SOON = 1, 0.2 -- between two looks; while chunks are out, or there is no worker
local LOOKS_AT_FIRST, LOOK_AT_FIRST = 20, 0.05 -- so many looks come quicker
local CHUNKS_LEAST = 4 -- out, whoever works
local PREFETCH_MOST = 64 -- of a process
local AHEAD = 4 -- chunks out for each that ends during a round trip
local PREFETCH = 2 -- of a worker that does not tell
local SECONDS_LEAST, SECONDS_MOST = 0.005, 0.25 -- of a chunk
local TRIPS = 4 -- a chunk shall take this part of a round trip
local SMOOTH = 0.3
local TELL_SECONDS = 5

function fleet.new()
  return {
    workers = {}, processes = 0, chunks = CHUNKS_LEAST, trip = 0, ended = 0, ended_at = 0, looks = 0, look_at = 0,
    idle_since = nil,
  }
end

-- Whether one more chunk may be taken: there is always room for one.
function fleet.has_room(self)
  local book = self.book
  return book.count == 0 or book.count < self.fleet.chunks and book.bytes < self.far.window
end

-- --- looking ---

local function worker_of(name, info, now)
  local lived = info.since and math.max(0, now - info.since) or 0
  local working = info.busy or 0
  return {
    name = name, processes = info.processes or 1, done = info.done or 0, failed = info.failed or 0, working = working,
    waiting = math.max(0, lived * (info.processes or 1) - working), prefetch = math.max(1, info.prefetch or PREFETCH),
    trip = info.trip or 0,
  }
end

-- The workers whose lease holds. leases: name, end, and so on; infos: name, text; now: the server's.
local function living(leases, infos, now)
  local of, list = {}, {}
  for i = 1, #infos, 2 do
    of[infos[i]] = infos[i + 1]
  end
  for i = 1, #leases, 2 do
    if tonumber(leases[i + 1]) > now then
      list[#list + 1] = worker_of(leases[i], message.read_info(of[leases[i]] or ""), now)
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- What is told to the owner.
local function tell_owner(self)
  local slot, now = self.slot, self.fleet
  local processes = math.max(1, now.processes)
  protocol.post_when_room(slot.results, core.getpid(), 0, protocol.FLEET, 0, slot.index, 0, "fleet", {
    processes = now.processes, ahead = math.max(1, now.chunks // processes), seconds = now.seconds,
    workers = now.workers,
  })
end

-- How many chunks would keep those busy who work as quickly as they do now. Workers tell what they would like to have
-- once a beat only, and do not know how far the owner is.
local function chunks_by_rate(self, trip)
  local now, at, ended = self.fleet, core.time(), self.book.ended
  local rate = (ended - now.ended) / math.max(at - now.ended_at, 0.001)
  now.ended, now.ended_at = ended, at
  return math.min(AHEAD * rate * trip // 1 | 0, 2 * PREFETCH_MOST * now.processes)
end

local function note(self, leases, infos, time)
  local now, farthest, chunks = self.fleet, 0, 0
  now.workers, now.processes = living(leases, infos, tonumber(time[1]) + tonumber(time[2]) / 1e6), 0
  for _, worker in ipairs(now.workers) do
    now.processes = now.processes + worker.processes
    chunks = chunks + 2 * worker.processes * worker.prefetch
    farthest = math.max(farthest, worker.trip)
  end
  now.looks = now.looks + 1
  now.chunks = math.max(CHUNKS_LEAST, chunks, chunks_by_rate(self, now.trip + farthest))
  now.seconds = math.min(SECONDS_MOST, math.max(SECONDS_LEAST, (now.trip + farthest) / TRIPS))
  tell_owner(self)
end

local function look(self)
  local out, leases, infos, began = self.out, nil, nil, core.time()
  out:send(function(reply)
    local trip, now = core.time() - began, self.fleet
    now.trip = now.trip > 0 and now.trip + SMOOTH * (trip - now.trip) or trip
    leases = reply
  end, "ZRANGE", self.keys.workers, 0, -1, "WITHSCORES")
  out:send(function(reply) infos = reply end, "HGETALL", self.keys.info)
  out:send(function(time)
    if leases and infos and time then
      note(self, leases, infos, time)
    end
  end, "TIME")
end

-- --- nobody ---

local function tell_nobody(self, now)
  local it = self.fleet
  if it.processes > 0 or self.book.count == 0 then
    it.idle_since = nil
    return
  end
  it.idle_since = it.idle_since or now
  if now - it.idle_since > TELL_SECONDS then
    say.tell(self, "no worker has joined queue %s yet", self.target.queue)
  end
end

-- Until the next look.
local function pause(self)
  if self.fleet.processes > 0 and self.book.count == 0 then
    return LOOK_SECONDS
  end
  return self.fleet.looks < LOOKS_AT_FIRST and LOOK_AT_FIRST or LOOK_SOON
end

function fleet.tick(self, now)
  if self.is_ready then
    tell_nobody(self, now)
  end
  if self.out.up and now >= self.fleet.look_at then
    self.fleet.look_at = now + pause(self)
    look(self)
  end
end

return fleet
