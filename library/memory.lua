---@meta _
-- SPDX-License-Identifier: MIT

--- # Shared memory
---
--- Bytes that processes share, for data that has a layout of its own or that other programs read and write: images,
--- samples, matrices. `m:view` shows a part of them as numbers, as an Array is.
---
--- Without a name it is a block of mproc's own memory: it travels as a handle, and goes with its last holder,
--- whatever ends that. With a name it is a file in `/dev/shm`: the same that Python's
--- `multiprocessing.shared_memory` and C's `shm_open` know by that name (without the slash), so that programs share
--- it that know nothing of each other. Nobody counts who uses it: attaching owns nothing, and a name stays until it
--- is unlinked, also when all are dead.
---
--- Up to 3.12, Python unlinks at its end whatever it has attached to; call `resource_tracker.unregister(m._name,
--- "shared_memory")` there after attaching, or from 3.13 on `SharedMemory(name, track=False)`.
---
--- Single elements of a view are read and written atomically; bytes by `read` and `write` are not: who reads while
--- another writes may get a part of it. A `mproc.Lock` orders that. Processes that no `Lock` reaches need a view's
--- `compare_exchange`.

---@class mproc
local mproc = {}

--- Makes shared memory, or attaches to what has that name. What is new reads as zero. All of its room is taken at
--- once, so that nobody who uses it later is killed for want of it.
---
--- Its results on failure: `"EEXIST"`, the name is taken; `"ENOENT"`, nothing has it; `"ENOSPC"`, `/dev/shm` has no
--- room (in containers it often has 64 MB), `"ENOMEM"`, mproc's memory has none; `"EINVAL"`, a name with a slash or
--- none at all, a size of 0, or what has the name is no memory, is empty, or is smaller than `size`;
--- `"ENAMETOOLONG"`, more than 250 bytes; `"EACCES"`, it is another user's.
---@param options mproc.SharedMemoryOptions what is wanted
---@return mproc.SharedMemory? m the memory, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.SharedMemory(options) end

--- What is wanted of shared memory.
---@class mproc.SharedMemoryOptions
---@field name? string its name, 1 to 250 bytes without a slash; default: none
---@field size? integer how many bytes, from 1 up; to attach, the least that will do; default: all there are
---@field create? boolean true makes it, and fails when the name is taken; default: attaches to the name
---@field unlink? boolean true: its maker unlinks the name when it closes the memory, or ends in order; default: false
---@field sparse? boolean true takes room when it is touched: SIGBUS ends who finds none; default: false

--- Bytes that processes share; positions count from 1. A view made of it keeps it alive. `m:close()`, and the end
--- of a scope with `<close>`, end this process's use of it, views included; a second close is harmless, other calls
--- after it raise. Two of the same name are equal when they are the same memory.
---
--- With a name, it travels as the name, and the receiver attaches: sending raises once it has been unlinked,
--- receiving does when it is unlinked on the way. A child that was forked has what its parent had attached to,
--- whatever became of the name.
---
--- Another program may cut a named memory short (`ftruncate`); whoever then touches what is gone is killed by
--- SIGBUS, as everywhere. mproc never does that, and neither does Python.
---@class mproc.SharedMemory
---@field name string? its name; nil when it has none
---@field size integer how many bytes it has, as `#m`
local m = {}

--- A copy of a part.
---@param i? integer where it begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@return string bytes the part
function m:read(i, j) end

--- Puts bytes in. Raises when they do not fit in, and then has written none.
---@param i integer the position of the first
---@param s string the bytes
function m:write(i, s) end

--- Shows a part as numbers. Raises when the part is not within the memory, or does not begin at a multiple of an
--- element's size.
---@param type mproc.NumberType what each is
---@param first? integer the position of the first one's first byte; default: 1
---@param count? integer how many; default: as many as there is room for
---@return mproc.MemoryView view the numbers; they keep the memory alive, and raise once it is closed
function m:view(type, first, count) end

--- Removes the name. Who has the memory keeps it; it goes with the last of them. Works on a closed one, too.
---@return true? done true, or nil
---@return string? message why not
---@return string? code the error's name: `"ENOENT"` when the name is gone, or is another memory's by now
function m:unlink() end

--- Ends this process's use of it.
function m:close() end

--- Numbers that lie in shared memory: what an Array has and does, but that it has no lock of its own, so that
--- `lock` raises. It travels with its memory.
---@class mproc.MemoryView: mproc.Array
