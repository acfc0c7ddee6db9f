---@meta _
-- SPDX-License-Identifier: MIT

--- # Waiting for many
---
--- `mproc.wait` for what this process waits for at once; the `fileno()` of queues, connections, processes, pools and
--- Descriptors for the loops of others. `cqueues.poll(q)` and LuaSocket's `socket.select({ q })` take them as they are.

---@class mproc
local mproc = {}

--- Waits until at least one thing of a list is ready: a queue or connection has a message or has ended, a process has
--- ended, an event is set, a future has ended, a descriptor, given as its number or as a Descriptor, is readable. It
--- takes nothing. Raises, before it waits, for what cannot be waited for, and for an empty list without a timeout.
---@param list any[] queues, connections, processes, events, futures and descriptors; its `n` is honoured
---@param timeout? number seconds; default nil: for ever
---@return any[]? ready those that are ready, in the order of the list; empty when the time is over; or nil
---@return string? word `"timeout"` with an empty list, a message with nil
---@return string? code the error's name with nil
function mproc.wait(list, timeout) end

--- What has a descriptor for event loops, by `fileno()`. cqueues and LuaSocket (copas too) call
--- the methods below by themselves.
---@class mproc.Pollable
local x = {}

--- `fileno()`, as LuaSocket asks for it.
---@return integer? fd the same at each call, or nil
---@return string? message why there is none
---@return string? code the error's name
function x:getfd() end

--- Whether there is something to do already, so that LuaSocket's `select` need not wait.
---@return boolean dirty false where only the descriptor tells
function x:dirty() end

--- `fileno()`, as cqueues asks for it.
---@return integer? fd the same at each call, or nil
---@return string? message why there is none
---@return string? code the error's name
function x:pollfd() end

--- What cqueues waits for.
---@return string events `"r"`: that it turns readable; `"rw"` while a message of a socket connection goes out
function x:events() end

--- How long cqueues waits at most.
---@return nil seconds none: for ever
function x:timeout() end
