-- SPDX-License-Identifier: MIT
-- What a process came to: its results, its error, or its death. Used by process.lua.
-- A record's `results` is the queue that the child puts one message into, if it has anything to say; `message` is that,
-- while it could not be decoded for want of memory; `outcome` is what is known: { ok = true, n =, ... } or
-- { ok = false, error = }.

local core = require("mproc.core")
local errors = require("mproc.errors")

local result = {}

local NO_MEMORY = "not enough memory" -- what Lua raises then
local NOTHING = { ok = true, n = 0 }

-- How long a child that has sent its results may keep the parent from noticing: it may wait for children of its own.
local LOOK_SECONDS = 0.1

-- An empty queue nobody will put into any more serves the next process. Weak: a collection frees it. A forked process
-- inherits the queue, not the right to use it.
local spare = setmetatable({}, { __mode = "v" })

-- A queue, or nil, message, NAME.
function result.take_queue()
  local queue = spare.queue
  spare.queue = nil
  if queue and spare.maker == core.getpid() then
    return queue
  end
  return core.queue()
end

function result.give_back_queue(queue)
  spare.queue, spare.maker = queue, core.getpid()
end

local function remote_error(own, text, trace, bytes)
  if bytes then
    local ok, value = pcall(core.thaw, bytes)
    if ok and value ~= nil then
      return value
    end
  end
  if not trace then
    return text
  end
  return ("%s\nremote traceback of process '%s' (pid %d):\n%s"):format(text, own.name, own.pid, trace)
end

local function unpack_message(own, message)
  if not message[1] then
    return { ok = false, error = remote_error(own, table.unpack(message, 2, 4)) }
  end
  local ok, values = pcall(core.thaw, message[2])
  if values == NO_MEMORY then -- here and now: the message stays
    error(values, 0)
  elseif not ok then
    return { ok = false, error = values }
  end
  values.ok = true
  return values
end

-- Looks into the queue. True when the outcome is known now.
local function look(own)
  if not own.outcome and own.results then
    own.message = own.message or own.results:get(0)
    if own.message then
      own.outcome = unpack_message(own, own.message)
      own.results, own.message = nil, nil
    end
  end
  return own.outcome ~= nil
end

-- The end is known: without a message there were no results, or the process died. With one, it may stay unread.
function result.settle(own)
  if own.outcome or own.message or not own.results:empty() then
    return
  elseif own.returned and own.exitcode == 0 then
    own.outcome = NOTHING
    result.give_back_queue(own.results)
  else
    own.outcome = { ok = false, error = errors.worker_died(own.name, own.pid, own.exitcode) }
  end
  own.results = nil
end

-- Waits until the outcome is known: it, or nil when the time is over. learn() notes an end in the record.
function result.await(own, timeout, learn)
  local deadline = timeout and core.time() + timeout
  while true do
    local rest = deadline and deadline - core.time() or LOOK_SECONDS
    if own.handle and own.handle:wait(math.min(rest, LOOK_SECONDS)) then
      learn(own)
    end
    if look(own) then
      return own.outcome
    elseif rest <= 0 then
      return nil
    end
  end
end

-- The values, or the error raised as it was.
function result.deliver(outcome)
  if not outcome.ok then
    error(outcome.error, 0)
  end
  return table.unpack(outcome, 1, outcome.n)
end

return result
