-- SPDX-License-Identifier: MIT
-- Looks at a queue from outside: for mproc top URL, and mproc worker --check. Reads only, but for the scripts that
-- --check has the server load. What the user may not ask for is left out.

local keys = require("mproc.far.redis.keys")
local message = require("mproc.far.redis.message")
local mproc = require("mproc")
local scripts = require("mproc.far.redis.scripts")
local session = require("mproc.far.redis.session")

local look = {}

local SECONDS = 5 -- for an answer
local ENTRIES_MOST = 1000 -- that are looked into for whose they are
local TRIPS = 21
local MILLION = 1e6

-- --- parts ---

local function pairs_of(flat)
  local map = {}
  for i = 1, #(flat or {}), 2 do
    map[flat[i]] = flat[i + 1]
  end
  return map
end

local View = {}
View.__index = View

-- The reply, or nil when it may not be asked (then true follows) or there is nothing. Raises nothing.
local function ask(self, ...)
  local reply, text, kind = self.session:call(SECONDS, ...)
  if kind == "disconnected" then
    self.lost = text
  end
  return reply, kind == "refused"
end

local function milliseconds_of(id)
  return id and math.tointeger(tonumber(id:match("^(%d+)")))
end

local function group_of(self)
  for _, flat in ipairs(ask(self, "XINFO", "GROUPS", self.keys.tasks) or {}) do
    local group = pairs_of(flat)
    if group.name == keys.GROUP then
      return group
    end
  end
  return {}
end

-- Seconds that the first entry which nobody has fetched has waited, or nil.
local function oldest_waiting(self, group, now)
  local entry = ask(self, "XRANGE", self.keys.tasks, "(" .. (group["last-delivered-id"] or "0-0"), "+", "COUNT", 1)
  local since = entry and entry[1] and milliseconds_of(entry[1][1])
  return since and math.max(0, now - since / 1000) or nil
end

local function hand_of(self)
  local of = {}
  for _, flat in ipairs(ask(self, "XINFO", "CONSUMERS", self.keys.tasks, keys.GROUP) or {}) do
    local consumer = pairs_of(flat)
    of[consumer.name] = consumer.pending
  end
  return of
end

local function state_of(lease, now)
  if lease == 0 then
    return "left"
  end
  return lease > now and "lives" or "dead"
end

-- Rates and shares are those between two beats, each of which has moved the lease's end; before there were two, those
-- since it has joined.
local function compare(worker, before, now)
  local from = before or { done = 0, busy = 0, ends = worker.since or now }
  local seconds = worker.ends - from.ends
  if before and seconds <= 0 then
    worker.rate, worker.share = before.rate, before.share
  elseif worker.done and seconds > 0 then
    worker.rate = math.max(0, worker.done - (from.done or 0)) / seconds
    worker.share = math.max(0, worker.busy - (from.busy or 0)) / seconds / math.max(1, worker.processes or 1)
  end
end

