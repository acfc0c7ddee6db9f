-- SPDX-License-Identifier: MIT
-- How queues are made; what they do is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local queue = {}

local function read_options(given)
  for key in pairs(given) do
    if key == "on_death" then
      errors.raise("Queue's on_death comes with leases, in a later version of mproc")
    elseif key ~= "maxsize" then
      errors.raise("unknown option %s; a queue has maxsize", errors.show(key))
    end
  end
  return given.maxsize
end

-- Queue(), Queue(100) or Queue{ maxsize = 100 }. Without a maxsize, or with Python's 0, put never waits.
function queue.Queue(maxsize)
  if type(maxsize) == "table" and not getmetatable(maxsize) then
    maxsize = read_options(maxsize)
  end
  if maxsize == nil then
    return core.queue()
  end
  local n = type(maxsize) == "number" and math.tointeger(maxsize)
  if not n or n < 0 then
    errors.raise("maxsize must be a positive count of messages, or nil for no limit, got %s", errors.show(maxsize))
  end
  return core.queue(n)
end

-- put, get, empty and close only.
function queue.SimpleQueue(...)
  if select("#", ...) > 0 then
    errors.raise("SimpleQueue takes no arguments; for a limit write mproc.Queue(%s)", errors.show((...)))
  end
  return core.simple_queue()
end

return queue
