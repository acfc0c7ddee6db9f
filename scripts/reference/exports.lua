-- SPDX-License-Identifier: MIT
-- Every name that users of mproc can reach: found by loading it and walking the module, the classes and live objects of
-- every kind, and by asking what takes options which there are. Used by scripts/reference.lua.

local mproc = require("mproc")
local class = require("mproc.process.class")

local exports = {}

local WAIT_SECONDS = 10
local NO_SUCH = "no_such_option"

-- Kinds of objects that only mproc's own code ever sees.
local INTERNAL = {
  ["mproc.Child"] = true, ["mproc.Barrier.box"] = true, ["mproc.Condition.core"] = true, ["mproc.Inbox"] = true,
  ["mproc.Value.hold"] = true, ["mproc.Shield"] = true, ["mproc.Queue.ahead"] = true,
  ["mproc.Command"] = true, ["mproc.View"] = true,
  ["mproc.ClassForm"] = true, ["mproc.Context"] = true,
  ["mproc.held"] = true, ["mproc.copy"] = true, ["mproc.Frozen.home"] = true,
}

-- names: class -> set of members. Everything goes in here.
local function add_keys(names, of, from, functions_only)
  names[of] = names[of] or {}
  for key, value in pairs(from) do
    if type(key) == "string" and not key:find("^__") and (not functions_only or type(value) == "function") then
      names[of][key] = true
    end
  end
end

-- The tables that an __index function looks into: its upvalues, in C all of them, in Lua by their names.
local LOOKED_INTO = { [""] = true, methods = true, properties = true }

local function add_upvalues(names, of, index)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(index, i)
    if not name then
      return
    elseif LOOKED_INTO[name] and type(value) == "table" then
      add_keys(names, of, value)
    end
  end
end

-- is_record: its fields are for users. Other tables have fields that are their own affair, in their class as well.
local function add_object(names, of, object, is_record)
  names[of] = names[of] or {}
  local index = debug.getmetatable(object) and debug.getmetatable(object).__index
  if type(index) == "function" then
    add_upvalues(names, of, index)
  elseif type(index) == "table" then
    add_keys(names, of, index, type(object) == "table" and not is_record)
  end
  if is_record then
    add_keys(names, of, object)
  end
end

-- --- live objects ---

local function error_of(f, ...)
  local ok, err = pcall(f, ...)
  assert(not ok, "it was to raise")
  return err
end

-- Each error that a pool itself makes, and its statistics.
local function pool_objects(add)
  local crashing <close> = mproc.Pool(1)
  add("mproc.Died", error_of(crashing.apply, crashing, function() os.execute("kill -KILL $PPID") end), true)
  add("mproc.PoolStats", crashing:stats(), true)
  add("mproc.WorkerStats", crashing:stats().workers[1], true)
  add("mproc.WorkerStats", require("mproc.pool.report").far_worker({ name = "host:1", processes = 1 }, 1), true)
  add("mproc.PoolInsights", select(2, crashing:insights()), true)
  add("mproc.Pool", crashing)

  local slow <close> = mproc.Pool{ processes = 1, task_timeout = 0.01 }
  add("mproc.PoolError", error_of(slow.apply, slow, mproc.sleep, { WAIT_SECONDS }), true)

  add("mproc.PoolError", require("mproc.pool.errors").no_workers("no room", "EAGAIN"), true)

  local busy <close> = mproc.Pool(1)
  busy:submit(mproc.sleep, WAIT_SECONDS)
  local second = busy:submit(mproc.sleep, WAIT_SECONDS)
  assert(second:cancel())
  add("mproc.PoolError", second:exception(), true)
  add("mproc.Future", second)
  busy:terminate()

  local serial <close> = mproc.Pool{ processes = 0, serial = true }
  add("mproc.Stream", serial:imap(print, {}))
  serial:apply(function() add("mproc.Worker", mproc.worker(), true) end)
end

local function shared_objects(add)
  for _, name in ipairs({ "Queue", "SimpleQueue", "JoinableQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore",
    "Condition", "Event", "RWLock" }) do
    add("mproc." .. name, mproc[name]())
  end
  add("mproc.Barrier", mproc.Barrier(1, print, 1), true)
  add("mproc.Value", mproc.Value("integer"))
  add("mproc.Array", mproc.Array("integer", 1))
  add("mproc.Dict", mproc.Dict())
  add("mproc.DictStats", mproc.Dict():stats(), true)
  add("mproc.List", mproc.List())
  add("mproc.Set", mproc.Set())
  add("mproc.Namespace", mproc.Namespace())
  local frozen = mproc.freeze({ a = 1 })
  add("mproc.Frozen", frozen)
  add("mproc.FrozenInfo", mproc.frozen_info(frozen), true)
  add("mproc.Descriptor", mproc.fd(0))
  local listener <close> = mproc.Listener({ authkey = false })
  add("mproc.Listener", listener)
  local connection <close> = mproc.Client({ address = listener.address, authkey = false })
  add("mproc.SocketConnection", connection)
  local manager <close> = mproc.Manager({ Queue = mproc.Queue })
  add("mproc.Manager", manager)
  add("mproc.Proxy", manager:create("Queue"))
  local gone = mproc.Manager({ Queue = mproc.Queue })
  local proxy = gone:create("Queue")
  gone:shutdown()
  add("mproc.Died", error_of(proxy.put, proxy, 1), true)
  local memory = mproc.SharedMemory({ size = 8 })
  add("mproc.SharedMemory", memory)
  add("mproc.MemoryView", memory:view("int8"))
  local guard <close> = mproc.Lock():guard()
  add("mproc.Guard", guard)
  local q = mproc.Queue()
  q:put(1)
  add("mproc.Lease", select(2, q:lease(WAIT_SECONDS)))
  local a, b = mproc.Pipe(false)
  add("mproc.Connection", a)
  b:close()
  add("mproc.Connection", b)
