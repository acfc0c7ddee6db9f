-- SPDX-License-Identifier: MIT
-- Forking with the program's own hooks round it. Used by process.lua and child.lua.

local core = require("mproc.core")
local errors = require("mproc.errors")
local heap = require("mproc.heap")

local fork = {}

local state = core.state
state.hooks = state.hooks or {}

local function check_hooks(hooks)
  if type(hooks) ~= "table" then
    errors.raise("at_fork takes a table { before = f, parent = f, child = f }, got %s", errors.show(hooks))
  end
  for key, hook in pairs(hooks) do
    if key ~= "before" and key ~= "parent" and key ~= "child" then
      errors.raise("at_fork has before, parent and child; it has no %s", errors.show(key))
    elseif type(hook) ~= "function" then
      errors.raise("at_fork's %s must be a function, got %s", key, errors.show(hook))
    end
  end
end

-- Registers hooks for every start of a process: `before` runs last registered first, the others in order.
function fork.at_fork(hooks)
  check_hooks(hooks)
  table.insert(state.hooks, { before = hooks.before, parent = hooks.parent, child = hooks.child })
end

-- The parent's side of the hooks from `from` on, whose `before` has run. All run; the first error is raised then.
local function after_in_parent(from)
  local failed, err
  for i = from, #state.hooks do
    local hook = state.hooks[i].parent
    if hook then
      local ok, message = pcall(hook)
      if not ok and not failed then
        failed, err = true, message
      end
    end
  end
  if failed then
    error(err, 0)
  end
end

-- Before a fork, and before anything is noted of it: what a hook raises is raised, and nothing is to be undone.
function fork.before()
  for i = #state.hooks, 1, -1 do
    local hook = state.hooks[i].before
    if hook then
      local ok, message = pcall(hook)
      if not ok then
        pcall(after_in_parent, i + 1)
        error(message, 0)
      end
    end
  end
end

-- The parent's hooks never keep a child from being known to its parent: the caller runs them.
function fork.parent()
  after_in_parent(1)
end

-- In the child, first of all.
function fork.child()
  heap.in_child()
  math.randomseed(core.random())
  for i = 1, #state.hooks do
    local hook = state.hooks[i].child
    if hook then
      hook()
    end
  end
end

return fork
