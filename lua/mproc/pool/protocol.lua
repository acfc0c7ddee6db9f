-- SPDX-License-Identifier: MIT
-- What a pool's owner and its workers say to each other: messages (src/bind/pool_message.h has their header), cancel
-- flags, and what is done when the arena has no room for a message. Used by pool/ and pool/worker/ alike.
--
-- A message's header is six values of their own: chunk, offset, kind, count, who, value. `kind` is a mode of a task, a
-- status of a result, a notice of a function channel; `who` a task's cancel flag, a result's worker slot; `value` a
-- task's function number, the nanoseconds that a result took.
--
-- Cancel flags: one byte in shared memory for each job, over which its owner and its workers agree whether it has begun
-- or is called off.
--   flag   written by                               states
--   [n]    a worker, before a job's task: 0 -> 1    QUEUED 0, BEGUN 1, CANCELLED 2. Only a compare-and-exchange leaves
--          the owner: 0 -> 2 when nothing has       QUEUED, so a job is either begun or called off. The owner sets it
--          begun, any -> 2 to stop the rest,        back to 0 when no message names it any more. A worker that died
--          2, 1 -> 0 gives it to another job        before its 0 -> 1 has begun nothing.
--   [n]    the same where other machines have the   ASKED 3: the keeper shall say whether some machine has fetched
--          tasks: the owner 0 -> 3, the keeper      something of it. Only a compare-and-exchange leaves ASKED. A keeper
--          3 -> 1 or 2; the owner 3 -> 1 when it    that died leaves it, and it counts as BEGUN.
--          waits no longer

local core = require("mproc.core")

local of_core = core.pool

local protocol = {
  ROOM_SECONDS = 5, -- how long post_when_room waits for room in a full arena
  QUEUED = 0, BEGUN = 1, CANCELLED = 2, ASKED = 3, -- states of a cancel flag
  NO_ROOM = 1, -- why a worker ends by itself: it could not deliver for ROOM_SECONDS
}

for name, value in pairs(of_core) do -- post, inbox, receive, done, ask, leased, words, running; modes, statuses
  protocol[name] = value
end

local ROOM_NAP = 0.001 -- between two tries
local FLAGS = 65535 -- jobs beyond so many at once have none: they cannot be called off

local post, time = protocol.post, core.time

-- --- modes ---

-- MAP, STAR, CALL or RETIRE.
function protocol.verb(mode)
  return mode & protocol.VERB_MASK
end

-- Whether the mode has that flag.
function protocol.has(mode, flag)
  return mode & flag ~= 0
end

-- --- a full arena ---

-- As post, which it tries again while there is no room, for ROOM_SECONDS. Others make room when they read.
function protocol.post_when_room(queue, ...)
  local posted, reason, name = post(queue, ...)
  if posted or name ~= "ENOMEM" then
    return posted, reason, name
  end
  local deadline = time() + protocol.ROOM_SECONDS
  repeat
    core.sleep(ROOM_NAP)
    posted, reason, name = post(queue, ...)
  until posted or name ~= "ENOMEM" or time() > deadline
  return posted, reason, name
end

local REASONS = {
  [protocol.NO_ROOM] = ("the arena was full for %d s, so it could not deliver what it had; read some messages first, "
    .. "or set MPROC_ARENA higher before the program starts"):format(protocol.ROOM_SECONDS),
}

local reason = of_core.reason

-- Why the worker with these words ended by itself, as a text, or nil. With a number: it is going to.
function protocol.reason(words, number)
  return REASONS[reason(words, number)]
end

-- --- cancel flags ---

-- A pool's flags; or nil, message, NAME.
function protocol.flags()
  local array, message, name = core.array("uint8", FLAGS)
  if not array then
    return nil, message, name
  end
  return { array = array, free = {}, nfree = 0, used = 0 }
end

-- A flag, or 0.
function protocol.take_flag(flags)
  local n = flags.nfree
  if n > 0 then
    flags.nfree = n - 1
    return flags.free[n]
  elseif flags.used < FLAGS then
    flags.used = flags.used + 1
    return flags.used
  end
  return 0
end

-- No message names it any more.
function protocol.return_flag(flags, flag)
  if flag ~= 0 then
    flags.array[flag] = protocol.QUEUED
    local n = flags.nfree + 1
    flags.free[n] = flag
    flags.nfree = n
  end
end

function protocol.has_begun(flags, flag)
  return flag == 0 or flags.array[flag] == protocol.BEGUN
end

-- True when nothing of the job had begun; then nothing will.
function protocol.try_cancel(flags, flag)
  return flag ~= 0 and flags.array:compare_exchange(flag, protocol.QUEUED, protocol.CANCELLED)
end

-- What has not begun will not, and chunks end early.
function protocol.cancel(flags, flag)
  if flag ~= 0 then
    flags.array[flag] = protocol.CANCELLED
  end
end

-- For workers: the job may begin, or go on.
function protocol.claim(flags, flag)
  if flag == 0 then
    return true
  end
  local _, before = flags.array:compare_exchange(flag, protocol.QUEUED, protocol.BEGUN)
  return before ~= protocol.CANCELLED
end

function protocol.is_cancelled(flags, flag)
  return flag ~= 0 and flags.array[flag] == protocol.CANCELLED
end

-- --- transports ---

-- How tasks get to workers and results back, through two queues: post(tasks, header, what, ...), receive(inbox,
-- timeout), done(inbox, generation). pool/worker/inline.lua makes one without workers.
function protocol.transport(tasks, results)
  return {
    inline = false, tasks = tasks, inbox = protocol.inbox(results), orphans = protocol.inbox(tasks, "orphans"),
    post = protocol.post, receive = protocol.receive, done = protocol.done, absorb = protocol.absorb,
    pending = protocol.pending,
  }
end

return protocol
