-- SPDX-License-Identifier: MIT
-- Worker programs of a spec's own: `mproc worker`, started from this tree, ended by pid.
--
--   local f = fleet.start(url, 2, { processes = 1, lease = 6, allow = "redis.spec.support.tasks.*" })
--   f:kill(1)  f:signal(1, "STOP")  f:start(1)  f:stop()

local mproc = require("mproc")
local server = require("redis.spec.support.server")

local Fleet = {}
Fleet.__index = Fleet

local fleet = {}

local LUA = os.getenv("LUA") or "lua5.4"
local ALLOW = "redis.spec.support.tasks.*"
local END_SECONDS = 10

-- Starts the i-th worker, which must not live.
function Fleet:start(i)
  local options = self.options
  local command = ("%s exec %s bin/mproc worker '%s' -j %d --allow '%s' %s"):format(options.env or "", LUA, self.url,
    options.processes or 1, options.allow or ALLOW, options.more or "")
  if options.lease then
    command = ("%s --lease %g"):format(command, options.lease)
  end
  self.pids[i] = math.tointeger(tonumber(server.output_of(("{ %s >>%s 2>&1 </dev/null & echo $!; }"):format(command,
    self.log))))
  return self.pids[i]
end

-- n worker programs for the queue at url.
function fleet.start(url, n, options)
  local self = setmetatable({ url = url, options = options or {}, pids = {}, log = os.tmpname() }, Fleet)
  for i = 1, n do
    self:start(i)
  end
  return self
end

function Fleet:signal(i, name)
  return os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pids[i]))
end

-- Waits for its end.
function Fleet:await_end(i)
  local deadline = mproc.time() + END_SECONDS
  while server.runs(self.pids[i]) do
    assert(mproc.time() < deadline, "a worker does not end: " .. self:said())
    mproc.sleep(0.01)
  end
end

function Fleet:kill(i)
  self:signal(i, "KILL")
  self:await_end(i)
end

-- What all of them have said.
function Fleet:said()
  local file <close> = io.open(self.log)
  self.last_words = file and file:read("a") or self.last_words
  return self.last_words
end

-- In order, so that nothing is left at the server; then by force.
function Fleet:stop()
  for i = 1, #self.pids do
    self:signal(i, "CONT")
    self:signal(i, "TERM")
  end
  for i = 1, #self.pids do
    if not pcall(self.await_end, self, i) then
      self:kill(i)
    end
  end
  self:said()
  os.remove(self.log)
end

return fleet
