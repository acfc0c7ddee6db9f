-- SPDX-License-Identifier: MIT
-- Starting processes that are not forked by this one: by "spawn" they execute an interpreter, by "forkserver" a process
-- forks them that was executed so. Used by start.lua and context.lua.
--
-- core.state.start_method, executable, preload: what context.lua has set, or nil; children have the same.

local core = require("mproc.core")
local errors = require("mproc.errors")
local lazy = require("mproc.lazy")
local peer = require("mproc.process.peer")
local states = require("mproc.process.states")
local travel = require("mproc.process.travel")
local tree = require("mproc.process.tree")

local spawn = {}

local state = core.state
local package = package

local SERVER_TRIES = 5 -- servers that may end while one process is started
-- A tail call: no error blames this line.
local MAIN = "package.path,package.cpath=%q,%q require'mproc' "
  .. "return require'mproc.lazy'.load'mproc.process.spawned'.main()"

-- lua.c's `arg` has the interpreter before its options: first of all, or, where it runs no script, at 0.
local function interpreter_of(args)
  local i = 0
  while type(rawget(args, i - 1)) == "string" do
    i = i - 1
  end
  local name = rawget(args, i)
  return type(name) == "string" and (i < 0 or name:match("[^/]*$"):find("^lua")) and name or nil
end

local function interpreter()
  local args = rawget(_G, "arg")
  return state.executable or type(args) == "table" and interpreter_of(args)
    or errors.raise("this program is not run by an interpreter that arg names; say which one to execute by "
      .. "mproc.set_executable(path)")
end

local function text_or_empty(value)
  return type(value) == "string" and value or ""
end

-- What finds mproc first, then what the program has set.
local function command()
  local root, core_path = lazy.places()
  local path, cpath = text_or_empty(package.path), text_or_empty(package.cpath)
  path = root and ("%s?.lua;%s?/init.lua;%s"):format(root, root, path) or path
  cpath = core_path and core_path .. ";" .. cpath or cpath
  return { interpreter(), "-e", MAIN:format(path, cpath) }
end

-- What every process has from this one. The settings are packed, in an order that is always the same: what the fork
-- server has forked has those of the server already, and sees by the bytes whether they are others.
local function message_of(kind)
  local settings = {
    n = 8, text_or_empty(package.path), text_or_empty(package.cpath), core.log_level(), core.print_prefix(),
    state.start_method or false, state.executable or false, state.preload or false,
    core.pack(rawget(_G, "arg"), "arg") or false,
  }
  return { kind = kind, settings = core.pack(settings, "settings") }
end

-- A queue with the message in it, or nil, message, NAME.
local function queue_with(message)
  local queue, why, name = core.queue()
  if not queue then
    return nil, why, name
  end
  local sent
  sent, why, name = core.send(queue, message, "start")
  if not sent then
    return nil, why, name
  end
  return queue
end

local function process_message(self, record)
  local me, message = tree.current_process(), message_of("process")
  message.name, message.number, message.daemon = record.name, record.number, record.daemon
  message.parent = peer.new(me.name, core.getpid(), core.self(), me.daemon)
  message.identity, message.authkey = tree.identity_of(record.number), record.authkey or state.authkey
  message.results = record.results
  return travel.pack(message, self, record)
end

-- --- the fork server ---

local function start_server()
  local queue, message, name = queue_with(message_of("server"))
  if not queue then
    return nil, message, name
  end
  return core.start_server(queue, command())
end

-- Each server that ends meanwhile has left nothing of it.
local function served(handle, queue, record)
  for _ = 1, SERVER_TRIES do
    local started, message, name = core.served(handle, queue, record.name, record.daemon)
    if started or started == nil then
      return started, message, name
    end
    local ready
    ready, message, name = start_server()
    if not ready then
      return nil, message, name
    end
  end
  return nil, ("cannot start process '%s': the fork server ends again and again"):format(record.name), "ECHILD"
end

-- --- starting ---

local function check_area(record)
  local possible, why = core.can_execute()
  if not possible then
    errors.raise("%s can be started by \"fork\" alone: %s", states.title(record), why)
  end
end

local function execute(handle, queue, record)
  return core.execute(handle, queue, command(), record.name, record.daemon)
end

local METHODS = { spawn = execute, forkserver = served }

-- The process is claimed, and has a queue for its results. True; or nil, message, NAME. Whether it runs is known by its
-- handle.
function spawn.start(self, record, method)
  check_area(record)
  local queue, message, name = queue_with(process_message(self, record))
  if not queue then
    return nil, message, name
  end
  states.check_open(record) -- a hook may have closed it
  local handle = core.new_child()
  record.handle = handle
  tree.add_child(self)
  local started
  started, message, name = METHODS[method](handle, queue, record)
  record.pid = handle:pid()
  if record.pid then
    record.args, record.bytes, record.target = nil, nil, nil
  end
  return started, message, name
end


return spawn
