-- SPDX-License-Identifier: MIT
-- The errors that a pool itself raises for a task, and how tasks are named in them. Used by all of mproc.pool.

local core = require("mproc.core")
local errors = require("mproc.errors")
local protocol = require("mproc.pool.protocol")

local pool_errors = {}

-- { kind =, message =, ... }: tostring gives the message. It travels like any value.
core.state.PoolError = core.state.PoolError or {} -- a registered metatable outlives this module when it is loaded anew
local PoolError = core.state.PoolError
PoolError.__name = "mproc.PoolError"
PoolError.__index = PoolError

function PoolError:__tostring()
  return self.message
end

core.register("mproc.PoolError", PoolError)

-- more: its other fields, or nil.
local function make(kind, message, more)
  local err = more or {}
  err.kind, err.message = kind, message
  return setmetatable(err, PoolError)
end

-- "item 7 of map(function <a.lua:3>)"; a single task has no index, and a whole call none.
function pool_errors.name_task(job, index)
  local call = ("%s(%s)"):format(job.verb, pool_errors.name_function(job.named or job.f))
  if job.single then
    return ("task %d, %s"):format(job.number, call)
  elseif not index then
    return call
  end
  return ("item %d of %s"):format(index, call)
end

-- A task's error, with a remedy when it is about a nil and its function wants more than map gives.
function pool_errors.explain(job, err)
  local about_nil = type(err) == "string" and err:find("nil", 1, true)
  local is_map = protocol.verb(job.mode) == protocol.MAP and type(job.f) == "function"
  local info = about_nil and is_map and debug.getinfo(job.f, "u")
  if not info or info.isvararg or info.nparams < 2 then
    return err
  end
  return ("%s\n(%s gives one argument, an item, to a function that has %d; starmap unpacks each item, and map takes "
    .. "several lists)"):format(err, job.verb, info.nparams)
end

local names = setmetatable({}, { __mode = "k" })

local function describe(f)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then
    return "a C function"
  end
  return ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

-- "function <a.lua:3>"
function pool_errors.name_function(f)
  if type(f) ~= "function" then
    return "a " .. type(f)
  end
  names[f] = names[f] or describe(f)
  return names[f]
end

-- deaths: what earlier attempts came to, oldest first; each { pid =, signal =, exitcode = }.
-- reason: why it ended by itself, if it said so.
function pool_errors.worker_died(name, pid, exitcode, task, deaths, reason)
  local err = errors.worker_died(name, pid, exitcode)
  err.reason = reason
  err.task = task
  err.deaths = deaths
  return err
end

-- whose: "task_timeout", the pool's, or "timeout", the call's own.
function pool_errors.timeout(task, whose, seconds, pid)
  return make("task_timeout", ("%s ran longer than its %s of %g s; its worker (pid %d) was killed"):format(task, whose,
    seconds, pid), { task = task, timeout = seconds, pid = pid })
end

-- message, name: what the system said to the last attempt.
function pool_errors.no_workers(message, name)
  return make("no_workers", "the pool has no worker left, and none can be started: " .. message, { name = name })
end

function pool_errors.terminated()
  return make("terminated", "the pool was terminated before this task had ended")
end

-- One task was ended by future:terminate(). pid: of the worker that ran it, if that is known.
function pool_errors.task_terminated(task, pid)
  return make("terminated", ("%s was terminated"):format(task), { task = task, pid = pid })
end

function pool_errors.cancelled(task)
  return make("cancelled", ("%s was cancelled"):format(task), { task = task })
end

-- What a message that goes to another machine may not be. why: how long it is.
function pool_errors.too_large(what, why)
  return make("too_large", ("cannot send %s: %s"):format(what, why))
end

-- What pools over several machines meet: "disconnected", "refused", "unknown_function".
pool_errors.far = make

return pool_errors
