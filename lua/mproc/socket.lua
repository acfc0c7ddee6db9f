-- SPDX-License-Identifier: MIT
-- Listener and Client: connections over sockets, with the frames and the challenge of Python's
-- multiprocessing.connection (src/wire/frame.h). Used by init.lua. Sending and receiving is in C; here are options,
-- keys and the handshake.
--
-- A handshake is a coroutine, which yields while the other side is silent. So a listener has many at once, and one
-- that is slow, silent or lying holds up nobody: it is dropped when its time is over. Nothing that a peer sends before
-- it has answered is longer than HANDSHAKE_BYTES.

local authkey = require("mproc.authkey")
local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")

local socket = {}

local HANDSHAKE_SECONDS = 10
local HANDSHAKE_BYTES = 256
local PENDING_MOST = 256 -- handshakes at once; the oldest gives way
local BACKLOG = 16
local WELCOME, FAILURE = "#WELCOME#", "#FAILURE#"
local HUNG_UP = "the other side hung up during the handshake"
local MD5_HINT = "the other side knows MD5 alone, as Python before 3.12; allow_md5 = true takes that"

-- --- the handshake ---

-- What comes next, or nil and why not.
local function hear(connection)
  while true do
    local text, word, name = connection:recv_bytes(HANDSHAKE_BYTES, 0)
    if text then
      return text
    elseif word ~= "timeout" then
      return nil, name and word or HUNG_UP
    end
    coroutine.yield()
  end
end

-- Whether nothing more comes.
local function has_ended(connection)
  local text, word
  repeat
    text, word = connection:recv_bytes(HANDSHAKE_BYTES, 0)
  until not text
  return word ~= "timeout"
end

local function say(connection, text)
  local ok, sent, word = pcall(connection.send_bytes, connection, text, 1, -1, 0)
  if ok and sent then
    return true
  elseif not ok and not has_ended(connection) then
    error(sent, 0) -- there was no memory for it
  end
  return nil, ok and word or HUNG_UP
end

-- True when the other side has the key; or nil and why not.
local function deliver_challenge(connection, options)
  local challenge, message = core.challenge()
  local ok, why = challenge, message
  if ok then
    ok, why = say(connection, challenge)
  end
  local answer = ok
  if ok then
    answer, why = hear(connection)
  end
  if not answer then
    return nil, why
  end
  local right, name = core.judge(options.authkey, challenge, answer, options.allow_md5)
  say(connection, right and WELCOME or FAILURE)
  return right or nil, name == "ENOTSUP" and MD5_HINT or "the other side has not our key"
end

local function answer_challenge(connection, options)
  local challenge, why = hear(connection)
  if not challenge then
    return nil, why
  end
  local answer, name = core.answer(options.authkey, challenge, options.allow_md5)
  if not answer then
    return nil, name == "ENOTSUP" and MD5_HINT or "the other side has sent no challenge; does it want a key?"
  end
  local ok
  ok, why = say(connection, answer)
  if not ok then
    return nil, why
  end
  local verdict
  verdict, why = hear(connection)
  return verdict == WELCOME or nil, verdict and "the other side does not take our key" or why
end

-- accepts: who accepts is the first to challenge.
local function shake_hands(connection, options, accepts)
  local first, second = answer_challenge, deliver_challenge
  if accepts then
    first, second = second, first
  end
  local ok, why = first(connection, options)
  if ok then
    ok, why = second(connection, options)
  end
  return ok, why
end

-- --- options ---

local function check_address(address)
  if type(address) ~= "string" or core.is_tcp(address) == nil then
    errors.raise("address must be \"host:port\", a path with a '/' (a Unix socket) or \"@name\", got %s",
      errors.show(address))
  end
  return address
end

local function read_options(given, what, names)
  if type(given) == "string" then
    given = { address = given }
  elseif type(given) ~= "table" then
    errors.raise("%s takes a table of options, as in mproc.%s{ address = \"localhost:6000\" }, got %s", what, what,
      errors.show(given))
  end
  given = check.options(given, ("a %s has"):format(what), names)
  local options = { address = given.address, max_bytes = given.max_bytes }
  for _, name in ipairs({ "trusted", "allow_md5" }) do
    options[name] = given[name] ~= nil and check.flag(name, given[name]) or false
  end
  if given.max_bytes ~= nil then
    check.count("max_bytes", given.max_bytes, 1, "a count of bytes from 1 up")
  end
  if given.authkey == nil then
    options.authkey = authkey.current()
  else
    options.authkey = given.authkey ~= false and authkey.check("authkey (a key, or false for none)", given.authkey)
  end
  return options
