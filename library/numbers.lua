---@meta _
-- SPDX-License-Identifier: MIT

--- # Shared numbers
---
--- Numbers in shared memory. Reading and writing one element is atomic, whoever else does so; so are `add`,
--- `exchange` and `compare_exchange`. A value that does not fit the type raises; 2.0 counts as 2.

---@class mproc
local mproc = {}

--- What an element can be.
---@alias mproc.NumberType
---| '"boolean"' # true or false; begins as false
---| '"int8"' # an integer of 1 byte, from -2^7 to 2^7 - 1
---| '"int16"' # 2 bytes
---| '"int32"' # 4 bytes
---| '"int64"' # 8 bytes; sums wrap, as Lua's own do
---| '"uint8"' # an integer of 1 byte, from 0 to 2^8 - 1; an array of them takes and gives strings
---| '"uint16"' # 2 bytes
---| '"uint32"' # 4 bytes
---| '"uint64"' # 8 bytes; from 2^63 on only what a float holds exactly, and it reads as a float there
---| '"integer"' # Lua's integer; the same as "int64"
---| '"number"' # a float, or an integer that is within 2^50 or that a float holds exactly
---| '"float"' # 4 bytes; values are rounded to it
---| '"double"' # Lua's float

--- Makes a shared number.
---@param type mproc.NumberType what it can be
---@param initial? number|boolean what it is first; default: 0, or false for a boolean
---@return mproc.Value? v the number, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Value(type, initial) end

--- Makes a fixed number of shared numbers.
---@param type mproc.NumberType what each can be
---@param n integer|table how many, each 0 or false; or a list of what they are first, whose `n` is honoured
---@return mproc.Array? a the array, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Array(type, n) end

--- One shared number.
---@class mproc.Value
---@field value number|boolean the number, to read and to set
local v = {}

--- Adds, atomically. Raises when the sum leaves the range, and for booleans.
---@param n number what to add
---@return number sum the new value
function v:add(n) end

--- Sets, atomically with reading what was.
---@param x number|boolean the new value
---@return number|boolean before the value before
function v:exchange(x) end

--- Sets if the value is what is expected, atomically.
---@param old number|boolean what is expected
---@param new number|boolean the new value
---@return boolean swapped whether it was `old` and is `new` now
---@return number|boolean before the value before
function v:compare_exchange(old, new) end

--- Sets the value to what f makes of it, under the value's lock. When others change it meanwhile without the lock, f
--- is called again. Raises what f raises, the value staying as it was; and when this process holds the lock already.
--- When the process dies inside f the value stays as it was and the lock is free.
---@param f fun(value: any): any is given the value and returns the new one; it may yield
---@return number|boolean value the new value
function v:update(f) end

--- The value's own lock, for what takes several steps. Other calls but `update` do not heed it.
---@return mproc.Lock lock the same lock in all processes
function v:lock() end

--- Shared numbers by index: `a[i]` from 1 to `#a`. Reading outside gives nil, writing outside raises. `ipairs`
--- and `pairs` work. Calls that move many elements do not move them all at one moment; hold `a:lock()` for that.
---@class mproc.Array
---@field [integer] number|boolean the element at that index
local a = {}

--- A copy of a part.
---@param i? integer where it begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@return table list plain values
function a:sub(i, j) end

--- A copy of all.
---@return table list plain values
function a:totable() end

--- Sets elements from a list. All are checked before the first is stored. Raises when they do not fit in.
---@param i integer the index of the first
---@param list table the values; its `n` is honoured
function a:set(i, list) end

--- Sets all elements.
---@param x number|boolean what each becomes
function a:fill(x) end

--- The bytes of a part, of an array of `"uint8"`; raises for others.
---@param i? integer where it begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@return string bytes one character for each element
function a:bytes(i, j) end

--- Sets elements of an array of `"uint8"` from a string; raises for other arrays, and when it does not fit in.
---@param i integer the index of the first
---@param s string one byte for each element
function a:set_bytes(i, s) end

--- Adds to an element, atomically. Raises when the sum leaves the range, and for booleans.
---@param i integer its index
---@param n number what to add
---@return number sum its new value
function a:add(i, n) end

--- Sets an element, atomically with reading what was.
---@param i integer its index
---@param x number|boolean its new value
---@return number|boolean before its value before
function a:exchange(i, x) end

--- Sets an element if it is what is expected, atomically.
---@param i integer its index
---@param old number|boolean what is expected
---@param new number|boolean its new value
---@return boolean swapped whether it was `old` and is `new` now
---@return number|boolean before its value before
function a:compare_exchange(i, old, new) end

--- The array's own lock. Other calls do not heed it.
---@return mproc.Lock lock the same lock in all processes
function a:lock() end
