-- SPDX-License-Identifier: MIT
-- What managers and those who call them say to each other. Used by all of mproc.manager.
--
-- In a tree of processes: messages of queues with the header that pools' messages have (src/bind/pool_message.h), so
-- that whose message it was is known even when its values cannot be decoded. Requests go into one queue per manager,
-- replies into one per caller (a Lua state of a process).
--
--              chunk             offset  kind     count             who         value       values
--   request    the object, or 0  number  a verb   a method's number the caller  deadline ns what the verb says
--   reply      the object, or    number  a word   0                 0           0           what the word says
--              the caller
--
-- A request's number is the caller's own, and its reply has the same: so a reply that nobody waits for any more,
-- after a time-out say, is known and dropped. deadline: on the monotonic clock, when the caller gives up; 0: never.
--
-- Over a socket: tables, as connections carry them; bytes are what pack_abroad makes of one table.
--   request    { number, verb, object, name, bytes of { n =, arguments ... } }
--   reply      { number, "object", object } or { number, "refused", text }
--              { number, "returned", bytes of { n =, results ... } } or { number, "failed", bytes of { the error } }

local core = require("mproc.core")

local of_core = core.pool

local protocol = {
  -- verbs
  HELLO = 32, -- who calls: its queue for replies and its name among processes; answered by WELCOME
  NAME = 33, -- the method of that number is called so; no answer
  CALL = 34, -- the arguments; without a method's number, its name before them
  CREATE = 35, -- the constructor's name, and its arguments
  GET = 36, -- the object's name
  SHUTDOWN = 37, -- no answer but the manager's end
  -- words
  WELCOME = 48, -- chunk: the caller's number; values: the address, if it listens; or nil, message, NAME
  RETURNED = 49, -- all results
  FAILED = 50, -- the error
  REFUSED = 51, -- a text: the caller's mistake
  CREATED = 52, -- chunk: the object; value: the end of a pipe whose last holder is the object's
  GOT = 53, -- chunk: the object

  NAMES_MOST = 1000, -- methods that have numbers, of one caller
  RESULTS_MOST = of_core.RESULTS_MAX,
  NUMBER_MASK = 0xffffffff,
  NANO = 1e9,
}

for _, name in ipairs({ "post", "report", "inbox", "take", "exchange", "call", "heed_sigterm", "told_to_end",
  "discard", "pack_abroad" }) do
  protocol[name] = of_core[name]
end

local ABROAD = { abroad = true }

-- The list that pack_abroad made bytes of, and its n, which is `most` at most; nil for anything else.
function protocol.read_list(bytes, most)
  local list = type(bytes) == "string" and core.decode(bytes, ABROAD)
  local n = type(list) == "table" and rawget(list, "n")
  if math.type(n) == "integer" and n >= 0 and n <= most then
    return list, n
  end
end

local ROOM_SECONDS = 5 -- how long a full arena is waited for
local ROOM_NAP = 0.001

-- As post or report (`how`), which it tries again while the arena is full. Others make room when they read.
function protocol.when_room(how, ...)
  local posted, reason, name = how(...)
  local deadline = name == "ENOMEM" and core.time() + ROOM_SECONDS
  while name == "ENOMEM" and core.time() < deadline do
    core.sleep(ROOM_NAP)
    posted, reason, name = how(...)
  end
  return posted, reason, name
end

-- The __close of a link: its innermost call is over.
function protocol.end_innermost_call(link)
  local depth = link.depth
  link.arrived[link.calls[depth]] = nil
  link.calls[depth] = nil
  link.depth = depth - 1
end

return protocol
