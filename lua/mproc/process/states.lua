-- SPDX-License-Identifier: MIT
-- The states of a process: how they are learned, checked and told. Used by the other files of this folder.
--
-- A process's private record: name, number, daemon, freeze_heap, close_fds, owner_pid, target, args, bytes (the packed
-- args); once it is started handle, pid, results; once its end is known exitcode, returned, outcome; closed. In the
-- process itself pid is set and handle is not. An inherited record is only looked at.

local core = require("mproc.core")
local errors = require("mproc.errors")
local result = require("mproc.process.result")
local tree = require("mproc.process.tree")

local states = {}

-- Notes the end, once it can be known. True when it is. For the owner's processes.
function states.poll_exit(self, record)
  if record.exitcode then
    return true
  elseif not record.pid or not record.handle then
    return false
  end
  local exitcode, returned = record.handle:ended()
  if not exitcode then
    return false
  end
  result.resolve(record, exitcode, returned)
  tree.remove_child(self)
  record.returned, record.exitcode = returned, exitcode -- last: what was interrupted before is done again
  return true
end

function states.title(record)
  return ("process '%s'%s"):format(record.name, record.pid and (" (pid %d)"):format(record.pid) or "")
end

function states.check_open(record)
  if record.closed then
    errors.raise("%s is closed", states.title(record))
  end
end

-- For calls that need a process that was started, by this process.
function states.check_own_child(record, what)
  states.check_open(record)
  if record.pid == core.getpid() then
    errors.raise("%s cannot %s itself", states.title(record), what)
  elseif core.inherited(record.owner_pid) then
    errors.raise("%s is not a child of this process: only its parent (pid %d) can %s it", states.title(record),
      record.owner_pid, what)
  elseif not record.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, states.title(record))
  end
end

-- For tostring.
function states.text(self, record)
  if record.closed then
    return "closed"
  elseif not record.pid then
    return "not started"
  elseif self:is_alive() then
    return ("pid %d, running"):format(record.pid)
  elseif record.exitcode then
    return ("pid %d, ended with %s"):format(record.pid, errors.describe_end(record.exitcode))
  end
  return ("pid %d, ended"):format(record.pid)
end

return states
