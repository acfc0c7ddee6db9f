---@meta _
-- SPDX-License-Identifier: MIT

--- # Waiting for many
---
--- `mproc.wait` for what this process waits for at once; the `fileno()` of queues, connections, processes and pools
--- for the loops of luv, cqueues or copas.

---@class mproc
local mproc = {}

--- Waits until at least one thing of a list is ready: a queue or connection has a message or has ended, a process
--- has ended, an event is set, a future has ended, a descriptor is readable. It takes nothing. Raises, before it
--- waits, for what cannot be waited for, and for an empty list without a timeout.
---@param list any[] queues, connections, processes, events, futures and descriptors; its `n` is honoured
---@param timeout? number seconds; default nil: for ever
---@return any[]? ready those that are ready, in the order of the list; empty when the time is over; or nil
---@return string? word `"timeout"` with an empty list, a message with nil
---@return string? code the error's name with nil
function mproc.wait(list, timeout) end
