-- SPDX-License-Identifier: MIT
-- Who runs here: what a worker knows of itself, and how its tasks' errors get their traceback. Used by pool/worker/ and
-- by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local traceback = require("mproc.process.traceback")

local context = {}

traceback.callers[core.pool.serve] = true
traceback.callers[core.pool.call] = true
traceback.callers[core.pool.run] = true

local record -- what mproc.worker() gives, in a worker
local depth = 0 -- how many workers' loops this process has inherited, its own included
local loop -- the function that each of them is

-- { index, pid, tasks_done, store } in a worker, store being the worker's own; nil elsewhere.
function context.current()
  return record and record.pid == core.getpid() and record or nil
end

-- From now on this is the worker `index`, whose tasks run inside `entry`.
function context.enter(index, entry)
  depth, loop = depth + 1, entry
  record = { index = index, pid = core.getpid(), tasks_done = 0, store = {} }
  return record
end

-- In the caller, for a serial pool. Returns what was.
function context.pretend(other)
  local was = record
  record = other
  return was
end

local function with_trace(text)
  return ("%s\nremote traceback of worker %d (pid %d):\n%s"):format(text, record.index, record.pid,
    traceback.of_task(loop, depth, 1))
end

-- An object stays what it is if it can travel. Else it is its text, and why it could not.
local function describe_object(err)
  local bytes, reason = core.pack(err, "error")
  if bytes then
    return err
  end
  return with_trace(errors.text_in_place_of(err, reason))
end

local SCALAR = { number = true, boolean = true }

-- The message handler of tasks. What it gives is never nil, and can be sent. A string gets its traceback (in the caller
-- there is one anyway).
function context.describe(err)
  local kind = type(err)
  if err == nil or kind == "string" then
    err = errors.text_of(err)
    if record.serial then
      return err
    end
    return with_trace(err)
  elseif SCALAR[kind] or record.serial then
    return err
  end
  return describe_object(err)
end

return context
