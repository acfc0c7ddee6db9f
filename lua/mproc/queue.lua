-- SPDX-License-Identifier: MIT
-- How queues are made; what they do is in C. Used by init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local queue = {}

local ON_DEATH = { requeue = "", report = "reports" }

-- The two options as core.queue wants them.
local function read_options(given, name)
  for key in pairs(given) do
    if key ~= "maxsize" and (key ~= "on_death" or name ~= "Queue") then
      errors.raise("unknown option %s; a %s has maxsize%s", errors.show(key), name,
        name == "Queue" and " and on_death" or "")
    end
  end
  local kind = ON_DEATH[given.on_death or "requeue"]
  if not kind then
    errors.raise("on_death must be \"requeue\" (a dead holder's message goes back to the queue, the default) or "
      .. "\"report\" (it goes to q:orphans()), got %s", errors.show(given.on_death))
  end
  return given.maxsize, kind
end

local function check_maxsize(maxsize)
  local n = maxsize == nil and 0 or type(maxsize) == "number" and math.tointeger(maxsize)
  if not n or n < 0 then
    errors.raise("maxsize must be a positive count of messages, or nil for no limit, got %s", errors.show(maxsize))
  end
  return n
end

-- Queue(), Queue(100) or Queue{ maxsize = 100, on_death = "report" }. Without a maxsize, or with Python's 0, put never
-- waits. on_death says what becomes of a message that was leased when its holder died: "requeue" or "report".
function queue.Queue(maxsize)
  local kind = ""
  if type(maxsize) == "table" and not getmetatable(maxsize) then
    maxsize, kind = read_options(maxsize, "Queue")
  end
  return core.queue(check_maxsize(maxsize), kind)
end

-- A Queue that also has task_done() and join([timeout]).
function queue.JoinableQueue(maxsize)
  if type(maxsize) == "table" and not getmetatable(maxsize) then
    maxsize = read_options(maxsize, "JoinableQueue")
  end
  return core.queue(check_maxsize(maxsize), "joinable")
end

-- put, get, empty and close only.
function queue.SimpleQueue(...)
  if select("#", ...) > 0 then
    errors.raise("SimpleQueue takes no arguments; for a limit write mproc.Queue(%s)", errors.show((...)))
  end
  return core.queue(0, "simple")
end

return queue
