-- SPDX-License-Identifier: MIT
-- How functions get to a pool's workers: code and upvalues are packed, each packed form is a version, and each worker
-- is sent a version once, by its function channel, before the first task that names it.
--
-- A version: id, bytes (the packed form), watch (what it was made of), refs (jobs that use it), fixed (there is nothing
-- in it that could change), at_once (quick to compare with what it was made of), idle (in the list of idle
-- ones), gone (forgotten), alive (a copy that keeps the shared objects in it). state.functions, which this file alone
-- writes: published (id -> version), packed (id -> bytes, which a worker inherits by fork), known (function -> its last
-- version, or false: seen once), idle and nidle, next_id; named (name and time limit -> version): to other machines
-- functions go as { name =, timeout = }. Invariant: what a task in flight names is published, and
-- every worker has it, or will find it in its channel. A version's number is taken before anything else is done for it.

local core = require("mproc.core")
local errors = require("mproc.errors")
local protocol = require("mproc.pool.protocol")

local names = require("mproc.pool.owner.names")

local functions = {}

local WATCHED_AT_ONCE = 12 -- so long a watch list is gone through for each call
local KEPT = 32 -- versions that no job uses may stay, for they may come again

-- send(state, id, kind, f): gives all workers a function, or has them forget it. True, or nil and why not all have it.
functions.send = nil

function functions.prepare(state)
  state.functions = {
    published = {}, packed = {}, named = {}, idle = {}, nidle = 0, next_id = 1,
    known = setmetatable({}, { __mode = "k" }),
  }
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
    if type(value) == "function" and not seen[value] and not core.is_c_function(value) then
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

local function pack(f)
  local bytes, reason, refused = core.pack(f, "f")
  return bytes or errors.raise_unsendable(reason, refused)
end

local function new_version(state, f, bytes)
  local known = state.functions
  local id = known.next_id
  known.next_id = id + 1
  local version = { id = id, bytes = bytes, refs = 0, fixed = false, idle = false, at_once = false, gone = false }
  local watch = { n = 0 }
  local lua_function = type(f) == "function" and not core.is_c_function(f)
  if lua_function and list_upvalues(f, watch, {}) or type(f) == "function" and not lua_function then
    version.watch, version.fixed = watch, watch.n == 0
    version.at_once = watch.n <= WATCHED_AT_ONCE
  end
  if watch.n > 0 or not lua_function then
    version.alive = core.unpack(bytes)
  end
  return version
end

local function publish(state, f, bytes)
  local version, known = new_version(state, f, bytes), state.functions
  local id = version.id
  known.published[id], known.packed[id] = version, bytes
  version.refs = 1 -- while it is sent
  local sent, why = functions.send(state, id, protocol.FUNCTION, f)
  version.refs = version.refs - 1
  if not sent then -- a task that named it would wait for it for ever
    version.gone, version.fixed, version.at_once = true, false, false
    known.published[id], known.packed[id] = nil, nil
    errors.raise("cannot send the function: %s", why)
  end
  return version
end

local function forget(state, version)
  local known, id = state.functions, version.id
  version.gone, version.fixed, version.at_once = true, false, false
  known.published[id], known.packed[id] = nil, nil
  functions.send(state, id, protocol.FORGET)
end

local function last_version(state, f)
  local last = state.functions.known[f]
  return last and not last.gone and last or nil
end

-- What f is now, as a version that all workers get. Raises for what cannot travel. Packing runs hooks of the user's,
-- which may use the pool: what was known before is looked up again.
local function version_of(state, f)
  local last = last_version(state, f)
  if last and functions.unchanged(last) then
    return last
  end
  local bytes = pack(f)
  last = last_version(state, f)
  if last and bytes == last.bytes then
    return last
  end
  last = publish(state, f, bytes)
  state.functions.known[f] = last
  return last
end

-- What other machines know f by, each of whose calls may take so long (false: as long as it likes). Raises for a
-- function that has no name.
local function named_version(state, f, timeout)
  local name = names.of(f)
  local key = ("%s %s"):format(name, timeout)
  local version = state.functions.named[key]
  if not version or version.gone then
    local description = { name = name, timeout = timeout }
    version = publish(state, description, pack(description))
    state.functions.named[key] = version
  end
  return version
end

-- The same, in use until functions.release. timeout: of each of its calls, which other machines are told.
function functions.use(state, f, timeout)
  local version = state.far and named_version(state, f, timeout or false) or version_of(state, f)
  version.refs = version.refs + 1
  return version
end

-- For a single task: false when f is met for the first time. It then travels in the task, and costs nobody else
-- anything.
function functions.use_known(state, f, timeout)
  local known = state.functions.known
  local version = known[f]
  if state.far then
    return functions.use(state, f, timeout)
  elseif version == nil then
    known[f] = false
    return false
  elseif version and version.fixed then
    version.refs = version.refs + 1
    return version
  end
  return functions.use(state, f)
end

-- Takes those that are used again off the list of idle ones, and forgets the oldest when there are still too many.
local function forget_some(state)
  local known, best = state.functions, nil
  for version in pairs(known.idle) do
    if version.refs > 0 then
      known.idle[version], version.idle, known.nidle = nil, false, known.nidle - 1
    elseif not best or version.id < best.id then
      best = version
    end
  end
  if best and known.nidle > KEPT then
    known.idle[best], best.idle, known.nidle = nil, false, known.nidle - 1
    forget(state, best)
  end
end

-- A job that used it has been retired. A version that is used all the time stays on the list: it is looked through only
-- when it is full.
function functions.release(state, version)
  if not version then
    return
  end
  local known, refs = state.functions, version.refs - 1
  version.refs = refs
  if refs == 0 and not version.idle and not version.gone then
    known.idle[version], version.idle, known.nidle = true, true, known.nidle + 1
    if known.nidle > KEPT then
      forget_some(state)
    end
  end
end

return functions
