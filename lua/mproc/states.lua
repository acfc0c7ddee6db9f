-- SPDX-License-Identifier: MIT
-- The states of a process, how they are learned and told. Used by process.lua and ending.lua.
--
-- A process's private record (own): name, number, daemon, maker (a pid), target, args, bytes (the frozen args); once
-- started handle, pid, results; once its end is known exitcode, returned, outcome; closed. In the process itself pid is
-- set and handle is not. An inherited record is only looked at.

local core = require("mproc.core")
local current = require("mproc.current")
local errors = require("mproc.errors")
local later = require("mproc.later")

local result = later.module("mproc.result")

local states = {}

-- Notes the end, once it can be known. True when it is. For the maker's own processes.
function states.learn(self, own)
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

function states.title(own)
  return ("process '%s'%s"):format(own.name, own.pid and (" (pid %d)"):format(own.pid) or "")
end

function states.check_open(own)
  if own.closed then
    errors.raise("%s is closed", states.title(own))
  end
end

-- For calls that need a process that was started, by this process.
function states.check_own_child(own, what)
  states.check_open(own)
  if own.pid == core.getpid() then
    errors.raise("%s cannot %s itself", states.title(own), what)
  elseif own.maker ~= core.getpid() then
    errors.raise("%s is not a child of this process: only its parent (pid %d) can %s it", states.title(own), own.maker,
      what)
  elseif not own.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, states.title(own))
  end
end

-- For tostring.
function states.text(self, own)
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

return states
