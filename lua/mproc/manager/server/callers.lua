-- SPDX-License-Identifier: MIT
-- The callers of a manager within its tree: requests from its queue, replies into theirs. Used by server/init.lua.
--
-- A caller is { number, replies, ref (its process), names (number -> a method's name) }. One that has died is
-- forgotten, with what it did not take from its queue.

local core = require("mproc.core")
local errors = require("mproc.errors")
local objects = require("mproc.manager.server.objects")
local protocol = require("mproc.manager.protocol")

local callers = {}

local report, time, call_user = protocol.report, core.time, protocol.call
local RETURNED, FAILED, REFUSED = protocol.RETURNED, protocol.FAILED, protocol.REFUSED
local CALL, RESULTS_MOST, NANO = protocol.CALL, protocol.RESULTS_MOST, protocol.NANO
local call_method, describe = objects.call_method, objects.describe

-- Why a reply was not sent: what the codec says is the caller's error; for a dead one there is nobody to tell.
local function reply_again(caller, chunk, seq, word, reason, name, ...)
  if name == "ENOMEM" and protocol.when_room(report, caller.replies, chunk, seq, word, 0, 0, 0, "result", ...) then
    return true
  elseif name and name ~= "ENOMEM" then
    return false
  end
  local text = name and "the arena is full, so that the result could not be sent" or reason
  if not name and type(text) ~= "string" and report(caller.replies, chunk, seq, FAILED, 0, 0, 0, "error", text) then
    return false -- what a hook raised
  end
  report(caller.replies, chunk, seq, FAILED, 0, 0, 0, "error", errors.text_of(text))
  return false
end

-- Whether it was sent as it is.
local function reply(caller, chunk, seq, word, ...)
  local sent, reason, name = report(caller.replies, chunk, seq, word, 0, 0, 0, "result", ...)
  if sent then
    return true
  end
  return reply_again(caller, chunk, seq, word, reason, name, ...)
end

local function answer(caller, id, seq, ok, ...)
  if ok then
    return reply(caller, id, seq, RETURNED, ...)
  end
  return reply(caller, id, seq, ok == nil and REFUSED or FAILED, (...))
end

-- --- verbs: each (state, caller, id, seq, method, decoded, values...) ---

local verbs = {}

verbs[protocol.NAME] = function(_, caller, _, _, method, ok, name)
  caller.names[method] = ok and name or nil
end

local function call(state, caller, id, seq, name, ok, ...)
  if not ok then
    return reply(caller, id, seq, FAILED, (...))
  end
  return answer(caller, id, seq, objects.call(state.entries[id], name, ...))
end

-- What came of a call, which is mostly that it returned.
local function answer_call(caller, id, seq, ok, ...)
  if ok and select("#", ...) <= RESULTS_MOST then
    local sent, reason, name = report(caller.replies, id, seq, RETURNED, 0, 0, 0, "result", ...)
    return sent or reply_again(caller, id, seq, RETURNED, reason, name, ...)
  end
  return answer(caller, id, seq, objects.outcome(ok, ...))
end

verbs[CALL] = function(state, caller, id, seq, method, ok, ...)
  if method ~= 0 then
    return call(state, caller, id, seq, caller.names[method], ok, ...)
  elseif ok then
    return call(state, caller, id, seq, (...), ok, select(2, ...))
  end
  return call(state, caller, id, seq, nil, ok, ...)
end

verbs[protocol.CREATE] = function(state, caller, _, seq, _, ok, ...)
  if not ok then
    return reply(caller, 0, seq, FAILED, (...))
  end
  local entry, failed, err = objects.create(state, ...)
  if not entry then
    return answer(caller, 0, seq, failed, err)
  end
  local its_end, message = objects.lend(entry)
  if not its_end then
    reply(caller, 0, seq, FAILED, "cannot make the object: " .. message)
  else
    reply(caller, entry.id, seq, protocol.CREATED, its_end)
    its_end:close()
  end
  objects.look(state, entry) -- what was not sent has no proxy
end

verbs[protocol.GET] = function(state, caller, _, seq, _, ok, name)
  if not ok then
    return reply(caller, 0, seq, FAILED, name)
  end
  local id, why = objects.find(state, name)
  return reply(caller, id or 0, seq, id and protocol.GOT or REFUSED, why)
end

verbs[protocol.SHUTDOWN] = function(state)
  state.ending = true
end

-- --- callers ---

local function welcome(state, seq, ok, replies, ref)
  if not ok then
    return
  end
  local number = state.next_caller
  state.next_caller = number + 1
  local caller = { number = number, replies = replies, ref = ref, names = {} }
  state.callers[number] = caller
  local greeting = state.greeting
  reply(caller, number, seq, protocol.WELCOME, greeting[1], greeting[2], greeting[3])
end

-- A message that came, as take gives it. False when none did.
function callers.take(state, taken, id, seq, verb, method, number, deadline, _, ok, ...)
  if not taken then
    return false
  elseif verb == CALL and method ~= 0 and ok and deadline == 0 then -- the short way
    local caller, entry = state.callers[number], state.entries[id]
    local name = caller and caller.names[method]
    if entry and name then
      answer_call(caller, id, seq, call_user(call_method, describe, entry, name, ...))
      return true
    end
  elseif verb == protocol.HELLO then
    welcome(state, seq, ok, ...)
    return true
  end
  local caller = state.callers[number]
  if deadline ~= 0 and time() * NANO >= deadline then
    return true -- its caller has given up
  end
  local act = verbs[verb]
  if act and (caller or verb == protocol.SHUTDOWN) then
    act(state, caller, id, seq, method, ok, ...)
  end
  return true
end

-- Ends of objects' pipes that it was sent and has not taken.
local function drain(replies)
  local inbox = protocol.inbox(replies)
  local function take(taken, _, _, word, _, _, _, _, ok, value)
    if taken and word == protocol.CREATED and ok then
      value:close()
    end
    return taken
  end
  repeat
    local more = take(protocol.take(inbox, 0))
  until not more
end

-- Forgets callers whose processes have died.
function callers.sweep(state)
  for number, caller in next, state.callers do
    if not core.peer_alive(caller.ref) then
      state.callers[number] = nil
      drain(caller.replies)
      state.garbage = true
    end
  end
end

return callers
