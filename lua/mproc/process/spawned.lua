-- SPDX-License-Identifier: MIT
-- What a process does that was executed, or forked by the fork server, instead of being forked by its parent; and what
-- the fork server does. Loaded by the program that spawn.lua has it execute, and by nothing else.

local child = require("mproc.process.child")
local core = require("mproc.core")
local lazy = require("mproc.lazy")
local travel = require("mproc.process.travel")

local spawned = {}

local state = core.state
local package = package

-- What is to be done here. handle: what the fork server gave.
local function take_message(handle)
  local queue = core.start_queue(handle)
  local message = queue and queue:get(0)
  return message or error("there is nothing for this process to do: its parent has given up", 0)
end

-- Modules of mproc are found by their names as the units that they are here, wherever those lie; unless the program
-- loads mproc anew.
local function find_units()
  local mproc = lazy.load("mproc")
  table.insert(package.searchers, 2, function(name)
    local known = rawequal(package.loaded.mproc, mproc) and lazy.knows(name)
    return known and function() return lazy.load(name) end or nil
  end)
end

local settled -- the packed settings that this process has

-- What the parent has set.
local function apply(path, cpath, log, prefix, method, executable, preload, args)
  package.path, package.cpath = path, cpath
  state.start_method, state.executable, state.preload = method or nil, executable or nil, preload or nil
  core.print_prefix(prefix)
  local mproc = lazy.load("mproc")
  if mproc.log() ~= log then
    mproc.log(log)
  end
  _G.arg = args and core.unpack(args) or _G.arg
end

local function settle(message)
  if message.settings ~= settled then
    settled = message.settings
    apply(table.unpack(core.unpack(settled), 1, 8))
  end
end

-- As a fork finds it in core.state.
local function adopt(message, process)
  state.pid, state.starting, state.starting_identity = false, process, message.identity
  state.starting_generation, state.peer = 1, message.parent
end

local NONE = {}

local function run(message)
  settle(message)
  local record = {
    name = message.name, number = message.number, daemon = message.daemon, owner_pid = message.parent.pid,
    message = false, outcome = false, results = message.results, authkey = message.authkey, pid = core.getpid(),
    objects = message.objects, -- what is in its parts lives as long as it
  }
  local made, process = pcall(travel.unpack, message, record)
  if not made then
    return child.fail(record, process)
  end
  adopt(message, process)
  return child.main(process, record, NONE)
end

-- The entry of what the server forks.
local function forked(handle)
  return run(take_message(handle))
end

local function preload(names)
  for _, name in ipairs(names or NONE) do
    local ok, err = pcall(_G.require, name)
    if not ok then
      core.write_stderr(("mproc: the fork server cannot preload module '%s': %s\n"):format(name, tostring(err)))
    end
  end
end

local function serve(message)
  settle(message)
  preload(state.preload)
  lazy.load("mproc.pool.worker")
  local requests = assert(core.queue())
  collectgarbage()
  core.serve_forks(requests, forked)
  return 0
end

local KINDS = { process = run, server = serve }

local function enter()
  local message = take_message()
  return KINDS[message.kind](message)
end

function spawned.main()
  find_units()
  core.run_child(enter, nil)
end

return spawned
