---@meta _
-- SPDX-License-Identifier: MIT

--- # Files and sockets
---
--- An open file, socket or pipe reaches a process that runs already as a Descriptor: it travels wherever a value
--- does, in a message, an argument, a task, a Dict. A process of its own, the store, keeps the file meanwhile, so that
--- it outlives its sender; the store is started at the first use, is nobody's child, and ends with the tree.
---
--- A file is closed once no Descriptor of it is left, neither in a process nor in a message, and all descriptors that
--- were fetched are closed as well. Who waits for the end of a connection waits for each of them, so close what is not
--- needed any more (`<close>`), in the sender too. What a killed process had goes with it.
---
--- A file and its copies share one position, as after a fork. What a Lua file has read ahead stays with it, where the
--- file cannot be set back, as a socket.
---
--- If the store is killed, the Descriptors that it kept raise "the descriptor is lost", but for those whose file was
--- fetched already; the next `mproc.fd` starts another store. Each process that uses Descriptors has one connection to
--- it, and must be in its network namespace.

---@class mproc
local mproc = {}

--- Makes a Descriptor of an open file. The file is duplicated at once: `x` stays the caller's, who may close it. What a
--- Lua file has buffered is written first. Raises for what has no descriptor, and for what is closed.
---
--- The message's name is `"EBADF"` where no file is open by that number, `"EMFILE"` when the store can keep no more
--- (it may have as many as `ulimit -Hn` says), `"ETIMEDOUT"` when it does not answer within 10 s.
--- What `x` may be: the number of a descriptor (5.0 too), a Lua file, or an object with a method `getfd`, `fileno` or
--- `pollfd`, as those of LuaSocket, cqueues and luv.
---@param x integer|number|file*|table|userdata the open file
---@return mproc.Descriptor? d the descriptor, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.fd(x) end

--- An open file that travels. `<close>` closes it.
---@class mproc.Descriptor: mproc.Pollable
local d = {}

--- Gives the number of a descriptor of the file in this process, the same each time. It stays the Descriptor's: open
--- until `close`, and not passed on to programs. Raises when the descriptor is lost or closed. The error's name is
--- `"EMFILE"` when this process can have no more, `"ETIMEDOUT"` when the store does not answer within 10 s.
---@return integer? n the number, or nil
---@return string? message why there is none
---@return string? code the error's name
function d:fileno() end

--- Gives such a number to the caller, who has to close it; the Descriptor is closed by that. Raises when it is lost or
--- closed.
---@return integer? n the number, or nil
---@return string? message why there is none
---@return string? code the error's name, as of `fileno`
function d:detach() end

--- Opens a Lua file with a descriptor of its own: each of the two is closed by itself. Raises when the descriptor is
--- lost or closed, and for a mode that is none of `io.open`. The error's name is `"EINVAL"` when the descriptor was not
--- opened for that mode, or as of `fileno`.
---
--- Lua's files wait for what they read: an open file that does not (`O_NONBLOCK`, as LuaSocket's) does from then on,
--- for all who have it. Take `fileno` or `detach` for a loop of events.
---@param mode? string as of `io.open`; default: what the descriptor was opened for
---@return file*? file the file, or nil
---@return string? message why there is none
---@return string? code the error's name
function d:file(mode) end

--- Closes it here: the descriptor that was fetched, and what this process has of the file. Others keep theirs. A second
--- close does nothing.
function d:close() end
