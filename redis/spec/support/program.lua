-- SPDX-License-Identifier: MIT
-- Worker programs of this tree as processes of a spec: started, watched, ended by pid. Used by the specs of
-- mproc-redis.

local mproc = require("mproc")
local server = require("redis.spec.support.server")

local Program = {}
Program.__index = Program

local program = {}

local JOIN_SECONDS = 20

-- What may be called: spec.support's modules are found from the tree's root.
local MODULES = "redis/spec/modules/?.lua"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Starts mproc worker with these words behind the address; does not wait. environment: words such as "MPROC_URL=...".
function program.launch(address, words, environment)
  local log = os.tmpname()
  local command = ("LUA_PATH=%s %s exec %s bin/mproc worker %s %s"):format(quote(MODULES .. ";" .. package.path),
    environment or "", os.getenv("LUA") or "lua5.4", address and quote(address) or "", words or "")
  local pid = server.output_of(("{ env -u MPROC_URL sh -c %s >%s 2>&1 </dev/null & echo $!; }"):format(quote(command),
    log))
  return setmetatable({ pid = math.tointeger(tonumber(pid)), log = log }, Program)
end

-- The same, and waits until it has joined.
function program.start(address, words, environment)
  local self = program.launch(address, words, environment)
  self:await("joined queue")
  return self
end

function Program:text()
  local file <close> = assert(io.open(self.log))
  return file:read("a")
end

-- Waits until it has said that.
function Program:await(text)
  local deadline = mproc.time() + JOIN_SECONDS
  while not self:text():find(text, 1, true) do
    assert(mproc.time() < deadline and (self:runs() or self:text():find(text, 1, true)),
      ("the worker has not said %q: %s"):format(text, self:text()))
    mproc.sleep(0.01)
  end
end

function Program:runs()
  return server.runs(self.pid)
end

function Program:signal(name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
end

-- Pids of its processes.
function Program:children()
  local file <close> = io.open(("/proc/%d/task/%d/children"):format(self.pid, self.pid))
  local pids = {}
  for pid in (file and file:read("a") or ""):gmatch("%d+") do
    pids[#pids + 1] = math.tointeger(tonumber(pid))
  end
  return pids
end

-- Waits until it has ended: true; or false after so many seconds.
function Program:ended(seconds)
  local deadline = mproc.time() + seconds
  while self:runs() do
    if mproc.time() > deadline then
      return false
    end
    mproc.sleep(0.01)
  end
  return true
end

-- Ends it, in order if it can, and forgets what it wrote.
function Program:stop()
  self:signal("CONT")
  self:signal("TERM")
  if not self:ended(10) then
    self:signal("KILL")
    self:ended(10)
  end
  os.remove(self.log)
end

return program
