---@meta _
-- SPDX-License-Identifier: MIT

--- # Codec
---
--- How values become bytes. Queues, pipes, arguments and results use it; `encode` and `decode` give the same format
--- as a string, for files and sockets. It is versioned, and bytes of another version are refused.
---
--- A table with a metatable travels by the metatable's name: when it is registered, or when a loaded module is it or
--- has it in a field. A metatable may have `__mproc_encode(value)`, which returns a plain value that stands for the
--- object, or nil and a text: why it cannot travel. A module, and the functions in its fields, travel as names; the
--- receiver requires it when needed. Values may be nested 1,000 deep.

---@class mproc
local mproc = {}

--- The options of `mproc.encode`.
---@class mproc.EncodeOptions
--- true: the bytes are for another machine, or another tree of processes. What would mean nothing there raises, with
--- its path: mproc objects (`cannot send value.jobs: a queue lives in one machine's memory`), functions, named ones
--- too, and objects that a decode hook or a finalizer belongs to. Default: false.
---@field abroad? boolean

--- The options of `mproc.decode`.
---@class mproc.DecodeOptions
--- true: functions in the bytes are made, decode hooks run, and modules are required; for bytes that are trusted
--- only. Default: false, and bytes that need any of it are refused.
---@field functions? boolean
--- true: the bytes come from another machine: mproc objects in them are refused, too. Default: false. It raises beside
--- `functions`.
---@field abroad? boolean

--- The options of `mproc.register`.
---@class mproc.RegisterOptions
--- Makes the object of what `__mproc_encode` gave. Default nil: that must be a table, and gets the metatable.
---@field decode? fun(plain: any): any

--- A value as a string. Raises for what cannot travel. mproc objects in it are handles: they are not kept alive by
--- it, and mean something in the same tree of processes only.
---@param value any what to encode; nil too, but it must be given
---@param options? mproc.EncodeOptions default nil: for this tree of processes
---@return string bytes for `mproc.decode`
function mproc.encode(value, options) end

--- The value that bytes stand for. Bytes from anywhere may be given: they never crash it, and run no code unless
--- asked. Raises what decode hooks and `require` raise.
---@param bytes string what `mproc.encode` gave
---@param options? mproc.DecodeOptions default nil: no functions
---@return any value which may be nil: then nothing follows; else nil
---@return string? message what is wrong with the bytes
function mproc.decode(bytes, options) end

--- Gives a metatable a name, by which tables that have it travel; both sides must do so. Doing it again is harmless.
--- Raises when the name or the metatable is taken.
---@param name string the same on both sides
---@param metatable table of the objects
---@param options? mproc.RegisterOptions default nil: the metatable is set when they arrive
function mproc.register(name, metatable, options) end

--- Why a value cannot travel.
---@param value any what to look at; nil too, but it must be given
---@return string? path of the first bad value in it, such as `value.log`; nil when it can travel
---@return string? reason with the remedy
function mproc.unsendable(value) end
