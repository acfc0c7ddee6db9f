---@meta _
-- SPDX-License-Identifier: MIT

--- # Pipes
---
--- Two connected ends: what one sends, the other receives, in order. An end may be in several processes; each closes
--- its own copy. The stream ends when nobody is left who could send: all copies of the other end are closed, or
--- their processes are dead. A copy that a child inherited counts as open, and so does one on its way in a message.

---@class mproc
local mproc = {}

--- The options of `mproc.Pipe{...}`.
---@class mproc.PipeOptions
---@field duplex? boolean whether both ends send and receive; default: true

--- Makes a pipe.
---@param duplex? boolean|mproc.PipeOptions false: the first end only receives, the second only sends; default: true
---@return mproc.Connection? a the first end, or nil
---@return mproc.Connection|string b the second end, or why there is none
---@return string? code the error's name
function mproc.Pipe(duplex) end

--- An end of a pipe. `<close>` closes it, whichever process made it.
---@class mproc.Connection: mproc.Pollable
---@field closed boolean whether this copy is closed
---@field readable boolean whether this end receives
---@field writable boolean whether this end sends
local c = {}

--- Sends a snapshot of the value. It does not wait for a reader. Raises when the other end is closed everywhere,
--- when this end only receives, and when the value cannot travel.
---@param value any what to send; nil too, but it must be given
---@param timeout? number seconds; default nil: for ever
---@return boolean? ok true; false when the time is over; nil when the arena is full
---@return string? word `"timeout"` with false, a message with nil
---@return string? code `"ENOMEM"` with nil
function c:send(value, timeout) end

--- Receives the first message, and waits for one. Raises when this end only sends.
---@param timeout? number seconds; default nil: for ever
---@return any value the value, which may be nil: then nothing follows; else nil
---@return "timeout"|"closed"|nil word why there is none: the time is over; or nobody is left who could send
function c:recv(timeout) end

--- Whether `recv` would not wait: a message is there, or the stream has ended. The one wait that by default does
--- not.
---@param timeout? number seconds; default: 0
---@return boolean ready true, or false
---@return "timeout"? word with false
function c:poll(timeout) end

--- Sends a part of a string, as one message. Raises as `send` does.
---@param s string bytes; an empty string is a message too
---@param i? integer where the part begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@param timeout? number seconds; default nil: for ever
---@return boolean? ok true; false when the time is over; nil when the arena is full
---@return string? word `"timeout"` with false, a message with nil
---@return string? code `"ENOMEM"` with nil
function c:send_bytes(s, i, j, timeout) end

--- Receives a string. Raises when the first message is longer than asked for, or no string; it stays then.
---@param maxlength? integer bytes; default nil: any length
---@param timeout? number seconds; default nil: for ever
---@return string? s the string, or nil
---@return "timeout"|"closed"|nil word why there is none
function c:recv_bytes(maxlength, timeout) end

--- Closes this copy of the end. Calls after it raise, but for another `close()`.
function c:close() end

--- A descriptor for event loops, which turns readable when a message is there, or the stream has ended; as that of a
--- queue. Raises when this end only sends.
---@return integer? fd the same at each call, or nil
---@return string? message why there is none
---@return string? code the error's name
function c:fileno() end
