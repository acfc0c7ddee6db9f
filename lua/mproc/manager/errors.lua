-- SPDX-License-Identifier: MIT
-- The errors of managers, and how managers and objects are named in them. Used by all of mproc.manager.

local errors = require("mproc.errors")

local manager_errors = {}

-- "manager 'Manager-1' (pid 12)"; pid: nil beyond a socket.
function manager_errors.title(name, where)
  return ("manager '%s' (%s)"):format(name, math.type(where) == "integer" and "pid " .. where or tostring(where))
end

-- Raises what a call raises when the manager is gone. what: what was called, or nil.
function manager_errors.raise_died(link, what)
  local title = manager_errors.title(link.name, link.pid or link.address)
  local text
  if link.ended then
    text = ("the %s is closed: it was shut down"):format(title)
  elseif link.pid then
    text = ("the %s has died, and its objects with it"):format(title)
  else
    text = ("the connection to the %s has ended%s"):format(title, link.why and ": " .. link.why or "")
  end
  if what then
    text = ("%s; whether %s was carried out is not known"):format(text, what)
  end
  error(errors.manager_died(link.name, link.pid, text), 0)
end

return manager_errors
