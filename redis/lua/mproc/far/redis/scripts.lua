-- SPDX-License-Identifier: MIT
-- The six scripts that run inside the server, each of which is one step for all who look at the queue. Used by
-- session.lua, keeper and worker programs. Keys are those of keys.lua; all are given, none is made in a script, for
-- clusters.
--
-- Only TIME, the server's clock, counts: what clocks of machines show does not matter. A script that has begun to
-- write is not stopped by maxmemory, so none is torn; those by which a full server gets empty begin with a command
-- that takes no memory.
--
--   name    keys      arguments                    answers
--   beat    t w i     worker, lease, info          { now, names of the r:P that are gone }. Lease 0: it leaves in order
--           r:P…
--   commit  t r:P     id, label, records, …        how many were refused; -1: the owner is gone, all are deleted
--   reap    t w i     worker, room, lease          entries of the dead, now its: { id, fields, deaths, whose, info }
--   split   t         id, k, p, f, m, first,       how many entries took its place, of size items each, n in all; 0: it
--                     deaths, hosts, size, n,      was not in hand any more
--                     bytes, …
--   cancel  t         id                           1: deleted, nobody had fetched it; 0: fetched; -1: not there
--   live    r:P       field, milliseconds          1: the stream is there, and expires after that time

local scripts = {}

