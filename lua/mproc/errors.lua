-- SPDX-License-Identifier: MIT
-- Errors that blame the caller of mproc, and the error of a process that died. Used by every module here.

local core = require("mproc.core")

local errors = {}

local HERE = debug.getinfo(1, "S").source:match("^(.*)errors%.lua$") or "\0"
core.own_sources(HERE)

-- Raises the formatted message at the line of the user's program that called into mproc.
function errors.raise(format, ...)
  core.misuse(format:format(...))
end

-- "file:line" of the user's program that called into mproc.
function errors.where()
  return core.where() or "?"
end

-- The program's function, as mproc's Lua code calls it: an error of a C function would blame the calling line.
function errors.callee(f)
  if not core.is_c_function(f) then
    return f
  end
  local call = core.call
  return function(...)
    return call(f, ...)
  end
end

-- For what core.pack says: a value that cannot travel is the caller's mistake; what a hook raised is raised as it is.
function errors.raise_unsendable(reason, refused)
  if refused then
    errors.raise("%s", reason)
  end
  error(reason, 0)
end

-- Shows a value in a message: strings quoted and cut, others by type and text.
function errors.show(value)
  if type(value) == "string" then
    return ("%q"):format(#value > 40 and value:sub(1, 40) .. "…" or value)
  elseif value ~= value then
    return "NaN"
  elseif type(value) == "number" or type(value) == "boolean" then
    return tostring(value)
  end
  return "a " .. type(value)
end

-- An error value by its text, even when its __tostring raises.
function errors.text_of(value)
  local ok, text = pcall(tostring, value)
  if not ok then
    return ("(an error %s whose __tostring raises)"):format(type(value))
  elseif value == nil then
    return "(error object is nil)"
  elseif type(value) == "table" and text:find("^table: ") then
    return "(error object is a table value)"
  end
  return text
end

-- The text that travels in place of an error object that cannot. reason: what core.pack said.
function errors.text_in_place_of(value, reason)
  return ("%s\n(the error object could not travel: %s)"):format(errors.text_of(value), errors.text_of(reason))
end

-- "exit code 3", or "signal 9 (SIGKILL)" for -9.
function errors.describe_end(exitcode)
  if exitcode >= 0 then
    return "exit code " .. exitcode
  end
  local name = core.signal_name(-exitcode)
  return "signal " .. -exitcode .. (name and " (" .. name .. ")" or "")
end

-- The error of a process that ended before its target did, or of a manager that is gone. It travels like any value.
core.state.Died = core.state.Died or {} -- a registered metatable outlives this module when it is loaded anew
local Died = core.state.Died
Died.__name = "mproc.Died"
Died.__index = Died

function Died:__tostring()
  if self.message then
    return self.message
  end
  local how = self.signal and "was killed by " or "ended before its target returned, with "
  local text = ("process '%s' (pid %d) %s%s"):format(self.name, self.pid, how, errors.describe_end(self.exitcode))
  if self.task then -- a pool's worker
    text = ("%s, while it ran %s"):format(text, self.task)
  end
  if self.reason then
    text = ("%s: %s"):format(text, self.reason)
  end
  for i, death in ipairs(self.deaths or {}) do
    text = ("%s%s pid %d by %s"):format(text, i == 1 and "; earlier attempts died too:" or ",", death.pid,
      errors.describe_end(death.exitcode))
  end
  return text
end

core.register("mproc.Died", Died)

function errors.worker_died(name, pid, exitcode)
  local signal = exitcode < 0 and -exitcode or nil
  return setmetatable({ kind = "worker_died", name = name, pid = pid, signal = signal, exitcode = exitcode }, Died)
end

-- message: all that there is to say. pid: nil when it is beyond a socket.
function errors.manager_died(name, pid, message)
  return setmetatable({ kind = "manager_died", name = name, pid = pid, message = message }, Died)
end

return errors
