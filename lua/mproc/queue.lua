-- SPDX-License-Identifier: MIT
-- How queues and pipes are made; what they do is in C. Used by init.lua.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local queue = {}

local ON_DEATH = { requeue = "", report = "reports" }

local function is_plain_table(value)
  return type(value) == "table" and getmetatable(value) == nil
end

-- What core.queue takes for on_death.
local function check_on_death(given)
  local kind = ON_DEATH[given == nil and "requeue" or given]
  if not kind then
    errors.raise("on_death must be \"requeue\" (a dead holder's message goes back to the queue, the default) or "
      .. "\"report\" (it goes to q:orphans()), got %s", errors.show(given))
  end
  return kind
end

local function check_maxsize(maxsize)
  return maxsize == nil and 0 or check.count("maxsize", maxsize, 0, "a positive count of messages, or nil for no limit")
end

-- Queue(), Queue(100) or Queue{ maxsize = 100, on_death = "report" }. Without a maxsize, or with Python's 0, put never
-- waits. on_death says what becomes of a message that was leased when its holder died: "requeue" or "report".
function queue.Queue(maxsize)
  local on_death
  if is_plain_table(maxsize) then
    local given = check.options(maxsize, "a Queue has", { "maxsize", "on_death" })
    maxsize, on_death = given.maxsize, given.on_death
  end
  return core.queue(check_maxsize(maxsize), check_on_death(on_death))
end

-- A Queue that also has task_done() and join([timeout]).
function queue.JoinableQueue(maxsize)
  if is_plain_table(maxsize) then
    maxsize = check.options(maxsize, "a JoinableQueue has", { "maxsize" }).maxsize
  end
  return core.queue(check_maxsize(maxsize), "joinable")
end

-- A decode hook that raises consumes the message: an error that comes from elsewhere meanwhile must not.
for _, name in ipairs({ "mproc.Queue", "mproc.JoinableQueue" }) do
  local methods = core.class(name).__index
  methods.lease = core.shield(methods.lease)
end

-- put, get, empty and close only.
function queue.SimpleQueue(...)
  if select("#", ...) > 0 then
    errors.raise("SimpleQueue takes no arguments; for a limit write mproc.Queue(%s)", errors.show((...)))
  end
  return core.queue(0, "simple")
end

-- Pipe(), Pipe(false) or Pipe{ duplex = false }: two connections, or nil, message, NAME. Both send and receive;
-- without duplex the first only receives and the second only sends.
function queue.Pipe(duplex)
  if is_plain_table(duplex) then
    duplex = check.options(duplex, "a pipe has", { "duplex" }).duplex
  end
  if duplex == nil then
    duplex = true
  elseif type(duplex) ~= "boolean" then
    errors.raise("duplex must be true (both ends do both) or false (the first receives, the second sends), got %s",
      errors.show(duplex))
  end
  return core.pipe(duplex)
end

return queue
