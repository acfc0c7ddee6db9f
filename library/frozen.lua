---@meta _
-- SPDX-License-Identifier: MIT

--- # Frozen tables
---
--- A frozen table is an immutable copy of a table, and of all tables in it, in shared memory: one block, which
--- every process reads in place, however large it is, without decoding or copying it. It travels as a handle, as a
--- message, an argument, an upvalue of a pool's function or a value of a Dict, and goes with its last holder.
---
--- What can be in it: strings, numbers, booleans, mproc objects, and tables of these, whose cycles and shared
--- tables are kept. All NaNs become one. A table with a registered metatable is read as a plain one; `thaw` gives
--- it back.
---
--- Reading a field takes some five times as long as in a plain table, and makes a small object for each table that
--- is passed on the way: hold inner tables in locals, or use the call, `f("servers", 3, "name")`, which makes none.
--- A string is copied each time that it is read. `type(f)` is `"userdata"`; `next`, `rawget`, `table.sort` and C
--- code that wants a table need `mproc.thaw`.

---@class mproc
local mproc = {}

--- Makes an immutable copy in shared memory. What is frozen already is given back as it is. Raises, with the path,
--- for a function, a coroutine, a file or foreign userdata, a metatable without a name or with `__mproc_encode`, a
--- Barrier, a frozen table within another, a table as a key, and more than 1,000 levels of nesting. The collector
--- stands still meanwhile. Beside the copy it takes a fifth to two fifths of the copy's size of memory while it
--- works, and the arena must have room for a power of two.
---@param t table what to freeze
---@return mproc.Frozen? f the frozen table, or nil when there is no room for it
---@return string? message why there is none
---@return string? code the error's name
function mproc.freeze(t) end

--- Makes a plain copy of a frozen table and of all that is in it; registered metatables come back. What is not
--- frozen is given back as it is.
---@param f any a frozen table, or anything else
---@return any t the copy
function mproc.thaw(f) end

--- Tells whether a value is a frozen table.
---@param value any what to look at
---@return boolean frozen true for a frozen table
function mproc.is_frozen(value) end

--- Tells what the whole block has that a frozen table is part of.
---@param f mproc.Frozen a frozen table
---@return mproc.FrozenInfo info its numbers
function mproc.frozen_info(f) end

--- What a block has.
---@class mproc.FrozenInfo
---@field bytes integer its size
---@field tables integer tables in it
---@field strings integer different strings
---@field shapes integer different sets of keys: tables with the same keys share them

--- A frozen table: `f.k`, `f[i]`, `#f`, `pairs(f)` (the list first, then the rest, in the same order everywhere),
--- `ipairs`, `table.unpack`, `table.concat`, and the call `f(k1, k2, ...)`, which is `f[k1][k2]...`, or nil as soon
--- as there is nothing. Writing raises, with the path that was written to. As long as a frozen table is held, the
--- same table is the same object: `f.a == f.a`, also as a key. With `<close>` its scope's end lets go of it.
---@class mproc.Frozen
---@field [any] any the value of that key
