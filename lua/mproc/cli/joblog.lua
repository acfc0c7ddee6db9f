-- SPDX-License-Identifier: MIT
-- The log of mproc run: GNU parallel's columns, a line for each attempt, appended whole, so that a run that was
-- killed can be resumed. Used by mproc.cli.run.

local usage = require("mproc.cli.usage")

local joblog = {}

-- number, exit code, signal, command
local LINE = "^(%d+)\t[^\t]*\t[^\t]*\t[^\t]*\t%d*\t%d*\t(%-?%d+)\t(%d+)\t(.*)\n$"
local HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

local Log = {}
Log.__index = Log

local function read_done(path)
  local done = {}
  local file = io.open(path, "rb")
  for line in file and file:lines("L") or function() end do
    local number, exit, signal, command = line:match(LINE)
    if number and exit == "0" and signal == "0" then
      done[tonumber(number)] = command
    end
  end
  if file then
    file:close()
  end
  return done
end

local function ends_in_a_line(path)
  local file = io.open(path, "rb")
  if not file or file:seek("end") == 0 then
    return nil
  end
  file:seek("end", -1)
  return file:read(1) == "\n"
end

-- The log at `path`; resume: it goes on, and knows what has ended with 0. Without: it begins anew.
function joblog.open(path, resume)
  local done, whole = resume and read_done(path) or {}, resume and ends_in_a_line(path)
  local file, message = io.open(path, resume and "ab" or "wb")
  if not file then
    usage.fail("cannot write %s", message)
  end
  local self = setmetatable({ file = file, done = done }, Log)
  if whole == nil or not resume then
    self:append(HEADER)
  elseif not whole then
    self:append("\n") -- behind a line that was cut off
  end
  return self
end

-- One write for one line.
function Log:append(text)
  local ok, message = self.file:write(text)
  ok, message = ok and self.file:flush(), message
  if not ok then
    usage.stop("the job log: %s", tostring(message))
  end
end

-- Whether that very command has ended with 0 before.
function Log:has_done(number, command)
  return self.done[number] == joblog.one_line(command)
end

function joblog.one_line(command)
  return (command:gsub("[\n\r]", " "))
end

-- A job's attempt has ended. seconds: how long it ran; received: bytes of its output.
function Log:note(job, seconds, received, exitcode)
  local exit, signal = math.max(exitcode, 0), math.max(-exitcode, 0)
  self:append(("%d\t:\t%.3f\t%10.3f\t0\t%d\t%d\t%d\t%s\n"):format(job.number, job.started_at, seconds, received, exit,
    signal, joblog.one_line(job.command)))
end

function Log:close()
  self.file:close()
end

return joblog
