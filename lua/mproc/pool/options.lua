-- SPDX-License-Identifier: MIT
-- What a pool may be made with: checks the arguments of mproc.Pool. Used by pool.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local options = {}

local function check_count(name, value, least, what)
  if math.type(value) ~= "integer" and not math.tointeger(value) or type(value) ~= "number" or value < least then
    errors.raise("%s must be a whole number from %d up%s, got %s", name, least, what or "", errors.show(value))
  end
  return math.tointeger(value)
end

local function share_of_cpus(text)
  local percent = tonumber(text:match("^%s*(%d+%.?%d*)%s*%%%s*$"))
  if not percent or percent <= 0 then
    errors.raise("processes must be a count, a share such as \"50%%\", or -1 for all CPUs but one, got %s",
      errors.show(text))
  end
  return math.max(1, core.cpu_count() * percent // 100 | 0)
end

-- nil: one per CPU; n; "50%" of the CPUs; -k: all but k. At least 1, but for a serial pool.
function options.processes(value, serial)
  if value == nil then
    return serial and 0 or core.cpu_count()
  elseif type(value) == "string" then
    return share_of_cpus(value)
  end
  local n = type(value) == "number" and math.tointeger(value)
  if not n then
    errors.raise("processes must be a whole number, a share such as \"50%%\", or -1 for all CPUs but one, got %s",
      errors.show(value))
  elseif n < 0 then
    return math.max(1, core.cpu_count() + n)
  elseif n == 0 and not serial then
    errors.raise("processes must be at least 1, got 0; to run tasks in the caller write "
      .. "mproc.Pool{ processes = 0, serial = true }")
  end
  return n
end

local CHECKS = {}

local function check_function(name)
  return function(value)
    local mt = debug.getmetatable(value)
    if type(value) ~= "function" and not (type(mt) == "table" and mt.__call) then
      errors.raise("%s must be a function, got %s - did you write f(...) instead of f?", name, errors.show(value))
    end
    return value
  end
end

CHECKS.initializer = check_function("initializer")
CHECKS.finalizer = check_function("finalizer")

function CHECKS.initargs(value)
  if type(value) ~= "table" then
    errors.raise("initargs must be a list of arguments, got %s; write initargs = { %s }", errors.show(value),
      tostring(value))
  end
  return value
end

function CHECKS.maxtasksperchild(value)
  return check_count("maxtasksperchild", value, 1)
end

function CHECKS.on_crash(value)
  if value ~= "error" and value ~= "retry" then
    errors.raise("on_crash must be \"error\" (the task of a worker that died fails, the default) or \"retry\", got %s",
      errors.show(value))
  end
  return value
end

function CHECKS.retries(value)
  return check_count("retries", value, 0, " (attempts beyond the first)")
end

function CHECKS.task_timeout(value)
  if type(value) ~= "number" or value ~= value or value <= 0 then
    errors.raise("task_timeout must be a number of seconds above 0, got %s", errors.show(value))
  end
  return value
end

local LIMITS = {}
for name in ("as core cpu data fsize nofile nproc stack"):gmatch("%a+") do
  LIMITS[name] = true
end

function CHECKS.rlimit(value)
  if type(value) ~= "table" then
    errors.raise("rlimit must be a table such as { as = 2^30 }, got %s", errors.show(value))
  end
  local limits = {}
  for name, amount in pairs(value) do
    if not LIMITS[name] then
      errors.raise("rlimit has as, core, cpu, data, fsize, nofile, nproc and stack; it has no %s", errors.show(name))
    end
    limits[name] = check_count("rlimit." .. name, amount, 0)
  end
  return limits
end

function CHECKS.progress(value)
  if type(value) ~= "boolean" and type(value) ~= "function" and value ~= "bar" and value ~= "lines" then
    errors.raise("progress must be true, false, \"bar\", \"lines\" or a function, got %s", errors.show(value))
  end
  return value
end

local function check_flag(name)
  return function(value)
    if type(value) ~= "boolean" then
      errors.raise("%s must be true or false, got %s", name, errors.show(value))
    end
    return value
  end
end

CHECKS.cpu_affinity = check_flag("cpu_affinity")
CHECKS.serial = check_flag("serial")
CHECKS.freeze_heap = check_flag("freeze_heap")

local function known_names()
  local names = { "processes" }
  for name in pairs(CHECKS) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, ", ")
end

local function freeze_args(args)
  local n = args.n or #args
  local bytes, reason = core.freeze({ n = n, table.unpack(args, 1, n) }, "initargs")
  if bytes then
    return bytes
  end
  errors.raise("%s", tostring(reason))
end

-- mproc.Pool(4), mproc.Pool("50%"), mproc.Pool{ processes = 4, ... } and, as in Python, mproc.Pool(4, initializer,
-- initargs, maxtasksperchild): a table of checked options; processes is a number, initargs are frozen.
function options.read(first, initializer, initargs, maxtasksperchild, ...)
  if select("#", ...) > 0 then
    errors.raise("mproc.Pool takes one table of options, or processes, initializer, initargs and maxtasksperchild")
  end
  local given = type(first) == "table" and first
    or { processes = first, initializer = initializer, initargs = initargs, maxtasksperchild = maxtasksperchild }
  local read = {}
  for name, value in pairs(given) do
    if name == 1 then
      errors.raise("mproc.Pool{...} takes named options; write mproc.Pool{ processes = %s }", tostring(value))
    elseif name ~= "processes" then
      local check = CHECKS[name]
      if not check then
        errors.raise("unknown option %s; a pool has %s", errors.show(name), known_names())
      end
      read[name] = check(value)
    end
  end
  read.processes = options.processes(given.processes, read.serial)
  read.keep_initargs = read.initargs
  read.initargs = freeze_args(read.initargs or {})
  return read
end

return options
