-- SPDX-License-Identifier: MIT
-- Errors that pools over several machines have besides a local pool's. Used by worker programs.

local core = require("mproc.core")
local lazy = require("mproc.lazy")
lazy.load("mproc.pool.errors")

local errors = {}

-- { kind =, message =, … }: tostring gives the message. It travels.
function errors.make(kind, message, more)
  local err = more or {}
  err.kind, err.message = kind, message
  return setmetatable(err, core.state.PoolError)
end

-- worker: of host:pid:nonce.
function errors.unknown_function(worker, f, why)
  return errors.make("unknown_function", ("worker %s cannot run %s: %s"):format(worker, f, why), { worker = worker })
end

function errors.unknown_version(worker, why)
  return errors.make("unknown_version", ("worker %s: %s"):format(worker, why), { worker = worker })
end

function errors.too_large(what, bytes, most)
  local text = "cannot send %s: %.1f MiB, and a message may have %d; store it, send its name"
  return errors.make("too_large", text:format(what, bytes / (1 << 20), most >> 20))
end

-- A task in whose hands worker programs died. hosts: a text, separated by commas.
function errors.poison(f, deaths, hosts)
  local list = {}
  for host in hosts:gmatch("[^,]+") do
    list[#list + 1] = host
  end
  return errors.make("worker_died", ("%d worker programs died while they had %s in hand, on %s"):format(deaths, f,
    table.concat(list, ", ")), { hosts = list, deaths = deaths, task = f })
end

-- A process of a worker program that was killed because its item took too long: what the local pool said of it.
function errors.timeout(err, f, worker)
  local text = "%s ran longer than its limit of %g s; its process (pid %d) on worker %s was killed"
  return errors.make("task_timeout", text:format(f, err.timeout or 0, err.pid or 0, worker),
    { task = f, timeout = err.timeout, pid = err.pid, worker = worker })
end

-- A process of a worker program, ended by a task: what the local pool said of it. earlier: deaths of attempts before.
function errors.child_died(err, f, worker, earlier)
  local died = lazy.load("mproc.errors").worker_died(("%s on %s"):format(err.name or "a process", worker), err.pid or 0,
    err.exitcode or 1)
  died.task, died.worker = f, worker
  died.deaths = earlier[1] and earlier or nil
  return died
end

return errors