end

-- What all that has fileno() has beside it, for other loops, is documented once.
local function add_pollable(names)
  names["mproc.Pollable"] = {}
  for key in pairs(names["mproc.Descriptor"]) do
    local all = key ~= "close" and key ~= "fileno"
    for _, of in ipairs({ "SimpleQueue", "Connection", "Process", "Pool" }) do
      all = all and names["mproc." .. of][key]
    end
    names["mproc.Pollable"][key] = all or nil
  end
end

local function add_live(names)
  local function add(of, object, is_record)
    add_object(names, of, object, is_record)
  end
  shared_objects(add)
  pool_objects(add)
  add("mproc.Process", mproc.Process(print))
  add_keys(names, "mproc.Process", class.properties)
  add_keys(names, "mproc.Process", class.setters)
  add_keys(names, "mproc.SharedMemory", { name = true, size = true }) -- what index functions know by themselves
  add_keys(names, "mproc.Value", { value = true })
  add("mproc.Peer", mproc.current_process(), true)
  add_pollable(names)
end

-- --- options ---

local function bogus()
  return { [NO_SUCH] = true }
end

-- Table of options -> a call that is given one it does not know. The error names those there are.
local PROBES = {
  ["mproc.ProcessOptions"] = function() mproc.Process(bogus()) end,
  ["mproc.SignalOptions"] = function() mproc.Process(print):kill(bogus()) end,
  ["mproc.ForkHooks"] = function() mproc.at_fork(bogus()) end,
  ["mproc.QueueOptions"] = function() mproc.Queue(bogus()) end,
  ["mproc.JoinableQueueOptions"] = function() mproc.JoinableQueue(bogus()) end,
  ["mproc.ListenerOptions"] = function() mproc.Listener(bogus()) end,
  ["mproc.ClientOptions"] = function() mproc.Client(bogus()) end,
  ["mproc.ManagerOptions"] = function() mproc.Manager({ name = "x", [NO_SUCH] = true }) end,
  ["mproc.ConnectOptions"] = function() mproc.connect("@nobody", bogus()) end,
  ["mproc.PipeOptions"] = function() mproc.Pipe(bogus()) end,
  ["mproc.SharedMemoryOptions"] = function() mproc.SharedMemory(bogus()) end,
  ["mproc.DictOptions"] = function() mproc.Dict(nil, bogus()) end,
  ["mproc.PoolOptions"] = function() mproc.Pool(bogus()) end,
  ["mproc.ResourceLimits"] = function() mproc.Pool{ processes = 1, rlimit = bogus() } end,
  ["mproc.ListOptions"] = function()
    mproc.Pool{ processes = 0, serial = true }:map(print, {}, bogus())
  end,
  ["mproc.TerminateOptions"] = function()
    mproc.Pool{ processes = 0, serial = true }:terminate(bogus())
  end,
  ["mproc.AsyncOptions"] = function()
    mproc.Pool{ processes = 0, serial = true }:apply_async(print, {}, nil, bogus())
  end,
  ["mproc.EncodeOptions"] = function() mproc.encode("", bogus()) end,
  ["mproc.DecodeOptions"] = function() mproc.decode("", bogus()) end,
  ["mproc.RegisterOptions"] = function() mproc.register("mproc.NoSuchName", {}, bogus()) end,
}

-- "unknown option ...; a pool has a, b and c" -> a, b, c
local function add_options(names, of, message)
  local list = message:match(" has ([%w_, ]+)") or message:match("there is ([%w_, ]+)")
  names[of] = {}
  for name in (list or ""):gsub(", but .*", ""):gmatch("[%w_]+") do
    names[of][name] = name ~= "and" or nil
  end
  assert(next(names[of]), of .. ": no options are named in: " .. message)
end

-- --- all ---

-- Kinds of objects by the names that their metatables have.
local function kinds()
  local found = {}
  for name, metatable in pairs(debug.getregistry()) do
    if type(name) == "string" and name:find("^mproc%.[%u]") and type(metatable) == "table" then
      found[metatable.__name or name] = true
    end
  end
  local sources <close> = io.popen("grep -rho '__name = \"mproc[.][A-Za-z]*\"' lua/mproc")
  for name in sources:read("a"):gmatch("mproc%.[%w.]+") do
    found[name] = true
  end
  return found
end

-- names, kinds: class -> set of its members (the module is the class "mproc"), and the set of kinds of objects that a
-- user can meet.
function exports.read()
  local names = {}
  add_keys(names, "mproc", mproc)
  add_live(names)
  for of, probe in pairs(PROBES) do
    add_options(names, of, error_of(probe))
  end
  local met = kinds()
  for name in pairs(INTERNAL) do
    met[name] = nil
  end
  return names, met
end

-- Environment variables that the sources read.
function exports.variables()
  local found = {}
  local sources <close> = io.popen("grep -rhoE 'getenv *[(] *\"MPROC_[A-Z_]+' src lua")
  for name in sources:read("a"):gmatch("MPROC_[%u_]+") do
    found[name] = true
  end
  return found
end

return exports
