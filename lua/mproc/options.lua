-- SPDX-License-Identifier: MIT
-- What a process may be made of: checks the arguments of mproc.Process and explains the usual mistakes. Used by
-- process.lua.

local errors = require("mproc.errors")

local options = {}

local KNOWN = { "target", "args", "kwargs", "name", "daemon", "freeze_heap", "group" }

local function is_callable(value)
  if type(value) == "function" then
    return true
  end
  local mt = debug.getmetatable(value)
  return type(mt) == "table" and rawget(mt, "__call") ~= nil
end

-- Edit distance, for names of a few letters.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local swap = diagonal + (a:byte(i) == b:byte(j) and 0 or 1)
      diagonal, row[j] = row[j], math.min(swap, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

local function nearest(key)
  local best, least
  for _, name in ipairs(KNOWN) do
    local d = distance(key:lower(), name)
    if not least or d < least then
      best, least = name, d
    end
  end
  return least <= 3 and best
end

local function reject(key)
  if type(key) ~= "string" then
    errors.raise("Process{...} takes named options, got element [%s]; write Process{ target = f, args = {...} }, "
      .. "or Process(f, ...)", tostring(key))
  end
  local name = nearest(key)
  errors.raise("unknown option '%s'%s; a process has target, args, kwargs, name and daemon, and freeze_heap", key,
    name and ("; did you mean '%s'?"):format(name) or "")
end

local function check_keys(given)
  local known = {}
  for _, name in ipairs(KNOWN) do
    known[name] = true
  end
  for key in pairs(given) do
    if not known[key] then
      reject(key)
    end
  end
  if given.group ~= nil then
    errors.raise("group must be nil: it is Python's, reserved and without meaning")
  end
end

local function check_count(list)
  local n = list.n
  if n == nil then
    n = #list
    if n == 0 and next(list) ~= nil then
      errors.raise("args is a table without a list part; write kwargs = {...} for named arguments, "
        .. "or args = { t } to pass the table")
    end
  elseif math.type(n) ~= "integer" or n < 0 then
    errors.raise("args.n must be the number of arguments, got %s", errors.show(n))
  end
  return n
end

-- The list of arguments with its n, or nil for none. A plain value, a userdata or an mproc object is one argument.
local function pack_args(args)
  if args == nil then
    return nil
  end
  local mt = debug.getmetatable(args)
  if type(args) ~= "table" or (mt and mt.__mproc_encode) then
    return { n = 1, args }
  end
  local n = check_count(args)
  return n > 0 and { n = n, table.unpack(args, 1, n) } or nil
end

local function add_kwargs(packed, kwargs)
  if kwargs == nil then
    return packed
  elseif type(kwargs) ~= "table" then
    errors.raise("kwargs must be a table of named arguments, got %s; write kwargs = { name = value }",
      errors.show(kwargs))
  end
  packed = packed or { n = 0 }
  packed.n = packed.n + 1
  packed[packed.n] = kwargs
  return packed
end

function options.check_target(target)
  if target == nil then
    errors.raise("target is nil - did you write target=f(...) instead of target=f?")
  elseif type(target) == "string" then
    errors.raise("target must be a function, got the string %q; write target = %s, without quotes", target,
      target:match("^[%a_][%w_]*$") or "f")
  elseif not is_callable(target) then
    errors.raise("target must be a function, got %s - did you write target=f(...) instead of target=f?",
      errors.show(target))
  end
end

function options.check_name(name)
  if type(name) ~= "string" then
    errors.raise("name must be a string, got %s", errors.show(name))
  end
  return name
end

function options.check_flag(name, value)
  if type(value) ~= "boolean" then
    errors.raise("%s must be true or false, got %s", name, errors.show(value))
  end
  return value
end

-- Process(f, ...) and Process{ target = f, ... } alike: target, args (with n, or nil), name, daemon, freeze_heap.
function options.read(...)
  local first = ...
  local more = select("#", ...) - 1
  if type(first) ~= "table" or is_callable(first) then
    return first, more > 0 and table.pack(select(2, ...)) or nil
  elseif more > 0 then
    errors.raise("Process{...} takes one table of options, got %d values more", more)
  end
  check_keys(first)
  return first.target, add_kwargs(pack_args(first.args), first.kwargs), first.name, first.daemon,
    first.freeze_heap
end

return options
