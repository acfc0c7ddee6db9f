-- SPDX-License-Identifier: MIT
-- How containers in shared memory are made; what they do is in C. Used by init.lua.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local shared = {}

local DICT, SET, NAMESPACE = 0, 1, 2 -- what core.dict takes

local function check_table(name, value)
  if value ~= nil and type(value) ~= "table" then
    errors.raise("%s takes a table of what is in it first, got %s", name, errors.show(value))
  end
end

-- max_entries, max_bytes, ttl
local function check_options(options)
  if options == nil then
    return
  elseif type(options) ~= "table" then
    errors.raise("a Dict's options are a table, as in mproc.Dict(nil, { max_entries = 1000 }), got %s",
      errors.show(options))
  end
  local given = check.options(options, "a Dict has", { "max_bytes", "max_entries", "ttl" })
  return given.max_entries and check.count("max_entries", given.max_entries, 1),
    given.max_bytes and check.count("max_bytes", given.max_bytes, 1),
    given.ttl and check.seconds("ttl", given.ttl)
end

-- Dict([t[, options]]), or Dict(namespace): the same data as a Dict; or nil, message, NAME.
function shared.Dict(t, options)
  if type(t) == "userdata" and options == nil then
    return core.dict_view(t) or errors.raise("Dict takes a table or a Namespace, got %s", errors.show(t))
  end
  check_table("Dict", t)
  local d, message, code = core.dict(DICT, check_options(options))
  if d and t then
    d:set_many(t)
  end
  return d, message, code
end

-- Set([list]), or nil, message, NAME.
function shared.Set(list)
  check_table("Set", list)
  local s, message, code = core.dict(SET)
  for i = 1, s and list and check.length("list.n", list) or 0 do
    s:add(list[i])
  end
  return s, message, code
end

-- List([list]), or nil, message, NAME.
function shared.List(list)
  check_table("List", list)
  local l, message, code = core.list()
  if l and list then
    l:extend(list)
  end
  return l, message, code
end

-- Namespace([t]), or nil, message, NAME.
function shared.Namespace(t)
  check_table("Namespace", t)
  local ns, message, code = core.dict(NAMESPACE)
  if ns and t then
    core.dict_view(ns):set_many(t)
  end
  return ns, message, code
end

return shared
