-- SPDX-License-Identifier: MIT
-- What a process came to: its results, its error, or its death. Used by states.lua, ending.lua and init.lua.
--
-- A record's `results` is the queue that the child puts one message into, if it has anything to say; `message` is that,
-- until its outcome is known; `outcome` is { ok = true, n =, ... } or { ok = false, error = }. Each of these steps may
-- be interrupted, and is then taken again: a message that has left the queue stays in the record.

local core = require("mproc.core")
local errors = require("mproc.errors")

local result = {}

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
  if queue and spare.owner_pid == core.getpid() then
    return queue
  end
  return core.queue()
end

function result.give_back_queue(queue)
  spare.queue, spare.owner_pid = queue, core.getpid()
end

local function remote_error(record, text, trace, bytes)
  if bytes then
    local ok, value = pcall(core.unpack, bytes)
    if ok and value ~= nil then
      return value
    end
  end
  if not trace then
    return text
  end
  return ("%s\nremote traceback of process '%s' (pid %d):\n%s"):format(text, record.name, record.pid, trace)
end

local function outcome_of(record, message)
  if not message[1] then
    return { ok = false, error = remote_error(record, table.unpack(message, 2, 4)) }
  end
  local values, why = core.try_unpack(message[2])
  if not values then
    return { ok = false, error = why }
  end
  values.ok = true
  return values
end

-- Looks into the queue. True when the outcome is known now.
local function look(record)
  if not record.outcome and record.results then
    record.message = record.message or record.results:get(0)
    if record.message then
      record.outcome = outcome_of(record, record.message)
      record.results, record.message = nil, nil
    end
  end
  return record.outcome ~= nil
end

-- Once its end is known. Without a message there were no results, or the process died. With one, it may stay unread.
function result.resolve(record, exitcode, returned)
  local queue = record.results
  if record.outcome or record.message or not queue or not queue:empty() then
    return
  elseif returned and exitcode == 0 then
    record.outcome = NOTHING
    result.give_back_queue(queue)
  else
    record.outcome = { ok = false, error = errors.worker_died(record.name, record.pid, exitcode) }
  end
  record.results = nil
end

-- Waits until the outcome is known: it, or nil when the time is over. poll_exit() notes an end in the record.
function result.await(record, timeout, poll_exit)
  local deadline = timeout and core.time() + timeout
  while true do
    local rest = deadline and deadline - core.time() or LOOK_SECONDS
    if record.handle and record.handle:wait(math.min(rest, LOOK_SECONDS)) then
      poll_exit()
    end
    if look(record) then
      return record.outcome
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
