-- SPDX-License-Identifier: MIT
-- Process: what a user makes and starts. Making is checked in options.lua, the child's side is in child.lua, waiting
-- and ending in ending.lua, subclassing in class.lua; states.lua says what is known of a process and when.
-- start, and what waits or ends, runs under core.shield: no error out of nowhere comes between two of its steps.

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local fork = require("mproc.process.fork")
local lazy = require("mproc.lazy")
local options = require("mproc.process.options")
local peer = require("mproc.process.peer")
local result = require("mproc.process.result")
local states = require("mproc.process.states")
local tree = require("mproc.process.tree")
require("mproc.process.ending")

lazy.unit("mproc.process.child")

local Process = class.Process
local record_of = class.record_of
local title = states.title

local function snapshot(args)
  local bytes, reason = core.pack(args, "args")
  if bytes then
    return bytes
  elseif type(reason) == "string" then
    errors.raise("%s", reason)
  end
  error(reason, 0)
end

-- Takes what options.read understands; a subclass may have an init of its own that never calls this one.
function Process:init(...)
  local record = record_of(self)
  local given, args = options.read(...)
  local target = given.target
  if target ~= nil or self.run == Process.run then
    options.check_target(target)
  end
  for _, name in ipairs(options.PLAIN) do
    if given[name] ~= nil then
      record[name] = options.check(name, given[name])
    end
  end
  if args then
    record.args, record.bytes = args, snapshot(args)
  end
  record.target = target
end

-- What the child executes. Called by hand, it runs here.
function Process:run()
  local record = record_of(self)
  if record.target == nil then
    errors.raise("%s has no target; give it one, or override run()", title(record))
  elseif core.state.debug then
    core.state.debug.run(record)
  end
  if not record.bytes then
    return record.target()
  end
  local args = core.unpack_in_child(record.bytes)
  return record.target(table.unpack(args, 1, args.n))
end

local function check_startable(self, record)
  states.check_open(record)
  if record.owner_pid ~= core.getpid() then
    errors.raise("%s was made by another process (pid %d), which alone can start it", title(record), record.owner_pid)
  elseif record.pid or record.starting then
    errors.raise("%s has already been started; a process runs once, make a new one", title(record))
  elseif record.target == nil and self.run == Process.run then
    errors.raise("%s has no target; give it one, or override run()", title(record))
  end
end

-- In the child. The process is no child of itself.
local function enter(self)
  local record = record_of(self)
  record.handle, record.starting, record.pid = nil, nil, core.getpid()
  return lazy.load("mproc.process.child").main(self, record)
end

-- What is claimed before user code runs, given back unless the child is there. Its __close runs too when the coroutine
-- that a hook yields in is closed.
local Claim = {}

function Claim.__close(claim)
  local record = claim.record
  record.starting = nil
  record.pid = record.handle and record.handle:pid()
  if not record.pid then
    record.handle, record.results = nil, nil
    tree.remove_child(claim.process)
  end
end

local function claim_start(self, record)
  record.starting = true
  return setmetatable({ process = self, record = record }, Claim)
end

-- True, or nil, message, NAME: what a start needs that the system may not have.
local function prepare(record)
  core.collect_strays()
  lazy.load("mproc.process.child") -- here, so that no child has to
  tree.sweep()
  local ready, message, name = fork.prepare_heap(record.freeze_heap)
  if not ready then
    return nil, message, name
  end
  record.results, message, name = result.take_queue()
  return record.results and true, message, name
end

-- The fork, between the program's hooks; it is known to have happened by the handle alone, and nothing that could fail
-- comes between. Returns ok, and what core.fork does.
local function fork_between_hooks(self, record)
  local handle = core.new_child()
  record.handle = handle
  tree.add_child(self)
  local hooks = fork.before()
  record.hooks = hooks
  tree.begin_fork(self, record.number)
  local ok, started, message, name = core.outside(core.fork, handle, record.daemon, record.name, record.close_fds,
    enter, self)
  tree.end_fork()
  record.pid = handle:pid()
  record.hooks = nil
  if record.pid then
    record.args, record.bytes, record.target = nil, nil, nil
  end
  fork.parent(hooks)
  return ok, started, message, name
end

-- The process, or nil, message, NAME when the system has no room for it: then it may be started again.
Process.start = core.shield(function(self)
  local record = record_of(self)
  check_startable(self, record)
  local _ <close> = claim_start(self, record)
  local ready, message, name = prepare(record)
  if not ready then
    return nil, message, name
  end
  local ok
  ok, ready, message, name = fork_between_hooks(self, record)
  if not ok then
    error(ready, 0)
  elseif not ready then
    return nil, message, name
  end
  return self
end)

function class.to_string(self)
  local record = record_of(self)
  return ("mproc.Process: '%s' (%s%s)"):format(record.name, states.text(self, record),
    record.daemon and ", daemon" or "")
end

-- Others see its name and pid.
function class.to_peer(self)
  local record = record_of(self)
  local ref = record.pid and record.handle and record.handle:ref() or record.pid == core.getpid() and core.self() or 0
  return peer.new(record.name, record.pid, ref, record.daemon)
end

local properties = class.properties

function properties.name(_, record)
  return record.name
end

function properties.pid(_, record)
  return record.pid
end

properties.ident = properties.pid

function properties.daemon(_, record)
  return record.daemon
end

local poll_exit = core.shield(states.poll_exit)

function properties.exitcode(self, record)
  if record.owner_pid == core.getpid() and record.pid ~= core.getpid() then
    poll_exit(self, record)
  end
  return record.exitcode
end

function properties.sentinel(_, record)
  states.check_own_child(record, "watch")
  local fd, message = record.handle:fileno()
  if not fd then
    errors.raise("%s", message)
  end
  return fd
end

local setters = class.setters

function setters.name(record, name)
  record.name = options.check("name", name)
end

function setters.daemon(record, daemon)
  if record.pid then
    errors.raise("%s has already been started; set daemon before start()", title(record))
  end
  record.daemon = options.check("daemon", daemon)
end

return Process
