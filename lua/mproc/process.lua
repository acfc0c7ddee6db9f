-- SPDX-License-Identifier: MIT
-- Process: what a user makes and starts. Making is checked in options.lua, the child's side is in child.lua, waiting
-- and ending in ending.lua, subclassing in class.lua; states.lua says what is known of a process and when.

local class = require("mproc.class")
local core = require("mproc.core")
local current = require("mproc.current")
local errors = require("mproc.errors")
local later = require("mproc.later")
local peer = require("mproc.peer")
local states = require("mproc.states")
require("mproc.ending")

local child = later.module("mproc.child")
local fork = later.module("mproc.fork")
local heap = later.module("mproc.heap")
local options = later.module("mproc.options")
local result = later.module("mproc.result")

local Process = class.Process
local record = class.record
local title = states.title

local function snapshot(args)
  local bytes, reason = core.freeze(args, "args")
  if bytes then
    return bytes
  elseif type(reason) == "string" then
    errors.raise("%s", reason)
  end
  error(reason, 0)
end

-- Takes what options.read understands; a subclass may have an init of its own that never calls this one.
function Process:init(...)
  local own = record(self)
  local target, args, name, daemon, freeze_heap = options.read(...)
  if target ~= nil or self.run == Process.run then
    options.check_target(target)
  end
  if name ~= nil then
    own.name = options.check_name(name)
  end
  if daemon ~= nil then
    own.daemon = options.check_flag("daemon", daemon)
  end
  if freeze_heap ~= nil then
    own.freeze_heap = options.check_flag("freeze_heap", freeze_heap)
  end
  if args then
    own.args, own.bytes = args, snapshot(args)
  end
  own.target = target
end

-- What the child executes. Called by hand, it runs here.
function Process:run()
  local own = record(self)
  if own.target == nil then
    errors.raise("%s has no target; give it one, or override run()", title(own))
  elseif core.state.watch then
    core.state.watch.run(own)
  end
  if not own.bytes then
    return own.target()
  end
  local args = core.thaw_inherited(own.bytes)
  return own.target(table.unpack(args, 1, args.n))
end

local function check_startable(self, own)
  states.check_open(own)
  if own.maker ~= core.getpid() then
    errors.raise("%s was made by another process (pid %d), which alone can start it", title(own), own.maker)
  elseif own.pid then
    errors.raise("%s has already been started; a process runs once, make a new one", title(own))
  elseif own.target == nil and self.run == Process.run then
    errors.raise("%s has no target; give it one, or override run()", title(own))
  end
end

-- In the child. The process is no child of itself.
local function enter(self)
  local own = record(self)
  own.handle, own.pid = nil, core.getpid()
  return child.main(self, own)
end

local function note_start(self, own, handle)
  own.handle, own.pid = handle, handle:pid()
  own.args, own.bytes, own.target = nil, nil, nil
  current.add_child(self)
end

-- The process, or nil, message, NAME when the system has no room for it: then it may be started again.
function Process:start()
  local own = record(self)
  check_startable(self, own)
  later.load("mproc.child") -- here, so that no child has to
  current.sweep()
  local ready, message, name = heap.before_fork(own.freeze_heap)
  if not ready then
    return nil, message, name
  end
  local results
  results, message, name = result.take_queue()
  if not results then
    return nil, message, name
  end
  fork.before()
  own.results = results
  local handle
  current.forking(self, own.number)
  handle, message, name = core.fork(own.daemon, own.name, enter, self)
  current.forked()
  if handle then
    note_start(self, own, handle)
  else
    own.results = nil
  end
  fork.parent()
  if not handle then
    return nil, message, name
  end
  return self
end

function class.to_string(self)
  local own = record(self)
  return ("mproc.Process: '%s' (%s%s)"):format(own.name, states.text(self, own), own.daemon and ", daemon" or "")
end

-- Others see its name and pid.
function class.to_peer(self)
  local own = record(self)
  local ref = own.handle and own.handle:ref() or own.pid == core.getpid() and core.self() or 0
  return peer.new(own.name, own.pid, ref, own.daemon)
end

local properties = class.properties

function properties.name(_, own)
  return own.name
end

function properties.pid(_, own)
  return own.pid
end

properties.ident = properties.pid

function properties.daemon(_, own)
  return own.daemon
end

function properties.exitcode(self, own)
  if own.maker == core.getpid() and own.pid ~= core.getpid() then
    states.learn(self, own)
  end
  return own.exitcode
end

function properties.sentinel(_, own)
  states.check_own_child(own, "watch")
  local fd, message = own.handle:fileno()
  if not fd then
    errors.raise("%s", message)
  end
  return fd
end

local setters = class.setters

function setters.name(own, name)
  own.name = options.check_name(name)
end

function setters.daemon(own, daemon)
  if own.pid then
    errors.raise("%s has already been started; set daemon before start()", title(own))
  end
  own.daemon = options.check_flag("daemon", daemon)
end

return Process
