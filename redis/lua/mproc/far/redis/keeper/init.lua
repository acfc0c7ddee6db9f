-- SPDX-License-Identifier: MIT
-- The keeper: the one local process of a pool over several machines. An owner may compute for an hour between two
-- calls of its pool, and could then neither renew its result stream nor reconnect; the keeper does, and keeps tasks
-- until their results are there. To the owner it is a worker: it takes tasks under lease and puts results. It decodes
-- neither.
--
--   book.lua     what it has in hand              sender.lua   tasks to the server, and what else is said to it
--   notices.lua  functions, and jobs called off   reader.lua   results from it
--   resync.lua   what is asked after a reconnect  cancel.lua   tasks back from it
--   fleet.lua    who works, and how much is out   say.lua      what people are told
--
-- slot: what every pool's worker has (pool/worker/init.lua), and slot.far: url, show, id (the pool's at the server),
-- earlier (ids of keepers before it), patience (seconds), window (bytes out), most (bytes of a message), timeout
-- (seconds for each item, or nil), retries.
-- Invariant: a lease ends when the results are in the owner's queue. So a keeper that dies loses nothing: what it had
-- comes back to the owner as orphans of nobody's guilt, and the next keeper, under a new id, sends it again.

local core = require("mproc.core")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local errors = lazy.load("mproc.pool.errors")
local keys = require("mproc.far.redis.keys")
local protocol = lazy.load("mproc.pool.protocol")
local url = require("mproc.far.redis.url")

local Book = require("mproc.far.redis.keeper.book")
local cancel = require("mproc.far.redis.keeper.cancel")
local fleet = require("mproc.far.redis.keeper.fleet")
local notices = require("mproc.far.redis.keeper.notices")
local reader = require("mproc.far.redis.keeper.reader")
local sender = require("mproc.far.redis.keeper.sender")
local session = require("mproc.far.redis.session")

local keeper = {}

local TICK = 0.05 -- between two looks at what is called off, and at the clock
local TAKE_AT_ONCE = 64 -- tasks taken before results are looked at
local ROOM_NAP = 0.001 -- between two tries while the owner's arena is full
local LEAVE_SECONDS = 0.5 -- for the last words to the server
local TERMINATED_STATUS, FAILED_STATUS = 143, 1

local function new(slot)
  local target, wrong = url.parse(slot.far.url)
  if not target then
    error(errors.far("refused", wrong), 0)
  end
  local its_keys = keys.of(target.queue)
  local self = {
    slot = slot, far = slot.far, target = target, keys = its_keys, stream = its_keys.result(slot.far.id),
    notices = notices.new(slot), fleet = fleet.new(), next_tick = 0,
  }
  self.book = Book.new(slot, function()
    sender.keep_alive(self)
    core.sleep(ROOM_NAP)
  end)
  return self
end

-- --- the loop ---

-- Takes what there is room for.
local function take(self)
  local book = self.book
  for _ = 1, TAKE_AT_ONCE do
    if book.closed or not fleet.has_room(self) then
      return
    end
    local chunk = book:take()
    if not chunk then
      return
    end
    chunk.f = self.notices:function_of(chunk.f)
    if cancel.is_called_off(self, chunk) then
      book:skip(chunk)
    else
      book:put_off(chunk)
    end
  end
end

local function tick(self)
  local now = core.time()
  if now < self.next_tick then
    return
  end
  self.next_tick = now + TICK
  cancel.look(self)
  sender.tick(self, now)
  fleet.tick(self, now)
end

local function wait(self)
  local others = { self.slot.channel }
  if not self.book.closed and fleet.has_room(self) then
    others[2] = self.slot.tasks
  end
  session.wait({ self.out, self.back }, others, math.max(0, self.next_tick - core.time()))
end

local function is_over(self)
  return self.book.closed and self.book.count == 0
end

local function serve(self)
  sender.open(self)
  reader.open(self)
  while not is_over(self) do
    self.notices:read()
    cancel.answer(self)
    take(self)
    sender.send(self)
    self.out:step()
    self.back:step()
    tick(self)
    if not is_over(self) then
      wait(self)
    end
  end
end

-- --- start and end ---

-- What is left at the server goes: the stream of results, by which workers know that the owner lives, and what nobody
-- has fetched. Said on a connection of its own: the others may be in the middle of something.
local function leave(self)
  local last = session.new(self.target, { scripts = { "cancel" } })
  local deadline = core.time() + LEAVE_SECONDS
  if not last:call(LEAVE_SECONDS, "DEL", self.stream) then
    return
  end
  for _, chunk in pairs(self.book.chunks) do
    if chunk.id then
      last:script(nil, "cancel", { self.keys.tasks }, { chunk.id })
    end
  end
  last:call(math.max(0, deadline - core.time()), "PING")
  last:close()
end

local function report(slot, status, value)
  protocol.post_when_room(slot.results, core.getpid(), 0, status, 0, slot.index, 0, "report", value)
end

-- What it cannot go on after is the pool's error; it is not tried again by another keeper.
local function give_up(slot, err)
  if type(err) ~= "table" then
    err = errors.far("refused", "the pool's keeper failed: " .. tostring(err))
  end
  report(slot, protocol.BROKEN, err)
end

local function run(slot, self)
  report(slot, protocol.READY)
  serve(self)
end

function keeper.main(slot)
  core.ignore_sigint()
  protocol.heed_sigterm()
  protocol.enlist(slot.number, slot.tasks, slot.results, slot.words)
  local made, self = pcall(new, slot)
  local ok, err = made, self
  if made then
    ok, err = pcall(run, slot, self)
    pcall(leave, self)
  end
  if protocol.told_to_end() then
    core.exit(TERMINATED_STATUS)
  elseif not ok then
    give_up(slot, err)
    core.exit(FAILED_STATUS)
  end
end

return keeper
