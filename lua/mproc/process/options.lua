-- SPDX-License-Identifier: MIT
-- What a process may be made of: checks the arguments of mproc.Process and explains the usual mistakes. Used by
-- init.lua.

local check = require("mproc.check")
local errors = require("mproc.errors")

local options = {}

local NAMES = { "target", "args", "kwargs", "name", "daemon", "freeze_heap", "close_fds" }
local OWNER = "a process has"

-- Those that the process's record keeps as they are, once checked.
options.PLAIN = { "name", "daemon", "freeze_heap", "close_fds" }

local CHECKS = { name = check.text, daemon = check.flag, freeze_heap = check.flag, close_fds = check.flag }

function options.check(name, value)
  return CHECKS[name](name, value)
end

local function check_names(given)
  if given[1] ~= nil then
    errors.raise("Process{...} takes named options, got element [1]; write Process{ target = f, args = {...} }, "
      .. "or Process(f, ...)")
  end
  if given.group ~= nil then
    errors.raise("group must be nil: it is Python's, reserved and without meaning")
  end
  check.options(given, OWNER, NAMES)
end

local function count_args(list)
  local n = check.length("args.n", list, check.ARGUMENTS_MAX)
  if n == 0 and list.n == nil and next(list) ~= nil then
    errors.raise("args is a table without a list part; write kwargs = {...} for named arguments, "
      .. "or args = { t } to pass the table")
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
  local n = count_args(args)
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
    errors.raise("target is nil - did you write target=f(...) instead of target=f? (A subclass may define run() "
      .. "in its place.)")
  elseif type(target) == "string" then
    errors.raise("target must be a function, got the string %q; write target = %s, without quotes", target,
      target:match("^[%a_][%w_]*$") or "f")
  end
  return check.callable("target", target, " - did you write target=f(...) instead of target=f?")
end

-- Process(f, ...) and Process{ target = f, ... } alike: the target, the args (with n) or nil for none, and the table of
-- options as they were given, if any.
function options.read(...)
  local first = ...
  local more = select("#", ...) - 1
  if type(first) ~= "table" or check.is_callable(first) then
    return first, more > 0 and table.pack(select(2, ...)) or nil
  elseif more > 0 then
    errors.raise("Process{...} takes one table of options, got %d values more", more)
  end
  check_names(first)
  return first.target, add_kwargs(pack_args(first.args), first.kwargs), first
end

return options
