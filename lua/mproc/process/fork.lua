-- SPDX-License-Identifier: MIT
-- What lies round each fork: the program's own hooks, and the fork-friendly heap, of which src/bind/heap.c says how it
-- works and this file when it is frozen. Used by init.lua, child.lua and mproc's own init.lua.
--
-- core.state.at_fork is the list of hooks; core.state.frozen is true from the first freeze on, in this process and in
-- its children.

local core = require("mproc.core")
local errors = require("mproc.errors")

local fork = {}

local state = core.state
state.at_fork = state.at_fork or {}

local NONE = {}
local NAMES = { before = true, parent = true, child = true }

local function check_hooks(hooks)
  if type(hooks) ~= "table" then
    errors.raise("at_fork takes a table { before = f, parent = f, child = f }, got %s", errors.show(hooks))
  end
  for key, hook in next, hooks do
    if not NAMES[key] then
      errors.raise("at_fork has before, parent and child; it has no %s", errors.show(key))
    elseif type(hook) ~= "function" then
      errors.raise("at_fork's %s must be a function, got %s", key, errors.show(hook))
    end
  end
end

-- Registers hooks for every start of a process: `before` runs last registered first, the others in order.
function fork.at_fork(hooks)
  check_hooks(hooks)
  table.insert(state.at_fork, { before = hooks.before, parent = hooks.parent, child = hooks.child })
end

-- The parent's side of `hooks` from `from` on, whose `before` has run. All run; the first error is returned then.
local function after_in_parent(hooks, from)
  local failed, err
  for i = from, #hooks do
    local hook = hooks[i].parent
    if hook then
      local ok, message = core.outside(hook)
      if not ok and not failed then
        failed, err = true, message
      end
    end
  end
  return failed, err
end

-- Before a fork, and before anything is noted of it: what a hook raises is raised, and nothing is to be undone. Returns
-- the hooks that are to be run behind it: those that this fork's hooks register are for others.
function fork.before()
  if #state.at_fork == 0 then
    return NONE
  end
  local hooks = table.move(state.at_fork, 1, #state.at_fork, 1, {})
  for i = #hooks, 1, -1 do
    local hook = hooks[i].before
    if hook then
      local ok, err = core.outside(hook)
      if not ok then
        after_in_parent(hooks, i + 1)
        error(err, 0)
      end
    end
  end
  return hooks
end

-- The parent's hooks never keep a child from being known to its parent: the caller runs them last.
function fork.parent(hooks)
  local failed, err = after_in_parent(hooks, 1)
  if failed then
    error(err, 0)
  end
end

-- In the child, first of all.
function fork.child(hooks)
  if state.frozen then
    core.heap_inherited()
  end
  math.randomseed(core.random())
  for i = 1, #hooks do
    local hook = hooks[i].child
    if hook then
      hook()
    end
  end
end

-- Prepares the Lua heap for children that share it: what is there is neither written by their collectors nor handed out
-- again by their allocators, so that it is not copied. A full collection; from then on this process's collector is the
-- generational one, and its own garbage of before goes back as ever. Children inherit all that, and theirs too; what a
-- child inherited it never gives back. Called again, it makes what has come since then part of it, by a full collection
-- that copies what running children share: call it before the first start.
-- `collectgarbage("incremental")` ends it for processes that are started later.
-- true, or nil, message, NAME: "EPERM" for a Lua state whose host has given it an allocator of its own.
function fork.freeze_heap()
  local ok, message, name = core.heap_freeze()
  if ok then
    state.frozen = true
  end
  return ok, message, name
end

-- Before each fork. wanted: the process was made with freeze_heap. true, or nil, message, NAME.
function fork.prepare_heap(wanted)
  if state.frozen then
    state.frozen = core.heap_age()
  end
  if wanted and not state.frozen then
    return fork.freeze_heap()
  end
  return true
end

return fork
