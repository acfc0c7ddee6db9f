-- SPDX-License-Identifier: MIT
-- One connection to a server: by TCP, TLS or a Unix socket. Used by session.lua and sentinel.lua.
-- Invariant: once it is open, no call waits but exchange().
--
-- What fails gives nil, message, kind: "disconnected" (try again), "refused" (the server, or its certificate, says
-- no).

local mproc = require("mproc")
local resp = require("mproc.far.redis.resp")
local socket = require("socket")

local Connection = {}
Connection.__index = Connection

local connection = {}

local READ = 65536 -- bytes asked for at a time
local SLICE = 0.05 -- of a wait in exchange, between looks at the clock
local WOULD_BLOCK = { timeout = true, wantread = true, wantwrite = true }
local CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
local SUBJECT_ALT_NAME = "2.5.29.17"

-- --- TLS ---

local function is_there(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local function tls_parameters(target)
  local verify = target.verify ~= "none"
  local file = target.cafile or is_there(CERTIFICATES) and CERTIFICATES or nil
  return {
    mode = "client", protocol = "any", options = { "all", "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
    verify = verify and "peer" or "none", cafile = verify and file or nil, certificate = target.cert, key = target.key,
  }
end

-- Whether a name of a certificate, perhaps *.domain, is the host's.
local function names(pattern, host)
  pattern, host = pattern:lower(), host:lower()
  local domain = pattern:match("^%*(%..+)$")
  return pattern == host or domain ~= nil and host:match("^[^.]+(%..+)$") == domain
end

-- LuaSec checks who has signed a certificate, not for which host it is.
local function is_of_host(certificate, host)
  local all = certificate:extensions()[SUBJECT_ALT_NAME] or {}
  for _, kind in ipairs({ "dNSName", "iPAddress" }) do
    for _, name in ipairs(all[kind] or {}) do
      if names(name, host) then
        return true
      end
    end
  end
  return false
end

local function start_tls(sock, target, host, deadline)
  local ssl = require("ssl")
  local wrapped, message = ssl.wrap(sock, tls_parameters(target))
  if not wrapped then
    return nil, message, "refused"
  end
  host = target.servername or host
  wrapped:sni(host)
  wrapped:settimeout(math.max(deadline - mproc.time(), 0.001))
  local ok, why = wrapped:dohandshake()
  if ok and target.verify ~= "none" and not is_of_host(wrapped:getpeercertificate(), host) then
    ok, why = false, ("the server's certificate is not for %s; servername= in the address names another"):format(host)
  end
  if not ok then
    wrapped:close()
    return nil, "TLS: " .. tostring(why), WOULD_BLOCK[why] and "disconnected" or tostring(why):find("certificate")
      and "refused" or "disconnected"
  end
  return wrapped
end

-- --- opening ---

local function connect_unix(path, deadline)
  local sock = require("socket.unix")()
  sock:settimeout(math.max(deadline - mproc.time(), 0.001))
  local ok, message = sock:connect(path)
  if not ok then
    sock:close()
    return nil, ("%s: %s"):format(path, message), "disconnected"
  end
  return sock
end

-- Whether a socket has met itself: where nobody listens, a connect to a port that the system gives to clients may get
-- that very port, and then succeeds.
local function is_its_own_peer(sock)
  local here, port = sock:getsockname()
  local there, other = sock:getpeername()
  return here == there and tonumber(port) == tonumber(other)
end

local function connect_tcp(host, port, deadline)
  local sock, message = socket.tcp()
  if not sock then
    return nil, message, "disconnected"
  end
  sock:settimeout(math.max(deadline - mproc.time(), 0.001))
  local ok
  ok, message = sock:connect(host, port)
  if ok and is_its_own_peer(sock) then
    ok, message = nil, "connection refused"
  end
  if not ok then
    sock:close()
    return nil, ("%s:%d: %s"):format(host, port, message), "disconnected"
  end
  sock:setoption("tcp-nodelay", true)
  sock:setoption("keepalive", true)
  return sock
end

-- A connection to target's server, or to the one at host and port, before the deadline (of mproc.time). May wait.
function connection.open(target, host, port, deadline)
  local sock, message, kind
  if target.path then
    sock, message, kind = connect_unix(target.path, deadline)
  else
    sock, message, kind = connect_tcp(host, port, deadline)
  end
  if sock and target.tls then
    sock, message, kind = start_tls(sock, target, host, deadline)
  end
  if not sock then
    return nil, message, kind
  end
  sock:settimeout(0)
  return setmetatable({
    sock = sock, fd = sock:getfd(), reader = resp.reader(), out = {}, first = 1, last = 0, at = 1, unsent = 0,
    is_full = false,
  }, Connection)
end

-- --- bytes ---

function Connection:close()
  self.sock:close()
end

-- Puts bytes behind those that are to be sent.
function Connection:put(bytes)
  self.last = self.last + 1
  self.out[self.last] = bytes
  self.unsent = self.unsent + #bytes
end

-- What is to be sent, in one piece: many small commands make one packet.
local function gather(self)
  if self.last > self.first then
    self.out = { table.concat(self.out, "", self.first, self.last) }
    self.first, self.last = 1, 1
  end
  return self.out[self.first]
end

-- Sends what goes without waiting. True; or nil, message when the connection is lost.
function Connection:flush()
  while self.last >= self.first do
    local bytes = gather(self)
    local to, message, partly = self.sock:send(bytes, self.at)
    local upto = to or partly or self.at - 1
    self.unsent, self.at = self.unsent - (upto - self.at + 1), upto + 1
    self.is_full = not to
    if not to then
      return WOULD_BLOCK[message], message
    end
    self.out[self.first], self.at = nil, 1
    self.first = self.first + 1
  end
  self.first, self.last = 1, 0
  return true
end

-- Reads what has come. How many bytes; or nil, message when the connection is lost.
function Connection:read()
  local count = 0
  repeat
    local bytes, message, partly = self.sock:receive(READ)
    bytes = bytes or partly
    if bytes and bytes ~= "" then
      self.reader:feed(bytes)
      count = count + #bytes
    end
    if message and not WOULD_BLOCK[message] then
      return nil, message
    end
  until message
  return count
end

-- The next reply, as the reader has it: true, reply | true, false, text; false: none yet; nil, message.
function Connection:next()
  return self.reader:next()
end

-- --- the beginning of a session ---

local function await_reply(self, deadline)
  local ok, message, left
  repeat
    local there, reply, text = self:next()
    if there ~= false then
      return there, reply, text
    end
    left = deadline - mproc.time()
    ok, message = self:flush()
    if ok and left > 0 then
      mproc.wait({ self.fd }, math.min(left, SLICE))
      ok, message = self:read()
    end
  until not ok or left <= 0
  return nil, message or "no answer in time"
end

-- Sends commands (lists) and waits for all replies, a list; or nil, message, kind at the first error, unless it is
-- one that `forgive` (function(text)) lets pass as false.
function Connection:exchange(commands, deadline, forgive)
  local replies = {}
  for i, command in ipairs(commands) do
    self:put(resp.command(table.unpack(command)))
    replies[i] = false
  end
  for i = 1, #commands do
    local there, reply, text = await_reply(self, deadline)
    if not there then
      return nil, reply, "disconnected"
    elseif text and not (forgive and forgive(text)) then
      return nil, text, connection.kind_of(text)
    end
    replies[i] = reply
  end
  return replies
end

-- --- errors of the server ---

local AWAY = { LOADING = true, READONLY = true, TRYAGAIN = true, CLUSTERDOWN = true, MASTERDOWN = true, MOVED = true,
  ASK = true, UNBLOCKED = true, BUSY = true }
local REFUSED = { NOAUTH = true, WRONGPASS = true, NOPERM = true }

-- "disconnected": it is as if the server were away; "refused": it does not let this user; else "error".
function connection.kind_of(text)
  local word = text:match("^%u+")
  if AWAY[word] then
    return "disconnected"
  end
  return REFUSED[word] and "refused" or "error"
end

return connection
