-- SPDX-License-Identifier: MIT
-- How a pool, a future and a stream find their private records. A user's object is a table with a record under a key
-- that nobody else has, and methods. Used by all of mproc.pool.

local core = require("mproc.core")
local errors = require("mproc.errors")

local record = {}

local field, self_ref = core.field, core.self
local STATE, JOB = {}, {}
record.STATE, record.JOB = STATE, JOB

-- Raises unless this process made the pool.
local function check_owner(state)
  if state.owner ~= self_ref() then
    errors.raise("this pool belongs to the process that made it (pid %d); make another one here, or send it tasks "
      .. "through a queue", state.owner_pid)
  end
  return state
end
record.check_owner = check_owner

-- The state of a pool that this process owns. Raises for anything else.
function record.of_pool(pool)
  local state = field(pool, STATE)
  if not state then
    errors.raise("this is not a pool, but %s; call its methods with a colon, as in pool:map(f, items)",
      errors.show(pool))
  end
  return check_owner(state)
end

-- The job of a future or a stream, or nil.
function record.job(value)
  return field(value, JOB)
end

return record
