-- SPDX-License-Identifier: MIT
-- What a pool may be made with: checks the arguments of mproc.Pool.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local options = {}

local PROCESSES_MAX = 65535

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
  elseif n > PROCESSES_MAX then
    errors.raise("processes must be at most %d, got %d", PROCESSES_MAX, n)
  end
  return n
end

local CHECKS = {}

local F_OR_CALL = " - did you write f(...) instead of f?"

function CHECKS.initializer(value)
  return check.callable("initializer", value, F_OR_CALL)
end

function CHECKS.finalizer(value)
  return check.callable("finalizer", value, F_OR_CALL)
end

function CHECKS.initargs(value)
  if type(value) ~= "table" then
    errors.raise("initargs must be a list of arguments, got %s; write initargs = { %s }", errors.show(value),
      tostring(value))
  end
  return value
end

function CHECKS.maxtasksperchild(value)
  return check.count("maxtasksperchild", value, 1)
end

function CHECKS.maxmemoryperchild(value)
  if not core.pool.resident() then
    errors.raise("maxmemoryperchild needs /proc, which is not there, to tell how much memory a worker has")
  end
  return check.count("maxmemoryperchild", value, 1, "a number of bytes from 1 up")
end

function CHECKS.on_crash(value)
  if value ~= "error" and value ~= "retry" then
    errors.raise("on_crash must be \"error\" (the task of a worker that died fails, the default) or \"retry\", got %s",
      errors.show(value))
  end
  return value
end

function CHECKS.retries(value)
  return check.count("retries", value, 0, "a whole number from 0 up (attempts beyond the first)")
end

function CHECKS.task_timeout(value)
  return check.seconds("task_timeout", value)
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
    limits[name] = check.count("rlimit." .. name, amount, 0)
  end
  return limits
end

function CHECKS.progress(value)
  if type(value) ~= "boolean" and type(value) ~= "function" and value ~= "bar" and value ~= "lines" then
    errors.raise("progress must be true, false, \"bar\", \"lines\" or a function, got %s", errors.show(value))
  end
  return value
end

for _, name in ipairs({ "cpu_affinity", "serial", "freeze_heap", "close_fds" }) do
  CHECKS[name] = function(value)
    return check.flag(name, value)
  end
end

-- --- pools over several machines ---

function CHECKS.url(value)
  return check.text("url", value)
end

function CHECKS.patience(value)
  return check.seconds("patience", value)
end

function CHECKS.max_bytes(value)
  return check.count("max_bytes", value, 1, "a number of bytes from 1 up")
end

function CHECKS.window(value)
  return check.count("window", value, 1, "a number of bytes from 1 up")
end

local OF_WORKERS = {} -- options of processes that another machine starts
for name in ("processes initializer initargs finalizer maxtasksperchild maxmemoryperchild rlimit cpu_affinity "
  .. "freeze_heap close_fds serial"):gmatch("%g+") do
  OF_WORKERS[name] = true
end

local OF_URL = { "patience", "max_bytes", "window" }

local function check_far(given)
  for name in pairs(given) do
    if OF_WORKERS[name] then
      errors.raise("%s belongs to the workers: start them with `mproc worker URL -j N --begin CODE`", name)
    end
  end
end

local function check_local(given)
  for _, name in ipairs(OF_URL) do
    if given[name] ~= nil then
      errors.raise("%s is an option of a pool over several machines; give it a url, as in mproc.Pool{ url = "
        .. "\"redis://host/0?queue=name\" }", name)
    end
  end
end

local function known_names()
  local names = { "processes" }
  for name in pairs(CHECKS) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function freeze_args(args)
  local n = check.length("initargs.n", args, check.ARGUMENTS_MAX)
  local bytes, reason, refused = core.pack({ n = n, table.unpack(args, 1, n) }, "initargs")
  return bytes or errors.raise_unsendable(reason, refused)
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
      local check_value = CHECKS[name]
      if not check_value then
        check.options({ [name] = value }, "a pool has", known_names())
      end
      read[name] = check_value(value)
    end
  end
  if read.url then
    check_far(given)
  else
    check_local(given)
  end
  read.processes = read.url and 1 or options.processes(given.processes, read.serial)
  read.keep_initargs = read.initargs
  read.initargs = freeze_args(read.initargs or {})
  return read
end

return options
