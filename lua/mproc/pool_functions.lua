-- SPDX-License-Identifier: MIT
-- How functions get to a pool's workers: code and upvalues are frozen, each frozen form is a version, and each worker
-- is sent a version once, by its mailbox, before the first task that names it. Used by pool_chunks.lua, pool_lists.lua
-- and others that make jobs.
--
-- A version: id, bytes (the frozen form), watch (what it was made of), refs (tasks out), fixed (there is nothing in it
-- that could change), at_once (the label of a call of it that needs no job, or false), idle (in pool.idle), alive (a
-- copy that keeps the shared objects in it). pool.published: id -> version, pool.frozen: id -> bytes, which a worker
-- inherits by fork.
-- Invariant: what a task in flight names is published, and every worker has it, or will find it in its mailbox.

local core = require("mproc.core")
local errors = require("mproc.errors")
local label = require("mproc.pool_label")

local functions = {}

local WATCHED_AT_ONCE = 12 -- so long a watch list is gone through for each call
local KEPT_MOST = 256 -- while something is being sent, which a call that was cut off seems to be for ever
local KEPT = 32 -- versions that no task names may stay, for they may come again
local FULL_SECONDS = 5 -- how long a full arena is waited for
local MAIL_MAX = 128 -- messages a worker may leave unread before the owner looks through them

function functions.prepare(pool)
  pool.published, pool.frozen, pool.idle, pool.nidle = {}, {}, {}, 0
  pool.next_function = 1
  pool.known_functions = setmetatable({}, { __mode = "k" }) -- function -> its last version, or false: seen once
end

local function is_module(value)
  for _, module in pairs(package.loaded) do
    if rawequal(module, value) then
      return true
    end
  end
  return false
end

-- Fills watch with { function, upvalue index, value } in a row, for f and all functions in its upvalues. False when a
-- value may change its contents unseen.
local function list_upvalues(f, watch, seen)
  local simple = true
  seen[f] = true
  for i = 1, math.huge do
    local name, value = debug.getupvalue(f, i)
    if not name then
      return simple
    end
    local n = watch.n
    watch[n + 1], watch[n + 2], watch[n + 3], watch.n = f, i, value, n + 3
    if type(value) == "function" and not seen[value] and debug.getinfo(value, "S").what ~= "C" then
      simple = list_upvalues(value, watch, seen) and simple
    elseif type(value) == "table" and not is_module(value) then
      simple = false
    end
  end
end

function functions.unchanged(version)
  local watch = version.watch
  if not watch then
    return false
  end
  for i = 1, watch.n, 3 do
    local _, value = debug.getupvalue(watch[i], watch[i + 1])
    if not rawequal(value, watch[i + 2]) then
      return false
    end
  end
  return true
end

local function freeze(f)
  local bytes, reason = core.freeze(f, "f")
  if bytes then
    return bytes
  elseif type(reason) == "string" then
    errors.raise("%s", reason)
  end
  error(reason, 0)
end

-- What was in the mailbox a moment ago. Where it finds no room any more the worker is killed, which would wait for it
-- for ever: the one that takes its place is born with all functions.
local function post_again(seat, id, kind, f)
  local deadline = core.time() + FULL_SECONDS
  local posted, _, name
  repeat
    posted, _, name = core.post(seat.mailbox, id, kind, 0, "function", f)
  until posted or name ~= "ENOMEM" or core.time() > deadline or core.sleep(0.001)
  if not posted then
    core.log("warning", ("worker %d is replaced: there is no room for its functions"):format(seat.index))
    seat.process:kill()
  end
end

