-- SPDX-License-Identifier: MIT
-- What a forked child does from its first Lua instruction to its exit code. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local fork = require("mproc.process.fork")
local traceback = require("mproc.process.traceback")
local tree = require("mproc.process.tree")

local child = {}

local text_of = errors.text_of
local call_user = core.pool.call -- so that a hook which the target has set ends with it

-- The traceback of the last error that reached `describe`, and that error.
local described, trace = nil, ""

-- The message handler. The error stays as it was raised: __close handlers are given what it returns.
local function describe(err)
  described, trace = err, traceback.of_child(child.main, tree.generation(), 1)
  return err
end

-- Whether the error can travel as the object that it is; and its text, with why it cannot.
local function try_to_pack(err)
  local text = text_of(err)
  if err == nil or type(err) == "string" then
    return false, text
  end
  local bytes, reason = core.pack(err, "error")
  if bytes then
    return true, text
  end
  return false, errors.text_in_place_of(err, reason)
end

-- Sends the text first, then the value if that can travel. What the child wrote is out before. False when there is no
-- room.
local function send_failure(record, err, text, lines, more)
  core.flush()
  local sent = core.send(record.results, { failed = true, text = text, trace = lines, more = more or nil }, "error")
  if more then
    core.send(record.results, { err }, "error")
  end
  return sent
end

-- try_to_pack, which may find no memory.
local function prepare(err)
  local packed, more, text = pcall(try_to_pack, err)
  if packed then
    return more, text
  end
  return false, text_of(err)
end

local function report(record, err)
  local lines = rawequal(err, described) and trace or "" -- "" for what no handler has seen: there was no memory for it
  local more, text = prepare(err)
  core.write_stderr(("mproc: process '%s' (pid %d) failed: %s\nstack traceback:\n%s\n"):format(record.name,
    core.getpid(), text, lines))
  pcall(send_failure, record, err, text, lines, more)
end

-- The exit code. What cannot be sent, for its kind or for want of room, is the process's error; so is what a hook
-- raised.
local function send_results(record, ...)
  core.flush()
  local sent, reason = core.send(record.results, table.pack(...), "result")
  if sent then
    return 0
  end
  local more, text = prepare(reason)
  local told, ok = pcall(send_failure, record, reason, text, nil, more)
  if not (told and ok) then
    core.write_stderr(("mproc: process '%s' (pid %d) cannot send its results: %s\n"):format(record.name, core.getpid(),
      text))
    return 1
  end
  return 0
end

-- No results, nothing to say: the exit code tells the parent.
local function finish(record, ok, ...)
  if not ok then
    report(record, (...))
    return 1
  elseif select("#", ...) > 0 then
    return send_results(record, ...)
  end
  return 0
end

-- The process could not even be made of what came; its exit code.
function child.fail(record, err)
  return finish(record, false, err)
end

local function run(process, hooks)
  fork.child(hooks)
  return process:run()
end

-- Runs the process and returns its exit code. record: the process's private one. hooks: those of this fork.
function child.main(process, record, hooks)
  os.exit = core.exit -- luacheck: ignore 122
  core.state.authkey = record.authkey or core.state.authkey
  local debug_mode = core.state.debug
  local tell = debug_mode and debug_mode.child()
  local code = finish(record, call_user(run, describe, process, hooks))
  local exits = core.state.exits
  if exits then
    exits.run()
  end
  if tell then
    tell()
  end
  return code
end

return child
