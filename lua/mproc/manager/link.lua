-- SPDX-License-Identifier: MIT
-- A caller's side of a manager of its own tree: requests and replies. Used by init.lua and proxy.lua.
--
-- There is one link for each manager that this Lua state has to do with: all proxies and handles share it. A forked
-- child makes one of its own at its first call, for its parent's replies are not its own.
-- link.calls[1 .. depth] are the numbers of the calls under way: more than one when a finalizer, or a hook that
-- encodes or decodes, calls a manager meanwhile. The inner one ends first, and keeps what comes for the outer ones in
-- link.arrived. All of this runs under core.shield.
--
-- What a survivor sees: a manager that is killed leaves its requests unread; who waits for a reply learns of the
-- death by the manager's entry in the registry, once nothing more is in the queue of replies. A caller that is killed
-- leaves its request, which is carried out, and a reply that nobody reads; both queues go with their last holder.

local core = require("mproc.core")
local errors = require("mproc.errors")
local manager_errors = require("mproc.manager.errors")
local protocol = require("mproc.manager.protocol")

local link_of = {}

local SHORT = 0.005 -- seconds that a reply is waited for before its manager's life is asked for
local SLICE = 0.1 -- a finalizer may take the reply while one falls asleep
local post, take, exchange = protocol.post, protocol.take, protocol.exchange
local time, self_ref = core.time, core.self
local CALL, RETURNED, NUMBER_MASK, NANO = protocol.CALL, protocol.RETURNED, protocol.NUMBER_MASK, protocol.NANO

local Link = { __close = protocol.end_innermost_call }
Link.__index = Link

local links = setmetatable({}, { __mode = "v" }) -- a manager's name among processes -> this process's link

-- of: { ref, pid, name, requests } of a manager, as they travel, or another process's link.
function link_of.new(of)
  local link = links[of.ref]
  if link and link.caller == self_ref() then
    link.door = link.door or of.door
    return link
  end
  link = setmetatable({
    ref = of.ref, pid = of.pid, name = of.name, address = of.address, requests = of.requests, door = of.door,
    ended = of.ended, dead = of.dead or false, caller = self_ref(), replies = false, inbox = false, number = 0,
    hello = false, welcome = false, seq = 0, methods = {}, nmethods = 0, calls = {}, depth = 0, arrived = {},
    peer = false, here = core.state.served_manager == of.ref and self_ref() == of.ref,
  }, Link)
  links[of.ref] = link
  return link
end

-- --- replies ---

local await

local function keep_for_others(link, seq, ...)
  for i = 1, link.depth - 1 do
    if link.calls[i] == seq then
      link.arrived[seq] = table.pack(...)
    end
  end
end

-- Returns the reply's word, its chunk, whether its values could be decoded, and them. What take gave follows.
local function sort(link, seq, deadline, taken, id, of, word, _, _, _, _, ok, ...)
  if not taken then
    return link:watch(seq, deadline)
  elseif word == protocol.WELCOME then
    link.number, link.welcome = id, table.pack(...)
  end
  if of == seq then
    return word, id, ok, ...
  end
  keep_for_others(link, of, word, id, ok, ...)
  return await(link, seq, deadline)
end

-- What nobody will read may carry the queue's own handle, by a proxy, and would keep it for ever.
function Link:die()
  self.dead = true
  protocol.discard(self.requests)
end

local function sort_last(link, seq, taken, ...)
  if taken then
    return sort(link, seq, nil, taken, ...)
  end
  link:die()
  return nil, "died"
end

-- Nothing has come for a while. The word …; nil, "timeout"; nil, "died".
function Link:watch(seq, deadline)
  local left = deadline and deadline - time()
  if self.arrived[seq] or seq == self.hello and self.welcome then
    return await(self, seq, deadline)
  elseif self.dead or not core.peer_alive(self.ref) then
    return sort_last(self, seq, take(self.inbox, 0))
  elseif left and left <= 0 then
    return nil, "timeout"
  end
  self.peer = self.peer or core.peer(self.ref, self.pid)
  core.wait({ self.replies, self.peer }, 2, math.min(left or SLICE, SLICE))
  return await(self, seq, deadline)
end

function await(link, seq, deadline)
  local arrived = link.arrived[seq]
  if arrived then
    return table.unpack(arrived, 1, arrived.n)
  elseif seq == link.hello and link.welcome then
    return protocol.WELCOME
  end
  local patience = SHORT
  if deadline then
    patience = math.min(SHORT, deadline - time())
  end
  return sort(link, seq, deadline, take(link.inbox, patience))
end

-- --- requests ---

-- What ends it is the link's __close.
local function under_way(link, seq)
  local depth = link.depth + 1
  link.calls[depth] = seq
  link.depth = depth
  return link
end

local function next_number(link)
  local seq = link.seq + 1 & NUMBER_MASK
  link.seq = seq
  return seq
end

local function not_posted(link, reason, name)
  if name == "EPIPE" then
    link:die()
    manager_errors.raise_died(link)
  end
  errors.raise("cannot send the call: %s", reason)
