-- SPDX-License-Identifier: MIT
-- The start of a process: the program's hooks, the fork, and what the parent notes of it. Loaded by the first start of
-- one (init.lua).

local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local fork = require("mproc.process.fork")
local lazy = require("mproc.lazy")
local result = require("mproc.process.result")
local states = require("mproc.process.states")
local tree = require("mproc.process.tree")
local child = require("mproc.process.child") -- here, so that no child has to load it
require("mproc.process.ending") -- so that a scope can end without

local start = {}

local Process = class.Process
local record_of = class.record_of
local title = states.title

local function check_startable(self, record)
  states.check_open(record)
  if core.inherited(record.owner_pid) then
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
  local hooks = record.starting
  record.handle, record.starting, record.pid = nil, nil, core.getpid()
  return child.main(self, record, hooks)
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
  if record.closed then
    fork.parent(hooks)
    states.check_open(record)
  end
  record.starting = hooks
  tree.begin_fork(self, record.number)
  local ok, started, message, name = core.outside(core.fork, handle, record.daemon, record.name, record.close_fds,
    enter, self)
  tree.end_fork()
  record.pid = handle:pid()
  if record.pid then
    record.args, record.bytes, record.target = nil, nil, nil
  end
  fork.parent(hooks)
  return ok, started, message, name
end

-- The process, or nil, message, NAME when the system has no room for it: then it may be started again.
start.start = core.shield(function(self)
  local record = record_of(self)
  check_startable(self, record)
  local _ <close> = claim_start(self, record)
  local ready, message, name = prepare(record)
  if not ready then
    return nil, message, name
  end
  local ok, method = true, record.method or core.state.start_method
  if method and method ~= "fork" then
    ready, message, name = lazy.load("mproc.process.spawn").start(self, record, method)
  else
    ok, ready, message, name = fork_between_hooks(self, record)
  end
  if not ok then
    error(ready, 0)
  elseif not ready then
    return nil, message, name
  end
  return self
end)

return start
