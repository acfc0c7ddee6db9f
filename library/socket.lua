---@meta _
-- SPDX-License-Identifier: MIT

--- # Sockets
---
--- Connections between programs, by TCP or Unix sockets: `mproc.Listener` waits for those that `mproc.Client` makes.
--- Frames and challenge are those of Python's `multiprocessing.connection`, so that `send_bytes` and `recv_bytes`
--- talk to a Listener or a Client of Python's, with the key on both sides. `send` and `recv` carry mproc's own
--- format.
---
--- **Addresses** are `"host:port"` (port 0: any that is free; IPv6 in brackets), a path with a `/` (a Unix socket, of
--- mode 0600, which is removed at `close` and at the orderly end of its process), or `"@name"` (in the abstract
--- namespace, for this machine).
---
--- **Keys**: each side challenges the other, by HMAC-SHA256, to prove that it has the key, which is never sent.
--- Without `authkey` it is `mproc.current_process().authkey`: random, and the same in all processes of a tree. Python
--- before 3.12 knows HMAC-MD5 alone, which is taken with `allow_md5 = true`. A key does not encrypt: who reads the
--- network along reads the messages.
---
--- **Trust**: what comes from a peer is decoded without functions, hooks or mproc objects, which also raise when they
--- are sent, unless `trusted = true` at both ends: functions are code, and run with all that their receiver may do.
---
--- **Names of hosts** are asked for by a process of its own, so that a server of names which is silent holds up
--- neither a time-out nor Ctrl-C. Of a host's addresses the first of IPv4 counts, or else the first.
---
--- **Peers that are slow, silent or lying** hold up nobody: a handshake has 10 s, while others are served; a frame
--- longer than `max_bytes` ends its connection; memory is taken as bytes come, not as a head claims.

---@class mproc
local mproc = {}

--- Listens.
---@param options? mproc.ListenerOptions|string options, or the address; default: a free `"@name"`
---@return mproc.Listener? listener the listener, or nil
---@return string? message why there is none
---@return string? code the error's name, such as `"EADDRINUSE"`
function mproc.Listener(options) end

--- Options of a Listener.
---@class mproc.ListenerOptions
---@field address? string where to listen; default: a name of the abstract namespace that nobody can guess
---@field authkey? string|false the key, or false for none; default: the process's own
---@field backlog? integer how many may wait to be accepted; default: 16
---@field trusted? boolean whether functions, hooks and mproc objects are taken and sent; default: false
---@field max_bytes? integer the longest message that is taken; default: 64 MiB
---@field allow_md5? boolean whether the challenge of Python before 3.12 is taken; default: false

--- Connects to a listener.
---@param options mproc.ClientOptions|string options, or the address
---@return mproc.SocketConnection? connection the connection, or nil
---@return string? message why there is none
---@return string? code the error's name: `"EAUTH"` when the keys differ, `"ETIMEDOUT"`, `"ECONNREFUSED"` …
function mproc.Client(options) end

--- Options of a Client.
---@class mproc.ClientOptions
---@field address string where to connect
---@field authkey? string|false the key, or false for none; default: the process's own
---@field timeout? number seconds for all of it, the host's name too; default nil: no limit, but 10 s for the handshake
---@field trusted? boolean whether functions, hooks and mproc objects are taken and sent; default: false
---@field max_bytes? integer the longest message that is taken; default: 64 MiB
---@field allow_md5? boolean whether the challenge of Python before 3.12 is taken; default: false

--- What waits for clients. It belongs to its process and its children; its address travels.
---@class mproc.Listener: mproc.Pollable
---@field address string where it listens, with the port that it got
---@field last_accepted string? the address of the client accepted last; nil for Unix sockets
local l = {}

--- Accepts a client that has the key. Those whose handshake is not over stay for the next call.
---@param timeout? number seconds; default nil: for ever
---@return mproc.SocketConnection? connection the connection, or nil
---@return string? word `"timeout"`, or a message: somebody had not the key, or the system refuses
---@return string? code `"EAUTH"` for who had not the key, hung up or took more than 10 s; else the system's
function l:accept(timeout) end

--- A descriptor for event loops, which turns readable when somebody has come, or has answered a challenge: then
--- `accept(0)`, until it finds nothing.
---@return integer fd the same at each call
function l:fileno() end

--- Listens no more, and removes its path, if it has one and this process made it. Connections stay.
function l:close() end

--- A connection to another program. Messages come whole, or not at all. As a pipe's end it may be used by children
--- that inherit it; the other side hears of the end when all copies are closed.
---@class mproc.SocketConnection: mproc.Pollable
---@field closed boolean whether this copy is closed
---@field readable boolean whether it receives: true until it is closed
---@field writable boolean whether it sends: true until it is closed
local c = {}

--- Sends a snapshot of the value. Raises when the other side is gone, when the value cannot travel, and for
--- functions, hooks and mproc objects unless it is trusted. What has begun to go out when the time is over counts
--- as sent: it goes on with each call, also while one waits to receive, and before the next message; when the
--- connection is collected, and at the end of the process, which waits two seconds for that.
---@param value any what to send; nil too, but it must be given
---@param timeout? number seconds; default nil: for ever
---@return boolean? ok true; false when the time is over and nothing was sent; nil when the system refuses
---@return string? word `"timeout"` with false, a message with nil
---@return string? code the error's name with nil
function c:send(value, timeout) end

--- Receives the first message, and waits for one.
---@param timeout? number seconds; default nil: for ever
---@return any value the value, which may be nil: then nothing follows; else nil
---@return string? word `"timeout"`; `"closed"`: the other side is gone; or a message
---@return string? code `"EBADMSG"`: it may not be decoded, and is gone; `"EMSGSIZE"`: the connection has ended
function c:recv(timeout) end

--- Whether `recv` would not wait: a message is there, or the end. The one wait that by default does not.
---@param timeout? number seconds; default: 0
---@return boolean ready true, or false
---@return "timeout"? word with false
function c:poll(timeout) end

--- Sends a part of a string, as its bytes are: what Python's `recv_bytes` gives. Raises when the other side is gone.
---@param s string bytes; an empty string is a message too
---@param i? integer where the part begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@param timeout? number seconds; default nil: for ever
---@return boolean? ok true; false when the time is over and nothing was sent; nil when the system refuses
---@return string? word `"timeout"` with false, a message with nil
---@return string? code the error's name with nil
function c:send_bytes(s, i, j, timeout) end

--- Receives the bytes of a message, whatever they are. Raises when there are more than asked for; they stay then.
---@param maxlength? integer bytes; default nil: any length
---@param timeout? number seconds; default nil: for ever
---@return string? s the bytes, or nil
---@return string? word `"timeout"`, `"closed"`, or a message
---@return string? code `"EMSGSIZE"` or `"EBADMSG"`: the connection has ended
function c:recv_bytes(maxlength, timeout) end

--- Its descriptor, for event loops: readable when bytes have come, which may be a part of a message.
---@return integer fd the same at each call
function c:fileno() end

--- Closes this copy. What is left of a message that has begun to go out is waited for, up to 2 s. Calls after it
--- raise, but for another `close()`.
function c:close() end
