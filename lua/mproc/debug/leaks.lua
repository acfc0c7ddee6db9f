-- SPDX-License-Identifier: MIT
-- What a process leaves open at its end, told in debug mode: queues that nobody closed, connections, pools, leases, and
-- locks that it holds. Used by log.lua, which puts it in place, and globals.lua.
--
-- The makers in the table of mproc are replaced by ones that note what they made, where, and with it a guard whose
-- finalizer, being younger, runs before the object's: so when the Lua state is closed, everything is still there to be
-- looked at. os.exit, which may close no state, is replaced too.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local misuse = require("mproc.debug.misuse")
local records = require("mproc.pool.record")

local leaks = {}

local SHOWN = 20
local made = setmetatable({}, { __mode = "k" }) -- object -> { pid, where, guard }

local function text_of_lock(lock)
  return lock:mine() and tostring(lock)
end

local function text_of_queue(queue)
  return not core.is_closed(queue) and tostring(queue)
end

-- Kind -> function(object): its name and state when it is open, else false.
local OPEN = {
  Queue = text_of_queue, SimpleQueue = text_of_queue, JoinableQueue = text_of_queue,
  Lock = text_of_lock, RLock = text_of_lock,
  RWLock = function(lock) return (lock:reads() or lock:writes()) and tostring(lock) end,
  Pipe = function(connection) return not connection.closed and tostring(connection) end,
  Pool = function(pool) return not core.field(pool, records.STATE).finished and tostring(pool) end,
  lease = function(lease) return core.lease_is_open(lease) and tostring(lease) end,
}

-- What a process may have at its end though another one made it.
local IS_LOCK = { Lock = true, RLock = true, RWLock = true }

local Guard = {}

-- Outside any function there is nobody but the one who closes the Lua state.
function Guard.__gc()
  if not debug.getinfo(2, "l") then
    leaks.report()
  end
end

local function note(kind, object)
  if object ~= nil then
    made[object] = { kind = kind, pid = core.getpid(), where = errors.where(), guard = setmetatable({}, Guard) }
  end
end

-- "2 Queue, made at a.lua:3, as Queue 5: 3 messages", in the order of the places.
local function lines_of_open()
  local groups, list = {}, {}
  for object, facts in pairs(made) do
    local open = (not core.inherited(facts.pid) or IS_LOCK[facts.kind]) and OPEN[facts.kind](object)
    if open then
      local key = facts.where .. facts.kind
      if not groups[key] then
        groups[key] = { kind = facts.kind, where = facts.where, count = 0, name = open }
        list[#list + 1] = groups[key]
      end
      groups[key].count = groups[key].count + 1
    end
  end
  table.sort(list, function(a, b) return a.where .. a.kind < b.where .. b.kind end)
  return list
end

-- Once in each process.
function leaks.report()
  if core.state.left_told == core.getpid() or core.log_level() ~= "debug" then
    return
  end
  core.state.left_told = core.getpid()
  local list = lines_of_open()
  for i, group in ipairs(list) do
    if i > SHOWN then
      return core.log("debug", ("left open: objects made at %d places more"):format(#list - SHOWN))
    end
    core.log("debug", ("left open: %d %s, made at %s: %s%s"):format(group.count, group.kind, group.where,
      group.count > 1 and "one is " or "", group.name))
  end
end

local function noted(kind, object, ...)
  note(kind, object)
  if kind == "Pool" and object then
    object.apply = misuse.counting(core.field(object, records.STATE), object.apply)
  elseif kind == "Pipe" and object then
    note(kind, (...))
  end
  return object, ...
end

local function noting(kind, maker)
  return function(...)
    return noted(kind, maker(...))
  end
end

local function noting_lease(lease)
  return function(queue, timeout)
    check.timeout(timeout)
    local value, it = lease(queue, timeout)
    if type(it) == "userdata" then
      note("lease", it)
    end
    return value, it
  end
end

local function telling(exit)
  return function(...)
    pcall(leaks.report)
    exit(...)
  end
end

-- place -> { table, name, what was there, what was put there }
local replaced = {}

local function replace(where, name, by)
  local old = where[name]
  where[name] = by
  replaced[#replaced + 1] = { where = where, name = name, old = old, by = by }
end

function leaks.watch(mproc)
  leaks.unwatch()
  for kind in pairs(OPEN) do
    if mproc[kind] then
      replace(mproc, kind, noting(kind, mproc[kind]))
    end
  end
  for _, name in ipairs({ "mproc.Queue", "mproc.JoinableQueue" }) do
    local methods = core.class(name).__index
    replace(methods, "lease", noting_lease(methods.lease))
  end
  replace(os, "exit", telling(os.exit))
end

-- What somebody else has replaced since stays.
function leaks.unwatch()
  for _, place in ipairs(replaced) do
    if rawequal(place.where[place.name], place.by) then
      place.where[place.name] = place.old
    end
  end
  replaced = {}
end

return leaks
