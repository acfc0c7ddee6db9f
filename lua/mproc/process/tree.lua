-- SPDX-License-Identifier: MIT
-- Who this process is, who made it, and its children. Used by the other files of this folder and init.lua.
--
-- What is known stands in core.state, which outlives this module when it is loaded anew, and is about the process
-- `pid`. A child sets it right when it is first asked, not when it begins: what a child writes is copied page by page.
--   process, number   the Process that runs here and its number among its parent's; false in the main process
--   parent            a Peer; false in the main process
--   identity          "1:2" in the second child of the first child; false in the main process
--   generation        0 in the main process, 1 in its children, and so on
--   children, count   a list of those whose end is not known, and of those being started; how many were ever made
--   starting          the Process that is being forked; only its child ever sees it
--   peer              what this process is to its children
-- A finalizer may run inside any function here, and start or end processes: a list is asked again after each call.

local core = require("mproc.core")
local peer = require("mproc.process.peer")

local CHILDREN_PER_END = 8

local tree = {}

local shared = core.state

-- All fields are there from the start, false for none: so that adopt_identity, once it has begun, needs no memory.
for _, key in ipairs({
  "pid", "process", "parent", "identity", "children", "starting", "starting_identity", "peer", "ends", "main",
}) do
  shared[key] = shared[key] or false
end
shared.generation, shared.starting_generation = shared.generation or 0, shared.starting_generation or 0
shared.count = shared.count or 0

local function child_identity(base, number)
  return base and base .. ":" .. number or tostring(number)
end

-- A process that something else than mproc has forked is a main process of its own. Interrupted before the pid is
-- there, it is done again, with what the parent has left for it.
local function adopt_identity(pid)
  local process, children = shared.starting, {}
  shared.generation = process and shared.starting_generation or shared.generation
  shared.identity, shared.process = process and shared.starting_identity, process
  shared.parent = process and shared.peer
  shared.children, shared.count, shared.ends = children, 0, false
  shared.pid = pid
  shared.peer, shared.starting = false, false
end

-- What is known about this very process.
local function self_info()
  local pid = core.getpid()
  if shared.pid ~= pid then
    adopt_identity(pid)
  end
  return shared
end

-- The Process that runs here; a Peer named MainProcess in the main one.
function tree.current_process()
  local here = self_info()
  if here.process then
    return here.process
  end
  if not (here.main and here.main.pid == here.pid) then
    here.main = peer.new("MainProcess", here.pid, core.self(), false)
  end
  return here.main
end

function tree.parent_process()
  return self_info().parent or nil
end

function tree.generation()
  return self_info().generation
end

-- The number of the next process made here, and its identity.
function tree.count_one()
  local here = self_info()
  here.count = here.count + 1
  local number = here.count
  return number, child_identity(here.identity, number)
end

-- The identity of the process with that number.
function tree.identity_of(number)
  return child_identity(self_info().identity, number)
end

-- Before the fork of a process: what its child will find.
function tree.begin_fork(process, number)
  local me = tree.current_process()
  if not shared.peer or shared.peer.name ~= me.name then
    shared.peer = peer.new(me.name, core.getpid(), core.self(), me.daemon)
  end
  shared.starting_identity = child_identity(shared.identity, number)
  shared.starting_generation = shared.generation + 1
  shared.starting = process
end

-- In the parent, whatever came of it.
function tree.end_fork()
  shared.starting = false
end

-- Asks all children whether they have ended; those that have are taken off the list by remove_child.
local function ask_all(children)
  for i = #children, 1, -1 do
    local child = children[i]
    if child then
      child:is_alive()
    end
  end
end

-- Forgets children that have ended; their handles still tell how. All are asked once an eighth of their number has
-- ended since, so that a start costs the same beside thousands of children.
function tree.sweep()
  local ends = core.reap()
  local here = self_info()
  local since = ends - (here.ends or 0)
  if since < 0 or since > #here.children // CHILDREN_PER_END then
    here.ends = ends
    ask_all(here.children)
  end
end

function tree.add_child(process)
  local children = self_info().children
  children[#children + 1] = process
end

-- Order does not matter; the last one is the likeliest.
function tree.remove_child(process)
  local children = self_info().children
  for i = #children, 1, -1 do
    if rawequal(children[i], process) then
      local last = #children
      children[i] = children[last]
      children[last] = nil
      return
    end
  end
end

-- A list of the children that run, in no order; those that have ended are reaped.
function tree.active_children()
  local running = {}
  ask_all(self_info().children)
  for _, child in ipairs(self_info().children) do
    if child.pid then
      running[#running + 1] = child
    end
  end
  return running
end

return tree
