-- SPDX-License-Identifier: MIT
-- Who this process is, who made it, and its children. Used by class.lua, process.lua, child.lua and init.lua.
--
-- What is known stands in core.state, which outlives this module when it is loaded anew, and is about the process
-- `pid`. A child sets it right when it is first asked, not when it begins: what a child writes is copied page by page.
--   process, number   the Process that runs here and its number among its parent's; false in the main process
--   parent            a Peer; false in the main process
--   identity          "1:2" in the second child of the first child; false in the main process
--   generation        0 in the main process, 1 in its children, and so on
--   children, count   a list of those whose end is not known; how many were ever made
--   starting          the Process that is being forked; only its child ever sees it
--   peer              what this process is to its children

local core = require("mproc.core")
local peer = require("mproc.peer")

local CHILDREN_PER_END = 8

local current = {}

local shared = core.state

-- All fields are there from the start, false for none: so that become, once it has begun, needs no memory.
for _, key in ipairs({
  "pid", "process", "parent", "identity", "children", "starting", "starting_number", "peer", "ends", "main",
}) do
  shared[key] = shared[key] or false
end
shared.generation, shared.count = shared.generation or 0, shared.count or 0

local function child_identity(base, number)
  return base and base .. ":" .. number or tostring(number)
end

-- A process that something else than mproc has forked is a main process of its own.
local function become(pid)
  local process, children = shared.starting, {}
  local identity = process and child_identity(shared.identity, shared.starting_number)
  shared.generation = shared.generation + (process and 1 or 0)
  shared.identity, shared.process, shared.parent = identity, process, process and shared.peer
  shared.children, shared.count, shared.ends = children, 0, false
  shared.pid, shared.peer, shared.starting = pid, false, false
end

-- What is known about this very process.
local function facts()
  local pid = core.getpid()
  if shared.pid ~= pid then
    become(pid)
  end
  return shared
end

-- The Process that runs here; a Peer named MainProcess in the main one.
function current.current_process()
  local here = facts()
  if here.process then
    return here.process
  end
  if not (here.main and here.main.pid == here.pid) then
    here.main = peer.new("MainProcess", here.pid, core.self(), false)
  end
  return here.main
end

function current.parent_process()
  return facts().parent or nil
end

function current.generation()
  return facts().generation
end

-- The number of the next process made here, and its identity.
function current.count_one()
  local here = facts()
  here.count = here.count + 1
  return here.count, child_identity(here.identity, here.count)
end

-- Round the fork of a process: what its child will find. current.forked in the parent, whatever came of it.
function current.forking(process, number)
  local me = current.current_process()
  if not shared.peer or shared.peer.name ~= me.name then
    shared.peer = peer.new(me.name, core.getpid(), core.self(), me.daemon)
  end
  shared.starting, shared.starting_number = process, number
end

function current.forked()
  shared.starting = false
end

-- Asks all children whether they have ended; those that have are taken off the list by remove_child.
local function ask_all(children)
  for i = #children, 1, -1 do
    children[i]:is_alive()
  end
end

-- Forgets children that have ended; their handles still tell how. All are asked once an eighth of their number has
-- ended since, so that a start costs the same beside thousands of children.
function current.sweep()
  local ends = core.reap()
  local here = facts()
  local since = ends - (here.ends or 0)
  if since < 0 or since > #here.children // CHILDREN_PER_END then
    here.ends = ends
    ask_all(here.children)
  end
end

function current.add_child(process)
  table.insert(facts().children, process)
end

-- Order does not matter; the last one is the likeliest.
function current.remove_child(process)
  local children = facts().children
  local last = #children
  for i = last, 1, -1 do
    if rawequal(children[i], process) then
      children[i] = children[last]
      children[last] = nil
      return
    end
  end
end

-- A list of the children that run, in no order; those that have ended are reaped.
function current.active_children()
  local children = facts().children
  ask_all(children)
  return table.move(children, 1, #children, 1, {})
end

return current
