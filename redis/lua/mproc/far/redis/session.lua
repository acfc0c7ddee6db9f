-- SPDX-License-Identifier: MIT
-- A session with a server: outlives its connections. Used by the keeper, by worker programs and by mproc top.
--
-- Commands are pipelined; each has a callback or nil. A session is down until step() has connected, and again when
-- the connection was lost, or when a reply says that this server is none to talk to for now (LOADING, READONLY,
-- MOVED …). Then every callback that still waits is called with an error of kind "disconnected", and step() tries
-- again after 0.1, 0.2 … 5 s, with jitter.
--
-- Invariants: replies are matched by two counters, never by the length of a table; a callback has left the table
-- before it is called, so one that raises takes nobody's place. What raises passes through step(), and the session
-- goes on.

local connection = require("mproc.far.redis.connection")
local mproc = require("mproc")
local resp = require("mproc.far.redis.resp")
local scripts = require("mproc.far.redis.scripts")
local sentinel = require("mproc.far.redis.sentinel")

local Session = {}
Session.__index = Session

local session = {}

local CONNECT_SECONDS = 3 -- for all that a connect takes
local ANSWER_SECONDS = 6 -- without a byte while replies are awaited: the connection is lost
local RETRY_FIRST, RETRY_MOST = 0.1, 5
local FLUSH_NAP = 0.002 -- until more can be sent, when the socket was full
local NOTHING = function() end

local command, time = resp.command, mproc.time

-- options: scripts (names of those that it calls), on_up(session), on_down(session, text, kind), answer_within
-- (seconds). Does not connect yet.
function session.new(target, options)
  options = options or {}
  return setmetatable({
    target = target, scripts = options.scripts or {}, on_up = options.on_up or NOTHING,
    on_down = options.on_down or NOTHING, answer_within = options.answer_within or ANSWER_SECONDS,
    up = false, closed = false, failures = 0, retry_at = 0, waiting = 0, first = 1, last = 0, callbacks = {}, heard = 0,
  }, Session)
end

-- --- up and down ---

-- After a failure: when the next try is.
local function back_off(self)
  self.failures = self.failures + 1
  local delay = math.min(RETRY_MOST, RETRY_FIRST * 2 ^ math.min(self.failures - 1, 10))
  self.retry_at = time() + delay * (0.5 + math.random() / 2)
end

local function fail_waiting(self, text)
  while self.last >= self.first do
    local callback = self.callbacks[self.first]
    self.callbacks[self.first] = nil
    self.first, self.waiting = self.first + 1, self.waiting - 1
    if callback then
      callback(nil, text, "disconnected")
    end
  end
end

-- The connection is given up. What waits for replies is told so.
local function drop(self, text, kind)
  if self.connection then
    self.connection:close()
    self.connection = nil
  end
  local was_up = self.up
  self.up, self.trouble = false, { text = text, kind = kind or "disconnected" }
  back_off(self)
  fail_waiting(self, text)
  if was_up or kind == "refused" or self.failures == 1 then
    self.on_down(self, text, kind or "disconnected")
  end
end

