-- SPDX-License-Identifier: MIT
-- The worker program: a supervisor with two connections and a local pool. Called by mproc worker (mproc.cli.worker).
-- Invariant: the supervisor runs no code of users and decodes no task: it moves bytes, so its beats are never late
-- because of what a task does. Its children are daemons and end with it.
--
-- State, in one record: target, name (host:pid:nonce), host, allow (compiled patterns), allowed (the last name that one
-- of them matched), lease, grace, prefetch (chunks per process) and fixed_prefetch, processes, pool, say(format, …),
-- on_join(); of hand.lua: hand, inhand, running, ended, unanswered, done, failed, busy, chunk_seconds; of link.lua:
-- keys, talks, reads, reading, group, leased_until, beat_at, reap_at, read_at, commit_at, resume_at, met, refused,
-- since, trip, late; and leaving (until when what runs may end).

local allow = require("mproc.far.redis.worker.allow")
local child = require("mproc.far.redis.worker.child")
local core = require("mproc.core")
local hand = require("mproc.far.redis.worker.hand")
local link = require("mproc.far.redis.worker.link")
local mproc = require("mproc")
local session = require("mproc.far.redis.session")
local signals = require("mproc.far.redis.signals")
local socket = require("socket")

local worker = {}

local LEASE, GRACE = 6, 30 -- seconds
local FIRST_PREFETCH = 2
local LOOK_SECONDS = 0.01 -- how often ends of processes are looked for while they run tasks
local FAREWELL_SECONDS = 2 -- for the last commits to be answered
local INTERRUPTED = 130
local GC_PAUSE = 400 -- percent: what a supervisor keeps is little, what it throws away is much

local time = mproc.time

-- --- start ---

local function random_name(host)
  local nonce = {}
  for i = 1, 8 do
    nonce[i] = ("%02x"):format(math.random(0, 255))
  end
  return ("%s:%d:%s"):format(host, mproc.getpid(), table.concat(nonce))
end

local function new_state(target, options)
  local host = socket.dns.gethostname():gsub("[:,;=%s]", "-")
  return {
    target = target, host = host, name = random_name(host), allow = options.allow,
    lease = options.lease or LEASE, grace = options.grace or GRACE,
    prefetch = options.prefetch or FIRST_PREFETCH, fixed_prefetch = options.prefetch ~= nil,
    hand = {}, inhand = 0, settled = 0, running = 0, ended = {}, unanswered = {}, done = 0, failed = 0, busy = 0,
    chunk_seconds = 0.01,
    reading = false, group = false, leased_until = 0, beat_at = 0, reap_at = 0, read_at = 0, commit_at = 0,
    resume_at = math.huge,
    met = false, late = 0, suspects = {},
    say = function(format, ...)
      core.write_stderr(("mproc worker: %s\n"):format(format:format(...)))
    end,
  }
end

local function start_pool(w, options)
  w.pool = mproc.Pool({
    processes = options.processes or mproc.cpu_count(), initializer = child.begin, initargs = { w.name, options.begin },
  })
  w.pool:apply(child.ready) -- or --begin's error
  w.processes, w.pool_fd = #w.pool:workers(), w.pool:fileno()
end

-- --- the loop ---

-- One round, after `timeout` seconds at most, or when there is news.
local function turn(w, timeout)
  timeout = math.min(timeout, link.patience(w), w.running > 0 and LOOK_SECONDS or math.huge)
  session.wait({ w.talks, w.reads }, { w.pool_fd, w.signals }, timeout)
  w.reads:step()
  w.pool:step(0)
  link.commit(w)
  link.tick(w)
  w.talks:step()
  link.fetch(w) -- last: what was committed has made room
  w.reads:flush()
end

-- Lets go of what has not begun, and asks for no more.
local function begin_to_leave(w)
  w.leaving = time() + w.grace
  w.reads:close()
  for _, chunk in pairs(w.hand) do
    hand.release(w, chunk)
  end
  w.say("%s leaves; %d of its chunks still run", w.name, w.inhand)
end

local function heed_signals(w)
  local terms, interrupts = signals.counts()
  if interrupts > 1 then
    w.leaving = 0
    w.status = INTERRUPTED
  elseif (terms > 0 or interrupts > 0) and not w.leaving then
    begin_to_leave(w)
  end
end

local function work(w)
  while not w.refused do
    turn(w, math.huge)
    heed_signals(w)
    if w.leaving and (w.inhand == 0 or time() >= w.leaving) then
      return
    end
  end
end

-- --- the end ---

-- Steps until the condition holds: true; or false when that takes too long.
local function talk_until(w, holds)
  local deadline = time() + FAREWELL_SECONDS
  w.talks:step()
  while not holds() and time() < deadline do
    session.wait({ w.talks }, {}, math.max(deadline - time(), 0))
    w.talks:step()
  end
  return holds()
end

-- The lease ends now, so that others need not wait for it; the last one that leaves takes the keys with it.
local function farewell(w)
  w.pool:close()
  hand.give_up(w)
  if w.running > 0 or not w.pool:join(FAREWELL_SECONDS) then
    w.pool:terminate()
  end
  w.leaving = w.leaving or 0
  if w.refused or not talk_until(w, function() return w.talks.up end) then
    return
  end
  link.commit(w)
  link.beat(w, 0)
  link.reap(w, true)
  talk_until(w, function() return w.talks.waiting == 0 end)
end

-- target: of url.parse; options: allow (a list of compiled patterns), processes (as Pool's), begin (code), lease,
-- grace, prefetch. Runs until it is told to leave. The exit status; 1 and what was refused. Raises what --begin
-- raises.
function worker.run(target, options)
  local w = new_state(target, options)
  w.signals = assert(signals.heed())
  start_pool(w, options)
  w.put_back = function(...) return link.put_back(w, ...) end
  w.run = function(chunk) return hand.run(w, chunk) end
  w.forget = function(chunk) return hand.drop(w, chunk) end
  w.tell_of = function(told) return link.beat(w, nil, told) end
  w.on_join = function()
    w.say("%s joined queue %s at %s with %d processes", w.name, target.queue, target.shown, w.processes)
  end
  link.open(w)
  collectgarbage("setpause", GC_PAUSE) -- its processes have been started, and keep theirs
  work(w)
  farewell(w)
  w.talks:close()
  w.reads:close()
  if w.refused then
    return 1, w.refused
  end
  return w.status or 0
end

worker.pattern = allow.compile

return worker
