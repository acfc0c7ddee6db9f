-- SPDX-License-Identifier: MIT
-- What a pool has done, and who its workers are. Used by pool.lua.

local core = require("mproc.core")
local drive = require("mproc.pool_drive")

local stats = {}

local Stats = {}
Stats.__name = "mproc.PoolStats"

function Stats:__tostring()
  local lines = { ("%d tasks done, %d failed, %d retried, %d pending; %d workers"):format(self.done, self.failed,
    self.retried, self.pending, #self.workers) }
  for _, w in ipairs(self.workers) do
    lines[#lines + 1] = ("  worker %d (pid %d): %d done, %d failed, worked %.3f s, waited %.3f s"):format(
      w.index, w.pid, w.done, w.failed, w.working, w.waiting)
  end
  return table.concat(lines, "\n")
end

-- The seats by their index.
local function seats_of(pool)
  local seats = {}
  for _, seat in pairs(pool.crew) do
    seats[#seats + 1] = seat
  end
  table.sort(seats, function(a, b) return a.index < b.index end)
  return seats
end

-- The pids of the workers.
function stats.workers(pool)
  drive.check_owner(pool)
  local pids = {}
  for i, seat in ipairs(seats_of(pool)) do
    pids[i] = seat.pid
  end
  return pids
end

-- done, failed, retried, pending: tasks; working, waiting: seconds, over all workers there ever were; workers: a list
-- of { index, pid, done, failed, working, waiting } of those that live. tostring tells it in words.
function stats.of(pool)
  drive.check_owner(pool)
  local now = core.time()
  local gone = pool.gone
  local all = {
    done = pool.done, failed = pool.failed, retried = pool.retried, pending = pool.in_flight, workers = {},
    working = gone.working or 0, waiting = (gone.living or 0) - (gone.working or 0),
  }
  for i, seat in ipairs(seats_of(pool)) do
    local waiting = math.max(0, now - seat.started - seat.working)
    all.workers[i] = {
      index = seat.index, pid = seat.pid, done = seat.done, failed = seat.failed, working = seat.working,
      waiting = waiting,
    }
    all.working, all.waiting = all.working + seat.working, all.waiting + waiting
  end
  return setmetatable(all, Stats)
end

return stats
