-- SPDX-License-Identifier: MIT
-- The fork-friendly heap: when it is frozen. Used by init.lua, process.lua and fork.lua; src/bind/heap.c says how.
--
-- core.state.frozen is true from the first freeze on, in this process and in its children.

local core = require("mproc.core")

local heap = {}

local state = core.state

-- Prepares the Lua heap for children that share it: what is there is neither written by their collectors nor handed out
-- again by their allocators, so that it is not copied. A full collection; from then on this process's collector is the
-- generational one, and its own garbage of before goes back as ever. Children inherit all that, and theirs too; what a
-- child inherited it never gives back. Called again, it makes what has come since then part of it, by a full collection
-- that copies what running children share: call it before the first start.
-- `collectgarbage("incremental")` ends it for processes that are started later.
-- true, or nil, message, NAME: "EPERM" for a Lua state whose host has given it an allocator of its own.
function heap.freeze()
  local ok, message, name = core.heap_freeze()
  if ok then
    state.frozen = true
  end
  return ok, message, name
end

-- Before each fork. wanted: the process was made with freeze_heap. true, or nil, message, NAME.
function heap.before_fork(wanted)
  if state.frozen then
    state.frozen = core.heap_settle()
  end
  if wanted and not state.frozen then
    return heap.freeze()
  end
  return true
end

-- In the child, first of all.
function heap.in_child()
  if state.frozen then
    core.heap_inherited()
  end
end

return heap
