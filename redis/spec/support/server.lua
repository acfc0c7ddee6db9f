-- SPDX-License-Identifier: MIT
-- Redis servers of a spec's own: in a fresh folder, on a Unix socket and a free port of loopback, ended by pid. Used
-- by the specs of mproc-redis.
--
--   local server = require("redis.spec.support.server")
--   if not server.there() then pending … end         -- no redis-server here: the specs are skipped
--   local s = server.start({ "--appendonly", "yes" })   s.url, s.port, s.path, s.pid, s.folder
--   s:call("XLEN", "x")  s:kill()  s:restart()  s:stop()

local mproc = require("mproc")
local session = require("mproc.far.redis.session")
local socket = require("socket")
local url = require("mproc.far.redis.url")

local Server = {}
Server.__index = Server

local server = {}

local START_SECONDS = 30

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return (text:gsub("%s+$", ""))
end

-- The version of the redis-server that is here, 7.0 say, or nil.
function server.version()
  local text = output_of("redis-server --version 2>/dev/null")
  return tonumber(text:match("v=(%d+%.%d+)"))
end

-- Whether there is one that is new enough.
function server.there()
  return (server.version() or 0) >= 6.2
end

server.output_of = output_of

local PORTS_FROM, PORTS_TO = 20000, 32000 -- none of those that the system gives to clients, which would be met again

local function free_port()
  while true do
    local port = math.random(PORTS_FROM, PORTS_TO)
    local listener = socket.bind("127.0.0.1", port)
    if listener then
      listener:close()
      return port
    end
  end
end

server.free_port = free_port

-- Whether a process is there, and no zombie.
function server.runs(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  return file ~= nil and not file:read("a"):find("^%d+ %b() [ZX]")
end

local function exec(self)
  local command = ("exec %s --port %d --bind 127.0.0.1 --unixsocket %s --save '' --dir %s --daemonize no "
    .. "--logfile %s/log --maxmemory-policy noeviction %s"):format(self.program, self.port, self.path, self.folder,
    self.folder, self.options)
  self.pid = math.tointeger(tonumber(output_of(("{ %s >/dev/null 2>&1 </dev/null & echo $!; }"):format(command))))
end

local function answer(self)
  local s = session.new(assert(url.parse(self.unix_url)))
  local pong, text, kind = s:call(0.5, "PING")
  s:close()
  return pong or kind == "refused", text
end

-- Starts it, and waits until it answers. One that was killed may hold its port for a moment after it has become a
-- zombie: its threads end later. Then the new one ends, and is started again.
local function launch(self)
  local deadline = mproc.time() + START_SECONDS
  local there, said
  exec(self)
  repeat
    there, said = answer(self)
    if not there and not server.runs(self.pid) then
      mproc.sleep(0.05)
      exec(self)
    end
    mproc.sleep(there and 0 or 0.02)
  until there or mproc.time() > deadline
  if not there then
    error(("the server did not start: %s\n%s"):format(said, output_of("tail -n 20 " .. self.folder .. "/log")))
  end
end

-- options: a list of words for redis-server; options.url: how it is reached, %d being its port.
function server.start(options)
  options = options or {}
  local self = setmetatable({
    folder = output_of("mktemp -d /tmp/mproc-redis-XXXXXX"), port = options.port or free_port(),
    program = "redis-server", options = table.concat(options, " "),
  }, Server)
  self.path = self.folder .. "/socket"
  self.url = (options.url or "redis://127.0.0.1:%d/0?queue=spec"):format(self.port)
  self.unix_url = ("redis+unix://%s?queue=spec"):format(self.path)
  launch(self)
  return self
end

-- A session over the Unix socket, as the default user.
function Server:session(options)
  return session.new(assert(url.parse(self.unix_url)), options)
end

-- A command's reply. Raises for errors.
function Server:call(...)
  if not self.control or self.control.closed then
    self.control = self:session()
  end
  local reply, text = self.control:call(10, ...)
  if reply == nil then
    error(text, 2)
  end
  return reply
end

local function signal(self, name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end

Server.signal = signal

local function gone(self)
  local deadline = mproc.time() + START_SECONDS
  while server.runs(self.pid) do
    assert(mproc.time() < deadline, "the server does not end")
    mproc.sleep(0.01)
  end
end

function Server:kill()
  signal(self, "KILL")
  gone(self)
  if self.control then
    self.control:close()
  end
end

function Server:restart()
  launch(self)
end

function Server:stop()
  self:kill()
  os.execute("rm -rf " .. self.folder)
end

-- Names of all keys, sorted.
function Server:keys()
  local all = self:call("KEYS", "*")
  table.sort(all)
  return all
end

return server
