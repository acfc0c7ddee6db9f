-- SPDX-License-Identifier: MIT
-- A pool without workers: the caller runs each task when it is sent, by the worker's own code, so that a debugger or a
-- print sees it. Used by pool.lua.

local core = require("mproc.core")
local here = require("mproc.pool_here")
local worker = require("mproc.pool_worker")

local serial = {}

local LEASE = { done = function() end }

-- Gives the pool run_here(a, b, c, ...), which takes the place of its tasks queue.
function serial.prepare(pool)
  local known = {}
  local record = { index = 1, pid = core.getpid(), tasks_done = 0, store = {}, serial = true }
  local seat = {
    index = 1, record = record, unknown = {}, inherited = pool.functions.packed, peers = 0, stops = pool.stops,
    max_tasks = math.huge, initializer = pool.initializer, initargs = pool.initargs, finalizer = pool.finalizer,
  }
  pool.size, seat.results = math.max(1, pool.size), pool.transport.results

  function pool.transport.post(_, ...)
    local a, b, c = ...
    local was = here.pretend(record)
    if seat.initializer then
      local args = core.thaw(seat.initargs)
      local initializer = seat.initializer
      seat.initializer = nil
      initializer(table.unpack(args, 1, args.n))
    end
    worker.handle(seat, known, a, b, c, core.time(), LEASE, true, select(5, ...))
    here.pretend(was)
    return core.time(), 0
  end
end

return serial
