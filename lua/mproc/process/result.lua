-- SPDX-License-Identifier: MIT
-- What a process came to: its results, its error, or its death. Used by states.lua, ending.lua and start.lua.
--
-- A record's `results` is the queue that the child puts what it has to say into:
--   { n =, ... }                                   the results, if there are any
--   { failed = true, text =, trace =, more = }     the error; when `more` is true its value follows in a message of its
--                                                  own, { value }: it may not survive the way, and the text has to
-- What has been taken from the queue stands in the record, and there is room for it there: so that a step that fails,
-- for want of memory or interrupted, is taken again. `message` is false or one of those; an error's `more` becomes its
-- value's message, or false when that cannot be decoded. `outcome` is false, or what is known: { n =, ... } or
-- { failed = true, error = }.

local core = require("mproc.core")
local errors = require("mproc.errors")

local result = {}

local NOTHING = { n = 0 }
local UNDECODED = { failed = true } -- the message; `why` in the record says why not

-- How long a child that has sent its results may keep the parent from noticing: it may wait for children of its own.
local LOOK_SECONDS = 0.1

-- An empty queue nobody will put into any more serves the next process. Weak: a collection frees it. A forked process
-- inherits the queue, not the right to use it.
local spare = setmetatable({}, { __mode = "v" })

-- A queue, or nil, message, NAME.
function result.take_queue()
  local queue = spare.queue
  spare.queue = nil
  if queue and not core.inherited(spare.owner_pid) then
    return queue
  end
  return core.queue()
end

function result.give_back_queue(queue)
  spare.queue, spare.owner_pid = queue, core.getpid()
end

local function error_of(record, message)
  if message == UNDECODED then
    return record.why
  end
  local value = message.more and message.more[1]
  if message.more and value ~= nil then
    return value
  elseif not message.trace then
    return message.text
  end
  return ("%s\nremote traceback of process '%s' (pid %d):\n%s"):format(message.text, record.name, record.pid,
    message.trace)
end

local function conclude(record)
  local message = record.message
  record.outcome = message.failed and { failed = true, error = error_of(record, message) } or message
  record.results, record.message, record.why = nil, false, nil
end

-- Takes the next message into the record. False when there is none.
local function take(record)
  local queue, message = record.results, record.message
  local ok, next_message = pcall(queue.get, queue, 0)
  if not ok and not queue:empty() then
    error(next_message, 0) -- there is no memory for it here and now, and it stays
  elseif ok and next_message == nil then
    return false
  elseif message then
    message.more = ok and next_message
    return true
  elseif ok then
    record.message = next_message
    return true
  end
  record.why, record.message = next_message, UNDECODED
  return true
end

-- Looks into the queue. True when the outcome is known now.
local function look(record)
  while not record.outcome and record.results do
    local message = record.message
    if message and message.more ~= true then
      conclude(record)
    elseif not take(record) then
      return false
    end
  end
  return record.outcome ~= false
end

-- Once its end is known. Without a message there were no results, or the process died. With one, it may stay unread.
function result.resolve(record, exitcode, returned)
  local queue = record.results
  if record.outcome or not queue or not queue:empty() then
    return
  elseif record.message then
    conclude(record)
  elseif returned and exitcode == 0 then
    record.outcome = NOTHING
    result.give_back_queue(queue)
  else
    record.outcome = { failed = true, error = errors.worker_died(record.name, record.pid, exitcode) }
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
  if outcome.failed then
    error(outcome.error, 0)
  end
  return table.unpack(outcome, 1, outcome.n)
end

return result
