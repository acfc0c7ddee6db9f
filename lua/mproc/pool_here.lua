-- SPDX-License-Identifier: MIT
-- Who runs here: what a worker knows of itself, and how its tasks' errors get their traceback. Used by pool_run.lua,
-- pool_worker.lua, pool_serial.lua and init.lua.

local core = require("mproc.core")
local traceback = require("mproc.traceback")

local here = {}

traceback.callers[core.serve] = true

local record -- what mproc.worker() gives, in a worker
local depth = 0 -- how many workers' loops this process has inherited, its own included
local loop -- the function that each of them is

-- { index, pid, tasks_done, store } in a worker, store being the worker's own; nil elsewhere.
function here.current()
  return record and record.pid == core.getpid() and record or nil
end

-- From now on this is the worker `index`, whose tasks run inside `entry`.
function here.enter(index, entry)
  depth, loop = depth + 1, entry
  record = { index = index, pid = core.getpid(), tasks_done = 0, store = {} }
  return record
end

-- In the caller, for a pool that is serial. Returns what was.
function here.pretend(other)
  local was = record
  record = other
  return was
end

local function with_trace(err)
  return ("%s\nremote traceback of worker %d (pid %d):\n%s"):format(err, record.index, record.pid,
    traceback.of_task(loop, depth, 1))
end

-- The message handler of tasks: strings get their traceback (in the caller there is one anyway), other values stay.
function here.describe(err)
  if type(err) == "string" and not record.serial then
    return with_trace(err)
  end
  return err
end

function here.text_of(value)
  local ok, text = pcall(tostring, value)
  return ok and text or "(" .. type(value) .. ")"
end

return here
