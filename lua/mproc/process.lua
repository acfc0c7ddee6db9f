-- SPDX-License-Identifier: MIT
-- Process: what a user makes, starts and waits for. The class and its states; making is in options.lua, the child's
-- side in child.lua, results in result.lua, subclassing in class.lua.
--
-- A process's private record (own): name, daemon, target, args, bytes (the frozen args), identity, maker (a pid), and
-- once started handle, pid, results; once its end is known exitcode, returned, outcome; closed.
-- handle is nil before the start and after close; the record of an inherited process is only looked at.

local child = require("mproc.child")
local class = require("mproc.class")
local core = require("mproc.core")
local current = require("mproc.current")
local errors = require("mproc.errors")
local fork = require("mproc.fork")
local options = require("mproc.options")
local peer = require("mproc.peer")
local result = require("mproc.result")

local Process = class.Process
local record = class.record

-- Notes the end, once it can be known. True when it is.
local function learn(self, own)
  if own.exitcode then
    return true
  elseif not own.handle then
    return false
  end
  local exitcode, returned = own.handle:ended()
  if not exitcode then
    return false
  end
  own.exitcode, own.returned = exitcode, returned
  result.settle(own)
  current.remove_child(self)
  return true
end

local function title(own)
  return ("process '%s'%s"):format(own.name, own.pid and (" (pid %d)"):format(own.pid) or "")
end

local function check_open(own)
  if own.closed then
    errors.raise("%s is closed", title(own))
  end
end

-- For calls that need a process that was started, by this process.
local function check_own_child(own, what)
  check_open(own)
  if own.pid == core.getpid() then
    errors.raise("%s cannot %s itself", title(own), what)
  elseif own.maker ~= core.getpid() then
    errors.raise("%s is not a child of this process: only its parent (pid %d) can %s it", title(own), own.maker, what)
  elseif not own.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, title(own))
  end
end

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
  local target, args, name, daemon = options.read(...)
  if target ~= nil or self.run == Process.run then
    options.check_target(target)
  end
  if name ~= nil then
    own.name = options.check_name(name)
  end
  if daemon ~= nil then
    own.daemon = options.check_daemon(daemon)
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
  elseif not own.bytes then
    return own.target()
  end
  local args = core.thaw(own.bytes)
  return own.target(table.unpack(args, 1, args.n))
end

local function check_startable(self, own)
  check_open(own)
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
  current.sweep()
  local results, message, name = result.take_queue()
  if not results then
    return nil, message, name
  end
  own.results = results
  local handle
  current.forking(self, own.number)
  handle, message, name = fork.fork(own.daemon, own.name, enter, self)
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

-- true, or false, "timeout".
function Process:join(timeout)
  local own = record(self)
  errors.check_timeout(timeout)
  check_own_child(own, "join")
  if own.exitcode then
    return true
  end
  local ended, word = own.handle:wait(timeout)
  if not ended then
    return false, word
  end
  learn(self, own)
  return true
end

-- What the target returned; raises its error, or how the process died; nil, "timeout".
function Process:result(timeout)
  local own = record(self)
  errors.check_timeout(timeout)
  check_own_child(own, "take the result of")
  local outcome = own.outcome or result.await(own, timeout, function()
    learn(self, own)
  end)
  if not outcome then
    return nil, "timeout"
  end
  return result.deliver(outcome)
end

function Process:is_alive()
  local own = record(self)
  if own.closed or not own.pid then
    return false
  elseif own.pid == core.getpid() then
    return true
  elseif own.maker == core.getpid() then
    return not learn(self, own)
  end
  return own.exitcode == nil and own.handle:alive()
end

local function send_signal(self, number, what, opts)
  local own = record(self)
  check_open(own)
  if opts ~= nil and type(opts) ~= "table" then
    errors.raise("%s takes a table such as { tree = true }, got %s", what, errors.show(opts))
  elseif not own.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, title(own))
  elseif not own.handle then
    errors.raise("%s cannot %s itself; use os.exit or error", title(own), what)
  elseif learn(self, own) then
    return true
  end
  return own.handle:signal(number, opts and opts.tree)
end

-- Each true, or nil, message, NAME. Harmless once it has ended. opts: { tree = true } takes its descendants too.
function Process:terminate(opts)
  return send_signal(self, core.SIGTERM, "terminate", opts)
end

function Process:kill(opts)
  return send_signal(self, core.SIGKILL, "kill", opts)
end

function Process:interrupt()
  return send_signal(self, core.SIGINT, "interrupt")
end

-- An fd that turns readable when the process ends; the sentinel by another name.
function Process:fileno()
  return self.sentinel
end

function Process:close()
  local own = record(self)
  if own.closed then
    return
  elseif own.maker ~= core.getpid() or own.pid == core.getpid() then
    errors.raise("%s is not a child of this process; only its parent can close it", title(own))
  elseif own.pid and not learn(self, own) then
    errors.raise("%s still runs; join() or terminate() it before close()", title(own))
  end
  if own.handle then
    own.handle:close()
  end
  own.closed, own.handle, own.results, own.outcome = true, nil, nil, nil
  own.args, own.bytes, own.target = nil, nil, nil
end

-- The end of a scope: only where it was opened, not in a child that inherited it.
function class.leave_scope(self, err)
  local own = record(self)
  if own.closed or own.maker ~= core.getpid() or own.pid == core.getpid() then
    return
  elseif own.pid and not learn(self, own) then
    if err ~= nil then
      self:terminate()
    end
    self:join()
  end
  self:close()
end

local function state_text(self, own)
  if own.closed then
    return "closed"
  elseif not own.pid then
    return "not started"
  elseif self:is_alive() then
    return ("pid %d, running"):format(own.pid)
  elseif own.exitcode then
    return ("pid %d, ended with %s"):format(own.pid, errors.describe_end(own.exitcode))
  end
  return ("pid %d, ended"):format(own.pid)
end

function class.to_string(self)
  local own = record(self)
  return ("mproc.Process: '%s' (%s%s)"):format(own.name, state_text(self, own), own.daemon and ", daemon" or "")
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
    learn(self, own)
  end
  return own.exitcode
end

function properties.sentinel(_, own)
  check_own_child(own, "watch")
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
  own.daemon = options.check_daemon(daemon)
end

return Process