-- Some other worker's copy of what waits in this mailbox may be long forgotten: throws that out.
local function sort_mail(pool, seat)
  local kept, forgotten = {}, {}
  for _ = 1, seat.mailbox:qsize() do
    local id, kind, _, _, ok, f = core.fetch(seat.mailbox, 0)
    if not id then
      break
    elseif kind == label.FORGET then
      forgotten[#forgotten + 1] = id
    elseif ok and pool.published[id] then
      kept[id] = f
    end
  end
  for id, f in pairs(kept) do
    post_again(seat, id, label.FUNCTION, f)
  end
  for _, id in ipairs(forgotten) do
    post_again(seat, id, label.FORGET)
  end
end

-- True, or nil and why not all have it.
local function mail(pool, id, kind, f)
  for _, seat in pairs(pool.crew) do
    if seat.mailbox:qsize() > MAIL_MAX then
      sort_mail(pool, seat)
    end
    local posted, why = core.post(seat.mailbox, id, kind, 0, "function", f)
    if not posted then
      return nil, why
    end
  end
  return true
end

local function publish(pool, f, bytes)
  local version = { id = pool.next_function, bytes = bytes, refs = 0, fixed = false, idle = false }
  local watch = { n = 0 }
  local lua_function = type(f) == "function" and debug.getinfo(f, "S").what ~= "C"
  if lua_function and list_upvalues(f, watch, {}) or type(f) == "function" and not lua_function then
    version.watch, version.fixed = watch, watch.n == 0
    version.at_once = watch.n <= WATCHED_AT_ONCE and not pool.run_here and not pool.task_timeout
      and label.CALL | version.id << label.FUNCTION_SHIFT
  end
  if watch.n > 0 or not lua_function then
    version.alive = core.thaw(bytes)
  end
  pool.next_function = version.id + 1
  pool.published[version.id], pool.frozen[version.id] = version, bytes
  local sent, why = mail(pool, version.id, label.FUNCTION, f)
  if not sent then -- a task that named it would wait for it for ever
    pool.published[version.id], pool.frozen[version.id] = nil, nil
    errors.raise("cannot send the function: %s", why)
  end
  return version
end

local function forget(pool, version)
  pool.published[version.id], pool.frozen[version.id] = nil, nil
  version.gone, version.fixed, version.at_once = true, false, false
  mail(pool, version.id, label.FORGET)
end

-- What f is now, as a version that all workers get. Raises for what cannot travel.
function functions.version(pool, f)
  local last = pool.known_functions[f]
  if last and not last.gone then
    if functions.unchanged(last) then
      return last
    end
    local bytes = freeze(f)
    if bytes == last.bytes then
      return last
    end
    last = publish(pool, f, bytes)
  else
    last = publish(pool, f, freeze(f))
  end
  pool.known_functions[f] = last
  return last
end

-- For a single task: nil when f is met for the first time. It then travels in the task, and costs nobody else anything.
function functions.version_or_none(pool, f)
  if pool.known_functions[f] == nil then
    pool.known_functions[f] = false
    return nil
  end
  return functions.version(pool, f)
end

function functions.use(version)
  version.refs = version.refs + 1
end

-- Takes those that are used again off the list of idle ones, and forgets the oldest when there are still too many.
local function forget_some(pool)
  local best
  for version in pairs(pool.idle) do
    if version.refs > 0 then
      pool.idle[version], version.idle, pool.nidle = nil, false, pool.nidle - 1
    elseif not best or version.id < best.id then
      best = version
    end
  end
  -- What was sent may name it and not be counted yet, so there is no hurry.
  if pool.nidle > KEPT and not pool.asking and not next(pool.sent) or pool.nidle > KEPT_MOST then
    pool.idle[best], pool.nidle = nil, pool.nidle - 1
    forget(pool, best)
  end
end

-- A task that named it has ended. A version that is used all the time stays on the list: it is looked through only when
-- it is full.
function functions.release(pool, version)
  local refs = version.refs - 1
  version.refs = refs
  if refs == 0 and not version.idle then
    pool.idle[version], version.idle, pool.nidle = true, true, pool.nidle + 1
    if pool.nidle > KEPT then
      forget_some(pool)
    end
  end
end

return functions