end

-- What a connection may be sent to begin with.
local function first_limit(options)
  return options.authkey and HANDSHAKE_BYTES or options.max_bytes
end

local function unlimit(connection, options)
  core.limit_frames(connection, options.max_bytes or 64 << 20)
  return connection
end

-- --- Listener ---

local records = setmetatable({}, { __mode = "k" }) -- listener -> its private record

local methods, properties = {}, {}
local Listener = { __name = "mproc.Listener" }

local function record_of(listener)
  local record = records[listener]
  if not record then
    errors.raise("a listener expected, got %s; call its methods with a colon", errors.show(listener))
  end
  return record
end

-- What a parent has begun is not its child's, who may accept all the same. True, or nil, message, NAME.
local function make_own(record)
  if record.maker == core.getpid() then
    return true
  end
  local ok, message, name = record.raw:renew()
  if ok then
    record.maker, record.pending = core.getpid(), {}
  end
  return ok, message, name
end

local function open_record_of(listener)
  local record = record_of(listener)
  if record.closed then
    errors.raise("the listener is closed")
  end
  return record
end

local function drop(record, i)
  local one = table.remove(record.pending, i)
  record.raw:unwatch(one.fd)
  return one
end

-- True, or nil, message, NAME.
local function begin_handshake(record, connection, peer)
  if #record.pending == PENDING_MOST then
    drop(record, 1).connection:close()
  end
  local fd = connection:fileno()
  local one = { connection = connection, fd = fd, peer = peer, deadline = core.time() + HANDSHAKE_SECONDS }
  one.step = coroutine.wrap(function()
    return true, shake_hands(connection, record.options, true)
  end)
  local watched, message, name = record.raw:watch(fd)
  if not watched then
    connection:close()
    return nil, message, name
  end
  record.pending[#record.pending + 1] = one
  return true
end

-- connection | nil, message, "EAUTH" for one whose handshake is over; nothing when none is.
local function step_pending(record)
  for i = #record.pending, 1, -1 do
    local one = record.pending[i]
    local fine, over, ok, why = pcall(one.step)
    if not fine then -- for want of memory: it cannot go on
      over, ok, why = true, nil, over
    elseif not over and core.time() > one.deadline then
      over, ok, why = true, nil, ("it did not finish the handshake within %d s"):format(HANDSHAKE_SECONDS)
    end
    if over then
      drop(record, i)
    end
    if over and ok then
      record.last_accepted = one.peer
      return unlimit(one.connection, record.options)
    elseif over then
      one.connection:close()
      return nil, ("%s: %s"):format(one.peer or record.address, tostring(why)), "EAUTH"
    end
  end
end

-- The same for whom nobody has looked at yet. A full table of descriptors is an error.
local function step(record)
  local options = record.options
  local connection, peer, name = record.raw:accept(first_limit(options), options.trusted)
  if connection and not options.authkey then
    record.last_accepted = peer
    return connection
  elseif connection then
    local begun, message, code = begin_handshake(record, connection, peer)
    if not begun then
      return nil, message, code
    end
  elseif name then
    return nil, peer, name
  end
  return step_pending(record)
end

-- How long nothing can happen unless somebody writes.
local function patience(record, deadline)
  local now, first = core.time(), deadline
  for _, one in ipairs(record.pending) do
    first = math.min(first or one.deadline, one.deadline)
  end
  return first and math.max(first - now, 0)
end

local function accept(record, timeout)
  local deadline = timeout and core.time() + timeout
  while true do
    local connection, message, name = step(record)
    if connection or name then
      return connection, message, name
    elseif not record.raw:wait(patience(record, deadline)) and deadline and core.time() >= deadline then
      return nil, "timeout"
    end
  end
end

-- accept([timeout]) -> connection | nil, "timeout" | nil, message, NAME ("EAUTH": somebody without the key)
function methods.accept(listener, timeout)
  local record = open_record_of(listener)
  check.timeout(timeout)
  local ok, message, name = make_own(record)
  if not ok then
    return nil, message, name
  end
  return accept(record, timeout)
end

-- fileno() -> a descriptor | nil, message, NAME
function methods.fileno(listener)
  local record = open_record_of(listener)
  local ok, message, name = make_own(record)
  if not ok then
    return nil, message, name
  end
  return record.raw:fileno()
end
methods.getfd, methods.pollfd = methods.fileno, methods.fileno

function methods.events()
  return "r"
end

function methods.timeout() end

function methods.dirty()
  return false
end

function methods.close(listener)
  local record = record_of(listener)
  record.closed = true
  for _, one in ipairs(record.pending) do
    one.connection:close()
  end
  record.pending = {}
  record.raw:close()
end

function properties.address(record)
  return record.address
end

function properties.last_accepted(record)
  return record.last_accepted
end

function Listener.__index(listener, key)
  local property = properties[key]
  if property then
    return property(record_of(listener))
  end
  return methods[key]
end

function Listener.__newindex(_, key)
  errors.raise("a listener has no field '%s' that could be set", tostring(key))
end

function Listener.__tostring(listener)
  local record = record_of(listener)
  return ("mproc.Listener: %s"):format(record.closed and "closed" or record.address)
end

Listener.__close = methods.close
Listener.__gc = function(listener)
  if records[listener] then
    methods.close(listener)
  end
end

function Listener.__mproc_wait(listener)
  local record = record_of(listener)
  if record.closed then
    return nil, "it is closed"
  end
  return record.raw:fileno()
end

function Listener.__mproc_encode()
  return nil, "a listener belongs to one process; send its address"
end

local LISTENER_OPTIONS = { "address", "authkey", "backlog", "trusted", "max_bytes", "allow_md5" }

-- Listener{ address =, ... } -> listener | nil, message, NAME. Without an address: one of the abstract namespace.
function socket.Listener(given)
  local options = read_options(given == nil and {} or given, "Listener", LISTENER_OPTIONS)
  local backlog = type(given) == "table" and given.backlog
  backlog = backlog and check.count("backlog", backlog, 1, "a count of those who may wait, from 1 up", 1 << 16)
    or BACKLOG
  local address = options.address and check_address(options.address) or "@mproc-" .. core.random_name()
  local raw, message, name = core.listen(address, backlog)
  if not raw then
    return nil, message, name
  end
  local listener = setmetatable({}, Listener)
  records[listener] = { raw = raw, address = raw:address(), options = options, pending = {}, closed = false,
    maker = core.getpid() }
  return listener
end

-- --- Client ---

local function shake_within(connection, options, deadline)
  local first = coroutine.wrap(function()
    return true, shake_hands(connection, options, false)
  end)
  while true do
    local over, ok, why = first()
    if over then
      return ok, why, "EAUTH"
    elseif #core.wait({ connection:fileno() }, 1, math.max(deadline - core.time(), 0)) == 0 then
      return nil, "the other side did not finish the handshake in time; does it want a key?", "ETIMEDOUT"
    end
  end
end

local CLIENT_OPTIONS = { "address", "authkey", "timeout", "trusted", "max_bytes", "allow_md5" }

-- Client{ address =, ... } -> connection | nil, message, NAME
function socket.Client(given)
  local options = read_options(given, "Client", CLIENT_OPTIONS)
  local timeout = type(given) == "table" and check.timeout(given.timeout) or nil
  local began = core.time()
  local connection, message, name = core.connect(check_address(options.address), timeout, first_limit(options),
    options.trusted)
  if not connection or not options.authkey then
    return connection, message, name
  end
  local deadline = math.min(core.time() + HANDSHAKE_SECONDS, timeout and began + timeout or math.huge)
  local ok, why, code = shake_within(connection, options, deadline)
  if ok then
    return unlimit(connection, options)
  end
  connection:close()
  return nil, ("%s: %s"):format(options.address, why), code
end

-- For mproc.wait: ready when a whole message is there, or the end.
local function is_ready(connection)
  return connection.closed or connection:poll(0)
end

local Connection = core.class("mproc.SocketConnection")

function Connection.__mproc_wait(connection)
  if connection.closed then
    return nil, "it is closed"
  end
  return connection:fileno(), is_ready
end

return socket
