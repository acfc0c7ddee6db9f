-- SPDX-License-Identifier: MIT
-- What a worker program says to the server: joins, beats, fetches, commits, reaps, leaves. Used by worker/init.lua.
--
-- Two sessions: w.reads blocks in XREADGROUP, with one read outstanding at most; w.talks has all else, pipelined.
--
-- Invariants: it fetches only while the last beat that was answered is younger than the lease, counted from when it
-- was sent; it does not reap before one lease has passed since it connected, for after a restart of the server all
-- leases look over; a chunk's records are kept until the server has answered their commit.

local hand = require("mproc.far.redis.worker.hand")
local keys = require("mproc.far.redis.keys")
local message = require("mproc.far.redis.message")
local mproc = require("mproc")
local session = require("mproc.far.redis.session")

local link = {}

local BLOCK = 1 -- seconds a read waits
local COMMIT_CHUNKS, COMMIT_BYTES = 64, 8 << 20 -- of one call
local RETRY_SECONDS = 1 -- after an error that is none of the connection's
local PREFETCH_MIN, PREFETCH_MAX = 2, 64 -- chunks for each process
local WEIGHT = 0.2 -- of the last round trip in the mean
local CHUNK_LEAST = 1e-4 -- seconds that one takes, its way through the local pool included
local PENDING_MOST = 10000
local UNKNOWN = "unknown:0:0" -- a worker of which nothing is known
local SCRIPTS = { "beat", "commit", "reap", "split" }

local time = mproc.time

-- --- errors ---

-- What the server says to a command is told once; losses of the connection are told by on_down.
local function complain(w, what, text, kind)
  if kind ~= "disconnected" and w.complained ~= text then
    w.complained = text
    w.say("%s: %s", what, text)
  end
end

-- --- joining ---

-- Takes an entry that the server says is this worker's. One that was deleted is acknowledged.
local function recover(w, id, deliveries)
  w.talks:send(function(entries)
    if not entries then
      w.resume_at = time() + RETRY_SECONDS
    elseif not entries[1] then
      w.talks:send(nil, "XACK", w.keys.tasks, keys.GROUP, id)
    elseif not w.leaving then
      hand.take(w, id, entries[1][2], deliveries - 1, UNKNOWN)
    end
  end, "XRANGE", w.keys.tasks, id, id)
end

-- had: what was in hand when the list was asked for. What somebody else has claimed meanwhile is let go of, unless it
-- runs; what the server has given, and no answer told of, is taken.
local function compare(w, had, pending)
  for _, each in ipairs(pending) do
    had[each[1]] = nil
    if not w.hand[each[1]] then
      recover(w, each[1], each[4])
    end
  end
  for id, chunk in pairs(had) do
    if w.hand[id] == chunk then
      hand.release(w, chunk)
    end
  end
end

-- Compares what is in hand with what the server has given: after a connection was lost, whichever it was, and once a
-- lease besides, for a read may have been served on a connection that nobody has yet found to be lost. Own pending
-- entries are listed, not read again: a read counts as a delivery, and deliveries as deaths.
local function resume(w)
  local had = {}
  for id, chunk in pairs(w.hand) do
    had[id] = chunk
  end
  w.resume_at = time() + w.lease
  w.talks:send(function(pending)
    if pending then
      compare(w, had, pending)
    end
  end, "XPENDING", w.keys.tasks, keys.GROUP, "-", "+", PENDING_MOST, w.name)
end

local function note_group(w, text, kind)
  if text and not text:find("^BUSYGROUP") then -- the first beat may yet make it, when the server is full
    complain(w, "cannot join", text, kind)
    if kind == "refused" then
      w.refused = w.refused or text
    end
    return
  end
  w.group = true
end

local function ask_policy(w)
  w.talks:send(function(text)
    local policy = text and text:match("maxmemory_policy:(%S+)")
    if policy and policy ~= "noeviction" then
      w.refused = ("the server's maxmemory-policy is %s: it would throw tasks away; set noeviction"):format(policy)
    end
  end, "INFO", "memory")
end