end

-- what: the values' name in an error.
local function send(link, what, id, seq, verb, method, deadline, ...)
  deadline = deadline and deadline * NANO // 1 | 0 or 0
  local sent, reason, name = post(link.requests, id, seq, verb, method, link.number, deadline, what, ...)
  if sent then
    return
  elseif name then
    return not_posted(link, reason, name)
  end
  local bytes, precise, refused = core.pack(table.pack(...), what)
  errors.raise_unsendable(bytes and reason or precise, not bytes and refused)
end

local function greet(link)
  if link.hello then
    return
  end
  local replies, message = core.queue()
  if not replies then
    errors.raise("cannot call the manager: %s", message)
  end
  link.replies, link.inbox, link.hello = replies, protocol.inbox(replies), next_number(link)
  send(link, "replies", 0, link.hello, protocol.HELLO, 0, nil, replies, self_ref())
end

-- True once this process is known there; nil, "timeout" or "died". Raises what kept the manager from it.
local function enter(link, deadline)
  greet(link)
  local _ <close> = under_way(link, link.hello)
  local word, why, _, err = await(link, link.hello, deadline)
  if word and word ~= protocol.WELCOME then -- it had no memory for one more caller; the next call asks anew
    link.hello = false
    error(err, 0)
  end
  return word and true, why
end

-- The method's number, which the manager is told first; 0 when it has none.
local function number_of(link, name)
  if link.nmethods >= protocol.NAMES_MOST then
    return 0
  end
  local number = link.nmethods + 1
  link.nmethods = number
  send(link, "name", 0, 0, protocol.NAME, number, nil, name)
  link.methods[name] = number
  return number
end

-- --- what a reply comes to ---

local function conclude(link, what, word, id, ok, ...)
  if word == protocol.RETURNED and ok then
    return ...
  elseif ok and (word == protocol.CREATED or word == protocol.GOT) then
    return id, ...
  elseif word == protocol.REFUSED and ok then
    errors.raise("%s", (...))
  elseif word then -- FAILED, or a result that cannot be decoded
    error((...), 0)
  elseif id == "died" then
    manager_errors.raise_died(link, what)
  end
  return nil, id
end

local function ready(link, deadline)
  if link.ended or link.dead then
    manager_errors.raise_died(link)
  end
  local ok, why = true, nil
  if link.number == 0 then
    ok, why = enter(link, deadline)
  end
  if why == "died" then
    manager_errors.raise_died(link)
  end
  return ok
end

-- What exchange gave follows.
local function sort_out(link, id, name, seq, deadline, word, kind, ...)
  if word == true and kind == RETURNED then
    return ...
  elseif word == true then
    return conclude(link, name, kind, id, true, ...)
  elseif word == 0 then
    return conclude(link, name, link:watch(seq, deadline))
  elseif word == 1 then
    return conclude(link, name, sort(link, seq, deadline, true, kind, ...))
  elseif word == false then
    return errors.raise_unsendable(kind, (...))
  end
  return not_posted(link, kind, (...))
end

-- The results of the object's method; or nil, "timeout". deadline: or nil.
function Link:call(id, name, deadline, ...)
  local method = self.methods[name]
  if not method or self.dead or self.ended then
    if not ready(self, deadline) then
      return nil, "timeout"
    end
    method = self.methods[name] or number_of(self, name)
  end
  if method == 0 then
    return self:call_by_name(id, name, deadline, ...)
  end
  local seq <const>, depth <const> = self.seq + 1 & NUMBER_MASK, self.depth + 1
  self.seq, self.calls[depth], self.depth = seq, seq, depth
  local _ <close> = self
  return sort_out(self, id, name, seq, deadline, exchange(self.requests, id, seq, CALL, method, self.number,
    deadline and deadline * NANO // 1 | 0 or 0, self.inbox, ...))
end

-- The same, of a method that has no number.
function Link:call_by_name(id, name, deadline, ...)
  local seq = next_number(self)
  local _ <close> = under_way(self, seq)
  send(self, "args", id, seq, CALL, 0, deadline, name, ...)
  return conclude(self, name, await(self, seq, deadline))
end

-- The object's number, and what came with it.
local function ask(self, verb, name, ...)
  ready(self)
  local seq = next_number(self)
  local _ <close> = under_way(self, seq)
  send(self, "args", 0, seq, verb, 0, nil, name, ...)
  return conclude(self, "it", await(self, seq))
end

-- The object that the constructor makes, and the end of a pipe that keeps it.
function Link:create(name, ...)
  return ask(self, protocol.CREATE, name, ...)
end

-- The object by that name.
function Link:get(name)
  return ask(self, protocol.GET, name)
end

-- What the manager has said at first: its address; or nil, message, NAME.
function Link:greeting()
  ready(self)
  return table.unpack(self.welcome, 1, self.welcome.n)
end

-- No answer but its end.
function Link:shut_down()
  if not self.dead then
    post(self.requests, 0, 0, protocol.SHUTDOWN, 0, self.number, 0, "nothing")
  end
  self.ended = true
end

return link_of
