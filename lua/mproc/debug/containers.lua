-- SPDX-License-Identifier: MIT
-- Likely mistakes with a Dict, that debug mode tells of once a line: a count by get and set, which loses counts when
-- others count too; and a table that was got, changed, and not put back. Used by log.lua, which puts it in place.

local core = require("mproc.core")
local errors = require("mproc.errors")

local containers = {}

local COUNTS = 10 -- as many gets, each followed by a set of the same key, are a count

local told = {} -- line -> true
local last = setmetatable({}, { __mode = "v" }) -- what was read last: dict, key, and the table that came, if one did
local bytes -- what that table was then
local counts = 0 -- gets of a number in turn, each followed by a set
local awaited = false -- a number was read, and nothing has been set since

local function tell(format, ...)
  local where = errors.where()
  if not told[where] then
    told[where] = true
    core.log("debug", format:format(where, ...))
  end
end

local function encoded(value)
  local ok, text = pcall(core.encode, value)
  return ok and text or nil
end

local function is_last(d, k)
  return last.dict == d and last.key == k
end

local function note_get(d, k, v)
  if type(v) == "table" and is_last(d, k) and last.table and bytes and encoded(v) == bytes
    and encoded(last.table) ~= bytes then
    tell("at %s: the table that %s gave before was changed since, and the Dict was not: it is a copy; put it back, use "
      .. "update, or store a container", errors.show(k))
  end
  if not is_last(d, k) then
    counts = 0
  end
  awaited = math.type(v) ~= nil
  last.dict, last.key, last.table = d, k, type(v) == "table" and v or nil
  bytes = last.table and encoded(v)
end

local function note_set(d, k, v)
  counts = awaited and is_last(d, k) and math.type(v) and counts + 1 or 0
  awaited = false
  if is_last(d, k) then
    last.table = nil
  end
  if counts == COUNTS then
    tell("at %s: reading %s and setting it loses counts when another process does the same between; use d:add(k, n), "
      .. "or update", errors.show(k))
  end
end

local originals

-- The methods of a Dict, which its __index looks into.
local function methods_of(mt)
  return select(2, debug.getupvalue(mt.__index, 1))
end

function containers.watch()
  if originals then
    return
  end
  local mt = core.class("mproc.Dict")
  local methods, index, newindex = methods_of(mt), mt.__index, mt.__newindex
  originals = { index = index, newindex = newindex, get = methods.get, set = methods.set }
  local get, set = methods.get, methods.set
  function mt.__index(d, k)
    local v = index(d, k)
    if methods[k] == nil then
      note_get(d, k, v)
    end
    return v
  end
  function mt.__newindex(d, k, v)
    newindex(d, k, v)
    note_set(d, k, v)
  end
  function methods.get(d, k, default)
    local v = get(d, k, default)
    note_get(d, k, v)
    return v
  end
  function methods.set(d, k, v, ttl)
    set(d, k, v, ttl)
    note_set(d, k, v)
  end
end

function containers.unwatch()
  if not originals then
    return
  end
  local mt = core.class("mproc.Dict")
  local methods = methods_of({ __index = originals.index })
  mt.__index, mt.__newindex = originals.index, originals.newindex
  methods.get, methods.set = originals.get, originals.set
  originals = nil
end

return containers