-- Who has a lease is a consumer of the group, and the group is there: a reap, which goes by the group's consumers, sees
-- every member of w. What is read is behind the last of all ids: nothing, and nothing counts as delivered again; by
-- NOACK the server writes the consumer into its append-only file, which is all that it does here.
scripts.beat = [[
redis.call("HDEL", KEYS[3], "")
local time = redis.call("TIME")
local now = time[1] + time[2] / 1e6
local lease = tonumber(ARGV[2])
local ends = lease > 0 and string.format("%.6f", now + lease) or "0"
redis.call("ZADD", KEYS[2], ends, ARGV[1])
redis.call("HSET", KEYS[3], ARGV[1], ARGV[3])
local function join()
  return redis.pcall("XREADGROUP", "GROUP", "w", ARGV[1], "COUNT", 1, "NOACK", "STREAMS", KEYS[1],
    "18446744073709551615-18446744073709551614")
end
local joined = lease > 0 and join()
if joined and joined.err then
  redis.pcall("XGROUP", "CREATE", KEYS[1], "w", "0", "MKSTREAM")
  join()
end
local gone = {}
for n = 4, #KEYS do
  if redis.call("EXISTS", KEYS[n]) == 0 then
    gone[#gone + 1] = KEYS[n]
  end
end
return { string.format("%.6f", now), gone }
]]

-- The first commit of an entry wins: XACK says 1 once.
scripts.commit = [[
local lives = redis.call("EXISTS", KEYS[2]) == 1
local ids, results, refused = {}, {}, 0
for n = 1, #ARGV, 3 do
  if redis.call("XACK", KEYS[1], "w", ARGV[n]) == 1 then
    ids[#ids + 1] = ARGV[n]
    results[#results + 1] = ARGV[n + 1]
    results[#results + 1] = ARGV[n + 2]
  else
    refused = refused + 1
  end
end
if ids[1] then
  redis.call("XDEL", KEYS[1], unpack(ids))
end
if not lives then
  return -1
elseif ids[1] then
  redis.call("XADD", KEYS[2], "*", unpack(results))
end
return refused
]]

-- Goes by the group's consumers, not by the members of w: a frozen worker's blocked read may be served after others
-- have taken the worker off w. One that has pending entries is never removed: DELCONSUMER would drop them for good.
scripts.reap = [[
local time = redis.call("TIME")
local now = time[1] + time[2] / 1e6
local caller, room, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(redis.call("HGET", KEYS[3], "reaped") or 0) or 0
if lease > 0 and last <= now and now - last < lease / 4 then
  return {}
end

local function claim(name, pending, orderly)
  local taken, info = {}, redis.call("HGET", KEYS[3], name) or ""
  for _, each in ipairs(redis.call("XPENDING", KEYS[1], "w", "-", "+", math.min(room, pending), name)) do
    local id, count, got = each[1], each[4], nil
    if orderly then
      got = redis.call("XCLAIM", KEYS[1], "w", caller, 0, id, "RETRYCOUNT", count)
    else
      got = redis.call("XCLAIM", KEYS[1], "w", caller, 0, id)
    end
    if got[1] and got[1][2] then
      taken[#taken + 1] = { id, got[1][2], orderly and count - 1 or count, name, info }
    else
      redis.call("XACK", KEYS[1], "w", id)
    end
    room, pending = room - 1, pending - 1
  end
  return taken, pending
end

local leaves = tonumber(redis.call("ZSCORE", KEYS[2], caller) or -1) == 0
local all, left = {}, leaves and 0 or 1
if leaves then
  redis.call("ZREM", KEYS[2], caller)
  redis.call("HDEL", KEYS[3], caller)
end
local group = redis.pcall("XINFO", "CONSUMERS", KEYS[1], "w")
for _, flat in ipairs(group.err and {} or group) do
  local c = {}
  for n = 1, #flat, 2 do
    c[flat[n] ] = flat[n + 1]
  end
  local ends = c.name == caller and leaves and 0 or tonumber(redis.call("ZSCORE", KEYS[2], c.name) or -1)
  local pending, orderly = c.pending, ends == 0
  if ends < now and c.name ~= caller and pending > 0 and room > 0 then
    local taken
    taken, pending = claim(c.name, pending, orderly)
    for _, each in ipairs(taken) do
      all[#all + 1] = each
    end
  end
  if pending == 0 and ends < now and (c.name ~= caller or leaves) then
    redis.call("XGROUP", "DELCONSUMER", KEYS[1], "w", c.name)
    redis.call("ZREM", KEYS[2], c.name)
    redis.call("HDEL", KEYS[3], c.name)
  elseif c.name ~= caller or leaves then
    left = left + 1
    if c.name == caller then -- the others shall see that it has left
      redis.call("ZADD", KEYS[2], 0, caller)
    end
  end
end
if left > 0 then
  redis.call("HSET", KEYS[3], "reaped", string.format("%.6f", now))
else
  redis.call("HDEL", KEYS[3], "reaped")
  if not group.err and not redis.call("XRANGE", KEYS[1], "-", "+", "COUNT", 1)[1] then
    redis.pcall("DEL", KEYS[1])
  end
end
return all
]]

scripts.split = [[
if redis.call("XACK", KEYS[1], "w", ARGV[1]) == 0 then
  return 0
end
redis.call("XDEL", KEYS[1], ARGV[1])
local size, left, offset = ARGV[9] + 0, ARGV[10] + 0, ARGV[6] + 0
for n = 11, #ARGV do
  redis.call("XADD", KEYS[1], "*", "k", ARGV[2], "p", ARGV[3], "f", ARGV[4], "m", ARGV[5], "n", math.min(size, left),
    "a", ARGV[n], "o", offset, "d", ARGV[7], "h", ARGV[8])
  offset, left = offset + size, left - size
end
return #ARGV - 10
]]

scripts.cancel = [[
if not redis.call("XRANGE", KEYS[1], ARGV[1], ARGV[1])[1] then
  return -1
end
local pending = redis.pcall("XPENDING", KEYS[1], "w", ARGV[1], ARGV[1], 1)
if not pending.err and pending[1] then
  return 0
end
return redis.call("XDEL", KEYS[1], ARGV[1])
]]

scripts.live = [[
redis.call("XADD", KEYS[1], "*", ARGV[1], "1")
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
]]

-- --- calls ---

local hashes = {} -- name -> what the server calls the script

function scripts.learn(name, hash)
  hashes[name] = hash
end

-- The arguments of the command that calls a script, whose hash is known. keys, arguments: lists.
function scripts.call(name, keys, arguments)
  local n = #keys
  local list = { hashes[name], n }
  table.move(keys, 1, n, 3, list)
  table.move(arguments, 1, #arguments, 3 + n, list)
  return "EVALSHA", table.unpack(list)
end

return scripts
