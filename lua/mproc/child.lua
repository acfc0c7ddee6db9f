-- SPDX-License-Identifier: MIT
-- What a forked child does from its first Lua instruction to its exit code. Used by process.lua.

local core = require("mproc.core")
local current = require("mproc.current")
local fork = require("mproc.fork")
local traceback = require("mproc.traceback")

local child = {}

-- Error values by text, even when their __tostring raises.
local function text_of(err)
  local ok, text = pcall(tostring, err)
  if not ok then
    return ("(an error %s whose __tostring raises)"):format(type(err))
  elseif type(err) == "table" and text:find("^table: ") then
    return "(error object is a table value)"
  elseif err == nil then
    return "(error object is nil)"
  end
  return text
end

-- The message handler: { value, text, trace }.
local function describe(err)
  return { value = err, text = text_of(err), trace = traceback.of_child(child.main, current.generation(), 1) }
end

-- Sends what can be sent: the text first, the value only if it survives the way there and back.
local function send_failure(own, failure)
  local bytes = type(failure.value) ~= "string" and core.freeze(failure.value, "error") or nil
  own.results:put({ false, failure.text, failure.trace, bytes })
end

local function report(own, failure)
  local pid = core.getpid()
  core.complain(("mproc: process '%s' (pid %d) failed: %s\nstack traceback:\n%s\n"):format(
    own.name, pid, failure.text, failure.trace))
  pcall(send_failure, own, failure)
end

local function send_results(own, ...)
  local bytes, reason = core.freeze(table.pack(...), "result")
  if bytes then
    own.results:put({ true, bytes })
  else
    own.results:put({ false, text_of(reason) })
  end
end

-- No results, nothing to say: the exit code tells the parent.
local function finish(own, ok, ...)
  if not ok then
    local failure = ...
    if type(failure) ~= "table" then -- no memory even for the handler
      failure = { text = text_of(failure), trace = "" }
    end
    report(own, failure)
    return 1
  elseif select("#", ...) > 0 then
    send_results(own, ...)
  end
  return 0
end

local function run(process)
  fork.child()
  return process:run()
end

-- Runs the process and returns its exit code. own: the process's private record.
function child.main(process, own)
  os.exit = core.exit -- luacheck: ignore 122
  local watch = core.state.watch
  local tell = watch and watch.child()
  local code = finish(own, xpcall(run, describe, process))
  if tell then
    tell()
  end
  return code
end

return child
