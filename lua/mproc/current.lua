-- SPDX-License-Identifier: MIT
-- Who this process is, who made it, and its children. What is seen of a process that is no child of ours is a Peer:
-- the parent, and a handle that arrived in a message. Used by process.lua, child.lua and init.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")

local current = {}

local state = core.state
state.children = state.children or {} -- a list of the started processes whose end is not known
state.count = state.count or 0 -- processes made here so far
-- state.base, once it is needed, is the identity of this process, "1:2" in the second child of the first child;
-- until then state.number is its last part, and state.base its parent's.

state.Peer = state.Peer or {}
local Peer = state.Peer -- a registered metatable outlives this module when it is loaded anew
Peer.__name = "mproc.Peer"
Peer.__index = Peer
core.register("mproc.Peer", Peer)

function Peer:is_alive()
  return core.peer_alive(self.ref)
end

-- Only the parent is waited for: the end of others is their parent's to know.
function Peer:join(timeout)
  errors.check_timeout(timeout)
  if not (state.parent and state.parent.ref == self.ref) then
    errors.raise("process '%s' (pid %d) is not a child of this process; only its parent can join it", self.name,
      self.pid)
  end
  return core.peer_wait(self.ref, self.pid, timeout)
end

function Peer:__tostring()
  return ("mproc.Peer: '%s' (pid %d, %s)"):format(self.name, self.pid, self:is_alive() and "running" or "ended")
end

Peer.__eq = function(a, b)
  return rawget(a, "ref") == rawget(b, "ref")
end

-- A process as others see it.
function current.peer(name, pid, ref, daemon)
  return setmetatable({ name = name, pid = pid, ident = pid, ref = ref, daemon = daemon }, Peer)
end

-- The main program; a process that something else forked is one too.
local function main_process()
  state.main = state.main or current.peer("MainProcess", core.getpid(), core.self(), false)
  return state.main
end

function current.current_process()
  return state.current or main_process()
end

function current.parent_process()
  return state.parent
end

-- This process as its children see it. Made once: what a start allocates is copied page by page.
function current.as_parent()
  local me = current.current_process()
  local peer = state.as_parent
  if not peer or peer.name ~= me.name then
    peer = current.peer(me.name, core.getpid(), core.self(), me.daemon)
    state.as_parent = peer
  end
  return peer
end

-- "3" for the third process made here, or "1:3" when this is the first child.
function current.identity(number)
  if state.number then
    state.base = (state.base and state.base .. ":" or "") .. state.number
    state.number = nil
  end
  return (state.base and state.base .. ":" or "") .. number
end

-- In a child, first of all: from now on this process is `process`, the number-th made by its parent.
function current.become(process, number)
  if state.number then
    current.identity(0)
  end
  state.parent = state.as_parent
  state.as_parent = nil
  state.current = process
  state.children = {}
  state.number = number
  state.count = 0
  state.ends = nil
end

function current.next_number()
  state.count = state.count + 1
  return state.count
end

-- Asks all children whether they have ended; those that have are taken off the list by remove_child.
local function ask_all()
  local children = state.children
  for i = #children, 1, -1 do
    children[i]:is_alive()
  end
end

-- Forgets children that have ended; their handles still tell how. Cheap when there is no news.
function current.sweep()
  local ends = core.reap()
  if ends ~= state.ends then
    state.ends = ends
    ask_all()
  end
end

function current.add_child(process)
  table.insert(state.children, process)
end

-- Order does not matter; the last one is the likeliest.
function current.remove_child(process)
  local children = state.children
  local last = #children
  for i = last, 1, -1 do
    if rawequal(children[i], process) then
      children[i], children[last] = children[last], nil
      return
    end
  end
end

-- A list of the children that run, in no order; those that have ended are reaped.
function current.active_children()
  ask_all()
  return table.move(state.children, 1, #state.children, 1, {})
end

return current