local function workers_of(self, now, before)
  local leases, infos, hand = {}, pairs_of(ask(self, "HGETALL", self.keys.info)), hand_of(self)
  local flat, may_not = ask(self, "ZRANGE", self.keys.workers, 0, -1, "WITHSCORES")
  local list, earlier = {}, {}
  for i = 1, #(flat or {}), 2 do
    leases[flat[i]] = tonumber(flat[i + 1])
  end
  for _, worker in ipairs(before and before.workers or {}) do
    earlier[worker.name] = worker
  end
  for name, lease in pairs(leases) do
    local worker = message.read_info(infos[name] or "")
    worker.name, worker.state, worker.lease = name, state_of(lease, now), lease > 0 and lease - now or nil
    worker.hand, worker.ends = hand[name] or 0, lease > 0 and lease or now
    compare(worker, earlier[name], now)
    list[#list + 1] = worker
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list, may_not
end

local function result_keys(self)
  local found, at = {}, "0"
  repeat
    local reply = ask(self, "SCAN", at, "MATCH", self.keys.results, "COUNT", 1000)
    at = reply and reply[1] or "0"
    for _, key in ipairs(reply and reply[2] or {}) do
      found[#found + 1] = key:match("([^:]*)$")
    end
  until at == "0"
  return found
end

-- Who has what out: of the first entries only, for there may be many.
local function pools_of(self)
  local of, list = {}, {}
  local function pool(name)
    if not of[name] then
      of[name] = { name = name, chunks = 0, items = 0, lives = false }
      list[#list + 1] = of[name]
    end
    return of[name]
  end
  for _, name in ipairs(result_keys(self)) do
    pool(name).lives = true
    of[name].unread = ask(self, "XLEN", self.keys.result(name))
  end
  for _, entry in ipairs(ask(self, "XRANGE", self.keys.tasks, "-", "+", "COUNT", ENTRIES_MOST) or {}) do
    local task = message.read_task(entry[1], entry[2])
    if task then
      local p = pool(task.pool)
      p.chunks, p.items = p.chunks + 1, p.items + task.n
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- --- a view ---

-- One look: url, queue, time (of the server), length, hand, waiting, lag (or nil), oldest, workers, workers_hidden
-- (this user may not ask for them), pools. Or nil and why not. before: the look before, for rates.
function View:take(before)
  self.lost = nil
  local time, text = self.session:try()
  if time then
    time, text = self.session:call(SECONDS, "TIME")
  end
  if not time then
    return nil, text
  end
  local now, group = time[1] + time[2] / MILLION, group_of(self)
  local length = ask(self, "XLEN", self.keys.tasks) or 0
  local one = {
    url = self.target.shown, queue = self.target.queue, time = now, length = length, hand = group.pending or 0,
    waiting = math.max(0, length - (group.pending or 0)), lag = group.lag or nil,
    oldest = oldest_waiting(self, group, now), pools = pools_of(self),
  }
  one.workers, one.workers_hidden = workers_of(self, now, before)
  if self.lost then
    return nil, self.lost
  end
  return one
end

function View:close()
  self.session:close()
end

-- A view of a target's queue.
function look.open(target)
  return setmetatable({ target = target, keys = keys.of(target.queue), session = session.new(target) }, View)
end

-- --- check ---

-- Commands that do nothing, but that the server refuses to who has no right to them. t, w, i stand for the keys.
local NONE, ZERO = "mproc-check", "0-0"
local NEEDS = {
  { "XREADGROUP", "GROUP", NONE, NONE, "COUNT", 1, "STREAMS", "t", ">" }, { "XGROUP", "CREATE", "t", NONE, "no-id" },
  { "XGROUP", "DELCONSUMER", "t", NONE, NONE }, { "XACK", "t", NONE, ZERO }, { "XDEL", "t", ZERO },
  { "XADD", "t", ZERO, "a", "b" }, { "XPENDING", "t", NONE }, { "XCLAIM", "t", NONE, NONE, 0, ZERO },
  { "XRANGE", "t", ZERO, ZERO }, { "XINFO", "CONSUMERS", "t", NONE }, { "EXISTS", "t" },
  { "HSET", "i", NONE, "b", "c" }, { "HGET", "i", NONE }, { "HDEL", "i", NONE }, { "ZADD", "w", "no-number", NONE },
  { "ZREM", "w", NONE }, { "ZSCORE", "w", NONE }, { "TIME" }, { "EVALSHA", ("0"):rep(40), 0 },
  { "SCRIPT", "LOAD", scripts.beat },
}
local HAS_PARTS = { XGROUP = true, XINFO = true, SCRIPT = true }

local function name_of(command)
  return (HAS_PARTS[command[1]] and command[1] .. "|" .. command[2] or command[1]):lower()
end

local function missing_rights(self)
  local stand_for, missing = { t = self.keys.tasks, w = self.keys.workers, i = self.keys.info }, {}
  for _, command in ipairs(NEEDS) do
    local words = {}
    for k, word in ipairs(command) do
      words[k] = k > 1 and stand_for[word] or word
    end
    local _, _, kind = self.session:call(SECONDS, table.unpack(words))
    if kind == "refused" then
      missing[#missing + 1] = name_of(command)
    end
  end
  return missing
end

local function median_trip(self)
  local times = {}
  for i = 1, TRIPS do
    local began = mproc.time()
    self.session:call(SECONDS, "EXISTS", self.keys.tasks)
    times[i] = mproc.time() - began
  end
  table.sort(times)
  return times[TRIPS // 2 + 1]
end

local UNKNOWN = "may not be asked"

local function server_of(info)
  local name = info:match("valkey_version:(%S+)")
  return name and "valkey " .. name or "redis " .. (info:match("redis_version:(%S+)") or "?"),
    info:match("redis_mode:(%S+)") or "?", info:match("role:(%S+)") or "?"
end

local FORGETS = "off: a restart forgets tasks, and owners send them again"

-- What there is to know of the server, as { name, text }; and what is wrong with it.
local function facts_of(self)
  local info = ask(self, "INFO")
  local policy = info and info:match("maxmemory_policy:(%S+)")
  local facts = {
    { "queue", ("%s at %s"):format(self.target.queue, self.target.shown) },
    { "server", info and ("%s, %s, %s"):format(server_of(info)) or UNKNOWN },
    { "policy", policy or UNKNOWN },
    { "aof", not info and UNKNOWN or info:match("aof_enabled:1") and "on" or FORGETS },
  }
  if policy and policy ~= "noeviction" then
    return facts, { ("maxmemory-policy is %s: the server would throw tasks away; set noeviction"):format(policy) }
  end
  return facts, {}
end

-- mproc worker --check: writes it, and gives the exit status: 0; 1 when workers could not work there.
function look.check(target)
  local self = look.open(target)
  local pong, text = self.session:try()
  if pong then
    pong, text = self.session:call(SECONDS, "EXISTS", self.keys.tasks)
  end
  if not pong then
    io.stderr:write(("mproc: worker: %s: %s\n"):format(target.shown, text))
    return 1
  end
  local facts, wrong = facts_of(self)
  local missing = missing_rights(self)
  local rights = #missing == 0 and "all that a worker needs" or "missing: " .. table.concat(missing, " ")
  facts[#facts + 1] = { "rights", rights }
  facts[#facts + 1] = { "round trip", ("%.2f ms"):format(median_trip(self) * 1000) }
  for _, fact in ipairs(facts) do
    io.write(("%-11s %s\n"):format(fact[1], fact[2]))
  end
  for _, each in ipairs(wrong) do
    io.stderr:write("mproc: worker: ", each, "\n")
  end
  self:close()
  return #missing + #wrong == 0 and 0 or 1
end

return look
