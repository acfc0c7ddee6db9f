-- SPDX-License-Identifier: MIT
-- Peer: a process as one sees it that is no child of ours: the parent, the main process, or a handle that arrived in a
-- message. Used by tree.lua and init.lua.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local lazy = require("mproc.lazy")

local peer = {}

core.state.Peer = core.state.Peer or {} -- a registered metatable outlives this module when it is loaded anew
local Peer = core.state.Peer
Peer.__name = "mproc.Peer"
core.register("mproc.Peer", Peer)

-- A key is no field: a peer travels with its fields.
lazy.unit("mproc.authkey")
local methods, properties = Peer, {}

function properties.authkey(self)
  return rawget(self, "pid") == core.getpid() and lazy.load("mproc.authkey").current() or nil
end

function Peer.__index(self, key)
  local property = properties[key]
  if property then
    return property(self)
  end
  return methods[key]
end

function Peer.__newindex(self, key, value)
  if key ~= "authkey" then
    rawset(self, key, value)
  elseif rawget(self, "pid") == core.getpid() then
    lazy.load("mproc.authkey").set(value)
  else
    errors.raise("the key of another process cannot be set")
  end
end

-- Anywhere in the tree.
function Peer:is_alive()
  return core.peer_alive(self._ref)
end

-- Also once it has died, and the system has given this process to another.
local function is_parent(self)
  local here = core.state
  return self.pid == core.getppid() or here.pid == core.getpid() and here.parent == self
end

-- Only a parent is waited for: the end of others is their parent's to know.
function Peer:join(timeout)
  check.timeout(timeout)
  if not is_parent(self) then
    errors.raise("process '%s' (pid %d) is neither a child nor the parent of this process; its parent can join it",
      self.name, self.pid)
  end
  return core.peer_wait(self._ref, self.pid, timeout)
end

function Peer:__tostring()
  return ("mproc.Peer: '%s' (pid %d, %s)"):format(self.name, self.pid or 0, self:is_alive() and "running" or "ended")
end

-- For mproc.wait: ready once it has ended.
function Peer:__mproc_wait()
  if self.pid == core.getpid() then
    return nil, ("process '%s' (pid %d) cannot wait for itself"):format(self.name, self.pid)
  elseif not self.pid then
    return nil, ("process '%s' was not started when this handle was made"):format(self.name)
  end
  return core.peer(self._ref, self.pid)
end

Peer.__eq = function(a, b)
  return rawget(a, "_ref") == rawget(b, "_ref")
end

-- ref: core's name for the process in the whole tree, 0 when it was never started.
function peer.new(name, pid, ref, daemon)
  return setmetatable({ name = name, pid = pid, ident = pid, _ref = ref, daemon = daemon }, Peer)
end

return peer