-- The session that talks has connected.
local function joined(w)
  w.group, w.reap_at, w.beat_at, w.leased_until = false, time() + w.lease, 0, 0
  w.resume_at = w.reap_at
  w.talks:send(function(_, text, kind) note_group(w, text, kind) end, "XGROUP", "CREATE", w.keys.tasks, keys.GROUP, "0",
    "MKSTREAM")
  if not w.met then
    ask_policy(w)
  else
    resume(w)
  end
  for _, chunk in ipairs(w.unanswered) do
    w.ended[#w.ended + 1] = chunk
  end
  w.unanswered = {}
  link.beat(w)
end

local function lost(w, which, text, kind)
  if which == "talks" then
    w.group, w.leased_until = false, 0
  else -- what the server has given on it and was not read is found by a comparison
    w.reading, w.resume_at = false, 0
  end
  if kind == "refused" and not w.met then
    w.refused = text
  elseif which == "talks" then
    w.say("no connection to %s: %s; trying again", w.target.shown, text)
  end
end

function link.open(w)
  w.keys = keys.of(w.target.queue)
  w.talks = session.new(w.target, {
    scripts = SCRIPTS, answer_within = w.lease,
    on_up = function() joined(w) end, on_down = function(_, ...) lost(w, "talks", ...) end,
  })
  w.reads = session.new(w.target, {
    answer_within = w.lease + BLOCK, on_down = function(_, ...) lost(w, "reads", ...) end,
  })
end

-- --- beats ---

local function info_of(w)
  return message.info({
    processes = w.processes, prefetch = w.prefetch, done = w.done, failed = w.failed, busy = ("%.3f"):format(w.busy),
    hand = w.inhand, trip = w.trip and ("%.6f"):format(w.trip), since = w.since, at = w.suspect and w.suspect.id,
    version = w.target.version, host = w.host,
  })
end

-- Prefetch per process: what it works on, and what it may work on while an answer is on its way.
local function adapt(w, trip)
  w.trip = w.trip and w.trip + (trip - w.trip) * WEIGHT or trip
  if not w.fixed_prefetch then
    local wanted = 1 + math.ceil(2 * w.trip / math.max(w.chunk_seconds, CHUNK_LEAST))
    w.prefetch = math.max(PREFETCH_MIN, math.min(PREFETCH_MAX, wanted))
  end
end

local function note_beat(w, sent, answer, text, kind)
  if not answer then
    return complain(w, "beat", text, kind)
  end
  local lapsed = w.met and w.leased_until < sent and w.leased_until > 0
  w.leased_until, w.since, w.group = sent + w.lease, w.since or answer[1], true
  adapt(w, time() - sent)
  for _, key in ipairs(answer[2]) do
    hand.abandon(w, key:match("([^:]*)$"))
  end
  if not w.met then
    w.met = true
    w.on_join()
    link.fetch(w)
  elseif lapsed then -- frozen for longer than the lease: others may have what it had
    resume(w)
  end
end

-- lease: w.lease, or 0 to leave. told(whether it was answered), if given.
function link.beat(w, lease, told)
  local sent, list = time(), { w.keys.tasks, w.keys.workers, w.keys.info }
  for _, pool in ipairs(hand.pools(w)) do
    list[#list + 1] = w.keys.result(pool)
  end
  w.beat_at = sent + w.lease / 4
  local function note(answer, ...)
    note_beat(w, sent, answer, ...)
    if told then
      told(answer ~= nil)
    end
  end
  if not w.talks:script(note, "beat", list, { w.name, lease or w.lease, info_of(w) }) and told then
    told(false)
  end
end

-- --- fetching ---

-- How many chunks are in hand and have no result yet.
function link.to_do(w)
  return w.inhand - w.settled
end

local function note_read(w, streams, text, kind)
  w.reading = false
  if text then
    if text:find("^NOGROUP") then -- the server has lost it: join again
      w.talks:send(function(_, said, how) note_group(w, said, how) end, "XGROUP", "CREATE", w.keys.tasks, keys.GROUP,
        "0", "MKSTREAM")
    end
    complain(w, "read", text, kind)
    w.read_at = time() + RETRY_SECONDS / 4
    return
  end
  if w.leaving then -- they stay this worker's at the server, and others claim them
    return
  end
  link.fetch(w, streams and #streams[1][2] or 0)
  for _, entry in ipairs(streams and streams[1][2] or {}) do
    hand.take(w, entry[1], entry[2])
  end
end

-- Asks for as many chunks as there is room for, unless a read is outstanding. coming: chunks that are about to be
-- taken.
function link.fetch(w, coming)
  local now = time()
  local room = w.processes * w.prefetch - link.to_do(w) - (coming or 0)
  if w.reading or w.leaving or room <= 0 or not w.group or now >= w.leased_until or now < w.read_at then
    return
  end
  w.reading = w.reads:send(function(...) note_read(w, ...) end, "XREADGROUP", "GROUP", keys.GROUP, w.name, "COUNT",
    room, "BLOCK", BLOCK * 1000, "STREAMS", w.keys.tasks, ">")
end

-- --- commits ---

local function note_commit(w, chunks, sent, refused, text, kind)
  if not refused then -- whether it was done is not known: a second one is refused then
    complain(w, "commit", text, kind)
    table.move(chunks, 1, #chunks, #w.unanswered + 1, w.unanswered)
    if kind ~= "disconnected" then
      w.commit_at = time() + RETRY_SECONDS
    end
    return
  end
  for _, chunk in ipairs(chunks) do
    hand.drop(w, chunk)
  end
  adapt(w, time() - sent)
  w.late = w.late + math.max(refused, 0)
end

local function send_commit(w, pool, chunks, arguments)
  local sent_at = time()
  local sent = w.talks:script(function(...) note_commit(w, chunks, sent_at, ...) end, "commit",
    { w.keys.tasks, w.keys.result(pool) }, arguments)
  if not sent then
    table.move(chunks, 1, #chunks, #w.unanswered + 1, w.unanswered)
  end
end

-- Chunks of one pool, in calls of bearable size.
local function commit_pool(w, pool, chunks)
  local some, arguments, bytes = {}, {}, 0
  for _, chunk in ipairs(chunks) do
    if #some == COMMIT_CHUNKS or bytes > 0 and bytes + #chunk.records > COMMIT_BYTES then
      send_commit(w, pool, some, arguments)
      some, arguments, bytes = {}, {}, 0
    end
    some[#some + 1] = chunk
    bytes = bytes + #chunk.records
    local at = 3 * #some
    arguments[at - 2], arguments[at - 1], arguments[at] = chunk.id, chunk.task.label, chunk.records
  end
  send_commit(w, pool, some, arguments)
end

-- Commits what has ended.
function link.commit(w)
  if w.unanswered[1] and w.talks.up and time() >= w.commit_at then
    table.move(w.unanswered, 1, #w.unanswered, #w.ended + 1, w.ended)
    w.unanswered = {}
  end
  if not w.ended[1] or not w.talks.up or time() < w.commit_at then
    return
  end
  local of_pool, all = {}, w.ended
  w.ended = {}
  for _, chunk in ipairs(all) do
    local pool = chunk.gone and hand.NOBODY or chunk.task.pool -- whose stream may be back: these are no results
    local list = of_pool[pool] or {}
    list[#list + 1] = chunk
    of_pool[pool] = list
  end
  for pool, chunks in pairs(of_pool) do
    commit_pool(w, pool, chunks)
  end
end

-- --- the dead ---

-- Puts a chunk back as entries of `size` items each. Should that not come to pass, it is still this worker's at the
-- server, and resume() takes it again.
function link.put_back(w, chunk, each, size, hosts)
  local task = chunk.task
  local arguments = { task.id, task.k, task.pool, task.f, task.m, task.offset or 0, chunk.deaths, hosts, size, task.n }
  table.move(each, 1, #each, #arguments + 1, arguments)
  w.talks:script(function(_, text, kind)
    if text then
      complain(w, "split", text, kind)
      w.resume_at = time() + RETRY_SECONDS
    end
  end, "split", { w.keys.tasks }, arguments)
  hand.drop(w, chunk)
end

local function note_reaped(w, entries, text, kind)
  if not entries then
    return complain(w, "reap", text, kind)
  end
  for _, each in ipairs(w.leaving and {} or entries) do
    hand.take(w, each[1], each[2], each[3], each[4], message.read_info(each[5]))
  end
end

-- Takes over from the dead, when there is room. leaving: only cleans up.
function link.reap(w, leaving)
  local room = leaving and 0 or math.max(w.processes * w.prefetch - link.to_do(w), 0)
  w.reap_at = time() + w.lease / 4
  w.talks:script(function(...) note_reaped(w, ...) end, "reap", { w.keys.tasks, w.keys.workers, w.keys.info },
    { w.name, room, leaving and 0 or w.lease })
end

-- --- timers ---

-- Does what is due.
function link.tick(w)
  local now = time()
  if w.talks.up and now >= w.beat_at then
    link.beat(w)
  end
  if w.talks.up and now >= w.resume_at and not w.leaving then
    resume(w)
  end
  if w.talks.up and now >= w.reap_at and not w.leaving and link.to_do(w) < w.processes * w.prefetch then
    link.reap(w)
  end
end

-- Seconds until something is due.
function link.patience(w)
  local least = w.talks.up and math.min(w.beat_at, w.reap_at, w.resume_at) - time() or math.huge
  if w.unanswered[1] or w.ended[1] then
    least = math.min(least, math.max(w.commit_at - time(), 0.01))
  end
  if not w.reading and not w.leaving then
    least = math.min(least, math.max(w.read_at - time(), 0.05))
  end
  return math.max(least, 0)
end

return link