-- What is said first on each connection. The last are the scripts.
local function greeting(self)
  local target, commands = self.target, {}
  if target.password and target.password ~= "" then
    local has_user = (target.user or "") ~= ""
    commands[1] = has_user and { "AUTH", target.user, target.password } or { "AUTH", target.password }
  end
  if target.db > 0 then
    commands[#commands + 1] = { "SELECT", target.db }
  end
  if target.sentinels then
    commands[#commands + 1] = { "ROLE" }
  end
  for _, name in ipairs(self.scripts) do
    commands[#commands + 1] = { "SCRIPT", "LOAD", scripts[name] }
  end
  return commands
end

-- A user may be kept from asking for the role; then the first write tells.
local function forgive_role(text)
  return text:find("^NOPERM.*role") ~= nil
end

local function read_greeting(self, replies)
  local n = #replies
  for i, name in ipairs(self.scripts) do
    scripts.learn(name, replies[n - #self.scripts + i])
  end
  local role = self.target.sentinels and replies[n - #self.scripts]
  if role and role[1] ~= "master" then
    return nil, ("the server is a %s"):format(role[1]), "disconnected"
  end
  return true
end

-- A connection over which all is said that comes first; or nil, message, kind.
local function open(self)
  local target, deadline = self.target, time() + CONNECT_SECONDS
  local host, port = target.host, target.port
  if self.moved then
    host, port, self.moved = self.moved.host, self.moved.port, nil
  elseif target.sentinels then
    local message, kind
    host, port, kind = sentinel.master(target, deadline)
    message = port
    if not host then
      return nil, message, kind
    end
  end
  local c, message, kind = connection.open(target, host, port, deadline)
  if not c then
    return nil, message, kind
  end
  local replies
  replies, message, kind = c:exchange(greeting(self), deadline, forgive_role)
  if replies then
    replies, message, kind = read_greeting(self, replies)
  end
  if not replies then
    c:close()
    return nil, message, kind
  end
  return c
end

local function connect(self)
  fail_waiting(self, "the connection was lost") -- those that one which raised had kept from being told
  local c, message, kind = open(self)
  if not c then
    drop(self, message, kind)
    return
  end
  self.connection, self.up, self.failures, self.trouble, self.heard = c, true, 0, nil, time()
  self.on_up(self)
end

function Session:close()
  self.closed = true
  if self.connection then
    self.connection:flush()
    self.connection:close()
    self.connection = nil
  end
  self.up = false
  fail_waiting(self, "the session is closed")
end

-- --- commands ---

-- Sends a command: true; false when the session is down, and then no callback is called. callback: function(reply),
-- or function(nil, text, kind) for an error; nil when nobody wants to know.
function Session:send(callback, ...)
  if not self.up then
    return false
  end
  if self.waiting == 0 then
    self.heard = time()
  end
  self.connection:put(command(...))
  self.last, self.waiting = self.last + 1, self.waiting + 1
  self.callbacks[self.last] = callback or false
  return true
end

-- The same for a script, with lists of its keys and arguments.
function Session:script(callback, name, keys, arguments)
  local function again(reply, text, kind)
    if text and text:find("^NOSCRIPT") then
      self:send(nil, "SCRIPT", "LOAD", scripts[name])
      if self:send(callback, scripts.call(name, keys, arguments)) then
        return
      end
    end
    if callback then
      callback(reply, text, kind)
    end
  end
  return self:send(again, scripts.call(name, keys, arguments))
end

-- Where MOVED sends us.
local function note_moved(self, text)
  local host, port = text:match("^MOVED %d+ (.*):(%d+)$")
  if host then
    self.moved = { host = host ~= "" and host or self.target.host, port = tonumber(port) }
  end
end

-- One reply, if it is there: true. A reply that says the server is away ends the connection.
local function take_reply(self)
  local there, reply, text = self.connection:next()
  if there == nil then
    drop(self, reply)
    return false
  elseif not there then
    return false
  end
  local kind = text and connection.kind_of(text)
  if kind == "disconnected" then
    note_moved(self, text)
    drop(self, text)
    self.retry_at = self.moved and 0 or self.retry_at
    return false
  end
  local callback = self.callbacks[self.first]
  self.callbacks[self.first] = nil
  self.first, self.waiting = self.first + 1, self.waiting - 1
  if callback and text then
    callback(nil, text, kind)
  elseif callback then
    callback(reply)
  end
  return true
end

-- Reads, and hears whether the server still lives.
local function listen(self)
  local count, message = self.connection:read()
  if not count then
    drop(self, message)
  elseif count > 0 then
    self.heard = time()
  elseif self.waiting > 0 and time() - self.heard > self.answer_within then
    drop(self, ("the server has not answered for %g s"):format(self.answer_within))
  end
  while self.up and take_reply(self) do
    NOTHING()
  end
end

-- Does what there is to do, without waiting, but for a connect: up to 3 s.
function Session:step()
  if self.closed then
    return
  elseif not self.up then
    if time() >= self.retry_at then
      connect(self)
    end
    if not self.up then
      return
    end
  end
  self:flush()
  if self.up then
    listen(self)
  end
  self:flush()
end

-- Connects once, for those who will not wait for a server that is away: true; or nil, text, kind.
function Session:try()
  if not self.up then
    self:step()
  end
  if self.up then
    return true
  end
  local trouble = self.trouble or { text = "no connection", kind = "disconnected" }
  return nil, trouble.text, trouble.kind
end

-- Sends what can be sent without waiting. Where a full socket takes more, somebody has read: a server that gets a long
-- message over a slow line is not silent.
function Session:flush()
  if self.up then
    local c = self.connection
    local was_full, unsent = c.is_full, c.unsent
    local ok, message = c:flush()
    if not ok then
      drop(self, message)
    elseif was_full and c.unsent < unsent then
      self.heard = time()
    end
  end
end

-- How many bytes are still to be sent.
function Session:unsent()
  return self.connection and self.connection.unsent or 0
end

-- Seconds until step() is to be called though nothing has come.
function Session:patience()
  if self.closed then
    return math.huge
  elseif not self.up then
    return math.max(self.retry_at - time(), 0)
  elseif self.connection.unsent > 0 then
    return FLUSH_NAP
  elseif self.waiting > 0 then
    return math.max(self.heard + self.answer_within - time(), 0) + 0.01
  end
  return math.huge
end

-- Sends a command and waits for its reply, stepping meanwhile: the reply; or nil, text, kind. timeout: seconds.
function Session:call(timeout, ...)
  local deadline, done, reply, text, kind = time() + timeout, false, nil, nil, nil
  local function note(...)
    done, reply, text, kind = true, ...
  end
  local sent = false
  repeat
    sent = sent or self:send(note, ...)
    self:step()
    if not sent and self.trouble and self.trouble.kind == "refused" then
      return nil, self.trouble.text, "refused"
    elseif not done and not (self.up and not sent) then
      session.wait({ self }, {}, math.min(deadline - time(), 1))
    end
  until done or time() >= deadline
  if done then
    return reply, text, kind
  end
  return nil, self.trouble and self.trouble.text or "no answer in time", "disconnected"
end

-- --- waiting ---

-- Waits until one of `others` (what mproc.wait takes) is ready, a session has something to do, or the time is over.
-- Returns a list of the others that are ready. Each session is to be stepped then.
function session.wait(sessions, others, timeout)
  local list, n, least, own = table.move(others, 1, #others, 1, {}), #others, timeout or math.huge, {}
  for _, s in ipairs(sessions) do
    least = math.min(least, s:patience())
    if s.connection then
      n = n + 1
      list[n] = s.connection.fd
      own[s.connection.fd] = true
    end
  end
  least = math.max(least, 0)
  local ready = {}
  for _, each in ipairs(mproc.wait(list, least < math.huge and least or nil) or {}) do
    if not own[each] then
      ready[#ready + 1] = each
    end
  end
  return ready
end

return session
