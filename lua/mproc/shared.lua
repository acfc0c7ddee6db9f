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
  if not d then
    return nil, message, code
  elseif t then
    d:set_many(t)
  end
  return d
end

-- Set([list]), or nil, message, NAME.
function shared.Set(list)
  check_table("Set", list)
  local s, message, code = core.dict(SET)
  if not s then
    return nil, message, code
  end
  for i = 1, list and check.length("list.n", list) or 0 do
    s:add(list[i])
  end
  return s
end

-- List([list]), or nil, message, NAME. The list may be a List: extend looks.
function shared.List(list)
  if type(list) ~= "userdata" then
    check_table("List", list)
  end
  local l, message, code = core.list()
  if not l then
    return nil, message, code
  elseif list then
    l:extend(list)
  end
  return l
end

-- Namespace([t]), or nil, message, NAME.
function shared.Namespace(t)
  check_table("Namespace", t)
  local ns, message, code = core.dict(NAMESPACE)
  if not ns then
    return nil, message, code
  elseif t then
    core.dict_view(ns):set_many(t)
  end
  return ns
end

local MEMORY_EXAMPLE = "mproc.SharedMemory{ name = \"block\", size = 4096, create = true }"
local MEMORY_OPTIONS = { "create", "name", "size", "sparse", "unlink" }

-- Raises where what is asked for contradicts itself.
local function check_memory(given)
  if given.name == nil and given.create == false then
    errors.raise("SharedMemory needs a name to attach to; or leave create out for memory without a name")
  elseif given.size == nil and (given.create or given.name == nil) then
    errors.raise("SharedMemory needs a size in bytes, as in %s", MEMORY_EXAMPLE)
  end
  for _, name in ipairs({ "sparse", "unlink" }) do
    if given[name] and not (given.create and given.name) then
      errors.raise("%s is for who creates shared memory with a name", name)
    end
  end
end

local function read_memory_options(options)
  if type(options) ~= "table" then
    errors.raise("SharedMemory takes options, as in %s, got %s", MEMORY_EXAMPLE, errors.show(options))
  end
  local given = check.options(options, "SharedMemory has", MEMORY_OPTIONS)
  for _, name in ipairs({ "create", "sparse", "unlink" }) do
    if given[name] ~= nil then
      check.flag(name, given[name])
    end
  end
  if given.name ~= nil then
    check.text("name", given.name)
  end
  check_memory(given)
  return given, given.size and check.count("size", given.size, 0, "a number of bytes")
end

-- SharedMemory{ name =, size =, create =, sparse =, unlink = }, or nil, message, NAME.
function shared.SharedMemory(options)
  local given, size = read_memory_options(options)
  if size == 0 then
    return nil, "shared memory of 0 bytes cannot be had; size must be 1 or more", "EINVAL"
  elseif not given.name then
    return core.shared_memory(size)
  elseif given.create then
    return core.shared_memory_create(given.name, size, given.sparse, given.unlink)
  end
  return core.shared_memory_attach(given.name, size)
end

return shared
