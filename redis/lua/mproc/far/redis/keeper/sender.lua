-- SPDX-License-Identifier: MIT
-- What the keeper says to the server: tasks, and that the owner lives. Used by mproc.far.redis.keeper alone.
--
-- self.out: the session; is_ready: it is in step with the server (resync.lua); down_since, and trouble (why);
-- doubt_until: chunks may be lost though the connection lasts; full_until: the server has no memory for more; pulse_at:
-- when the owner's life is told next.

local core = require("mproc.core")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local errors = lazy.load("mproc.pool.errors")
local message = require("mproc.far.redis.message")
local protocol = lazy.load("mproc.pool.protocol")
local resync = require("mproc.far.redis.keeper.resync")
local say = require("mproc.far.redis.keeper.say")
local session = require("mproc.far.redis.session")

local sender = {}

local TELL_SECONDS = 5 -- so long nothing is said of a server that is away, or of workers that are
local PULSE_SECONDS = 10
local DOUBT_SECONDS = 35 -- after the stream was gone, what is out is looked for with each pulse
local UNSENT_MOST = 4 << 20 -- bytes that wait for the socket: no more is added
local VERBS = { [protocol.MAP] = "map", [protocol.STAR] = "star", [protocol.CALL] = "call" }

-- --- up and down ---

local function on_up(self)
  self.down_since, self.trouble = nil, nil
  say.forget(self)
  resync.begin(self)
end

local function on_down(self, text, kind)
  self.is_ready = false
  if kind == "refused" then
    say.refuse(self, text)
  end
  self.down_since, self.trouble = self.down_since or core.time(), text
end

function sender.open(self)
  self.full_until, self.pulse_at, self.doubt_until, self.is_ready = 0, 0, 0, false
  self.down_since = core.time()
  self.out = session.new(self.target, {
    scripts = { "cancel", "live" },
    on_up = function() on_up(self) end,
    on_down = function(_, text, kind) on_down(self, text, kind) end,
  })
end

-- --- tasks ---

-- What became of an entry that was added: its id, or why not.
local function note_added(self, chunk, id, text, kind)
  if self.book.chunks[chunk.k] ~= chunk or not chunk.is_sent then
    return
  elseif id then
    chunk.id = id
  elseif kind == "refused" then
    say.refuse(self, text)
  elseif kind ~= "disconnected" then -- then resync sees to it
    self.book:put_off(chunk)
    self.full_until = core.time() + resync.FULL_SECONDS
    say.full(self, text)
  end
end

-- How the chunk is to be run, as the entry says it: made once for each function and kind.
local function mode_of(self, f, kind)
  local modes = f.modes or {}
  f.modes = modes
  modes[kind] = modes[kind] or message.mode({
    verb = VERBS[protocol.verb(kind)], no_result = protocol.has(kind, protocol.NO_RESULT),
    test = protocol.has(kind, protocol.TEST), timeout = f.timeout or self.far.timeout, retries = self.far.retries,
  })
  return modes[kind]
end

local function add(self, chunk)
  local f = chunk.f
  return self.out:send(function(...) note_added(self, chunk, ...) end, "XADD", self.keys.tasks, "*",
    table.unpack(message.task({
      k = chunk.k, pool = self.far.id, f = f.name, m = mode_of(self, f, chunk.kind), n = chunk.count,
      bytes = self.book.payload(chunk),
    })))
end

-- Sends what waits.
function sender.send(self)
  while self.is_ready and self.out:unsent() < UNSENT_MOST and core.time() >= self.full_until do
    local chunk = self.book:next()
    if not chunk or not add(self, chunk) then
      return
    end
    self.book:sent(chunk)
  end
end

-- --- now and then ---

-- The owner lives. A stream that has gone meanwhile (the keeper was frozen) is made again; workers drop what they have
-- for it, some at once and some when it ends.
local function pulse(self, now)
  self.out:send(function(is_there)
    if is_there == 0 then
      self.doubt_until = now + DOUBT_SECONDS
      resync.begin(self)
    end
  end, "PEXPIRE", self.stream, resync.EXPIRES_MS)
  if now < self.doubt_until then
    resync.look_for_lost(self)
  end
end

-- The server was away for longer than the pool has patience: what is pending fails, and what comes.
local function lose_patience(self)
  local err = errors.far("disconnected", ("%s is away for %g s and more (patience): %s"):format(self.far.show,
    self.far.patience, tostring(self.trouble)))
  for _, chunk in ipairs(self.book:list()) do
    self.book:fail(chunk, err)
  end
end

-- While the owner takes no results, which may last: that it lives is told all the same. Answers are read later.
function sender.keep_alive(self)
  local now = core.time()
  if self.is_ready and now >= self.pulse_at then
    self.pulse_at = now + PULSE_SECONDS
    pulse(self, now)
    self.out:flush()
  end
end

function sender.tick(self, now)
  if self.down_since then
    if now - self.down_since > self.far.patience then
      lose_patience(self)
    elseif now - self.down_since > TELL_SECONDS and self.trouble then
      say.tell(self, "cannot reach %s (%s); trying for %g s", self.far.show, self.trouble, self.far.patience)
    end
  elseif self.again_at and now >= self.again_at then
    resync.begin(self)
  elseif self.is_ready and now >= self.pulse_at then
    self.pulse_at = now + PULSE_SECONDS
    pulse(self, now)
  end
end

return sender
