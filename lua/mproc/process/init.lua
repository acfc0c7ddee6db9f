-- SPDX-License-Identifier: MIT
-- Process: what a user makes and starts. Subclassing is in class.lua. Making is checked in options.lua, starting is in
-- start.lua, the child's side in child.lua, waiting and ending in ending.lua; states.lua says what is known of a
-- process and when: these are loaded by their first use. start, and what waits or ends, runs under core.shield: no
-- error out of nowhere comes between two of its steps.

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local lazy = require("mproc.lazy")
local peer = require("mproc.process.peer")

local Process = class.Process
local record_of = class.record_of
local NONE = {}

lazy.unit("mproc.process.options")
lazy.unit("mproc.authkey")
lazy.unit("mproc.process.spawn")
lazy.unit("mproc.process.spawned")

local function authkey()
  return lazy.load("mproc.authkey")
end

local function options()
  return lazy.load("mproc.process.options")
end

local function states()
  return lazy.load("mproc.process.states")
end

-- The args' handles stand in the list, which is mproc's own.
local function snapshot(args)
  local bytes, handles, refused = core.pack(args, "args")
  if not bytes then
    errors.raise_unsendable(handles, refused)
  end
  args.handles = handles
  return bytes
end

-- Takes what options.read understands; a subclass may have an init of its own that never calls this one.
function Process:init(...)
  local record = record_of(self)
  local check = options()
  local target, args, given = check.read(...)
  if target ~= nil or self.run == Process.run then
    check.check_target(target)
  end
  for _, name in ipairs(given and check.PLAIN or NONE) do
    if given[name] ~= nil then
      record[name] = check.check(name, given[name])
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
    errors.raise("%s has no target; give it one, or override run()", states().title(record))
  elseif core.state.debug then
    core.state.debug.run(record)
  end
  local target = errors.callee(record.target)
  if not record.bytes then
    return target()
  end
  local args = core.unpack_in_child(record.bytes)
  return target(table.unpack(args, 1, args.n))
end

Process.start = lazy.call("mproc.process.start", "start")
for _, method in ipairs({ "join", "result", "is_alive", "terminate", "kill", "interrupt", "close" }) do
  Process[method] = lazy.call("mproc.process.ending", method)
end
class.leave_scope = lazy.call("mproc.process.ending", "leave_scope")
class.to_source = lazy.call("mproc.process.ending", "to_source")

-- An fd that turns readable when the process ends; the sentinel by another name.
function Process:fileno()
  return self.sentinel
end

-- What the loops of others ask for: cqueues the first three, LuaSocket's select the others.
Process.pollfd = Process.fileno
function Process:events() -- luacheck: ignore self
  return "r"
end
function Process:timeout() end -- luacheck: ignore self
Process.getfd = Process.fileno
function Process:dirty()
  return not self:is_alive()
end

function class.to_string(self)
  local record = record_of(self)
  return ("mproc.Process: '%s' (%s%s)"):format(record.name, states().text(self, record),
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

function properties.exitcode(self, record)
  if not core.inherited(record.owner_pid) and record.pid ~= core.getpid() then
    Process.is_alive(self) -- it looks
  end
  return record.exitcode
end

function properties.sentinel(_, record)
  states().check_own_child(record, "watch")
  local fd, message = record.handle:fileno()
  if not fd then
    errors.raise("%s", message)
  end
  return fd
end

-- Left out, it is its maker's.
function properties.authkey(_, record)
  return record.pid ~= core.getpid() and record.authkey or authkey().current()
end

local setters = class.setters

function setters.authkey(record, key)
  if record.pid == core.getpid() then
    authkey().set(key)
  elseif record.pid then
    errors.raise("%s has already been started; set authkey before start()", states().title(record))
  else
    record.authkey = authkey().check("authkey", key)
  end
end

function setters.name(record, name)
  record.name = options().check("name", name)
end

function setters.daemon(record, daemon)
  if record.pid then
    errors.raise("%s has already been started; set daemon before start()", states().title(record))
  end
  record.daemon = options().check("daemon", daemon)
end

return Process
