---@meta _
-- SPDX-License-Identifier: MIT

--- # Shared data
---
--- Tables that all processes see, in shared memory, without a server. Readers take no lock and never wait for a writer,
--- be it alive, stopped or dead; a process killed in the middle of a call has done it, or not. What a container is sent
--- in, or stored in, is a handle: all have the same data.
---
--- A key is a string of up to 32 KiB, an integer (2.0 is 2), a float but NaN, a boolean, or an mproc object such as a
--- queue. Tables and functions are other ones in each process, and raise.
---
--- A value is a snapshot: what was got is a copy, and changing it changes nothing in the container; put it back, use
--- `update`, or store a container in the container. A value of 32 KiB and more lies by itself, and costs nothing while
--- it is not read. Each `get` of a table decodes it: keep what you read in a local.
---
--- An empty container is one page of 4 KiB. Containers that hold each other in a circle live as long as the tree.
--- `mproc.wait` does not take containers: they have no moment at which they become ready; use a queue or an event
--- beside them. A call that finds no room in the arena raises, and has done nothing.

---@class mproc
local mproc = {}

--- Makes a shared table.
---@param t? table|mproc.Namespace what is in it first; or a Namespace, whose data the Dict then is; default: nothing
---@param options? mproc.DictOptions bounds; default: none
---@return mproc.Dict? d the table, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Dict(t, options) end

--- Bounds of a Dict: at a bound, the oldest entries that were not read since the last time go. A Dict of many entries
--- is kept in 256 parts, each of which has its share of the bound; an entry that takes more than that has its part
--- alone, and one that takes more than the bound raises.
---@class mproc.DictOptions
---@field max_entries? integer how many entries there may be; default: no bound
---@field max_bytes? integer how many bytes keys and values may take, each with 16 and more; default: no bound
---@field ttl? number seconds after which an entry is gone, unless it was set again; default: for ever

--- Makes a shared list.
---@param list? table|mproc.List what is in it first, whose `n` is honoured; default: nothing
---@return mproc.List? l the list, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.List(list) end

--- Makes a shared set.
---@param list? table what is in it first, whose `n` is honoured; default: nothing
---@return mproc.Set? s the set, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Set(list) end

--- Makes a shared record: every name is data, as in `ns.count = 1`.
---@param t? table what is in it first; default: nothing
---@return mproc.Namespace? ns the record, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Namespace(t) end

--- A shared table. `d[k]` and `d[k] = v` are get and set, but that assigning to a method's name raises; use `get` and
--- `set` for keys that come from outside. Storing nil deletes. `#d` is the number of entries, exact while nobody
--- writes; once one has been given a time, all are looked at. `pairs(d)` gives a key that is there throughout the loop
--- exactly once, with a value that it had meanwhile; what is set or deleted in that time may show or not; changing d
--- in the loop is allowed.
---
--- `d.n = d.n + 1` by several processes loses counts: that is what `add` is for.
---@class mproc.Dict
---@field [any] any the value of that key
local d = {}

--- Reads a key.
---@param k string|number|boolean|userdata the key
---@param default? any what stands for a key that is absent; default: nil
---@return any value a copy of the value; a shared object is the object itself
function d:get(k, default) end

--- Sets a key.
---@param k string|number|boolean|userdata the key
---@param v any any value that can travel; nil deletes
---@param ttl? number seconds after which it is gone; default: the Dict's own
function d:set(k, v, ttl) end

--- Whether a key is there.
---@param k string|number|boolean|userdata the key
---@return boolean there whether it is
function d:has(k) end

--- Adds to a number, atomically, as Lua adds: integers wrap, an integer and a float make a float. Raises when something
--- else is there. In a Dict with a ttl it does not lengthen the time of what is there.
---@param k string|number|boolean|userdata the key
---@param n number what to add
---@param initial? number what an absent key counts as; default: 0
---@return number sum the new value
function d:add(k, n, initial) end

--- Sets a key if it is absent, atomically.
---@param k string|number|boolean|userdata the key
---@param v any what to set; not nil
---@param ttl? number seconds after which it is gone; default: the Dict's own
---@return any value what is there now: what was, or v
function d:setdefault(k, v, ttl) end

--- Sets a key, atomically with reading what was.
---@param k string|number|boolean|userdata the key
---@param v any the new value; nil deletes
---@return any before the value before; nil when there was none
function d:exchange(k, v) end

--- Takes a key out.
---@param k string|number|boolean|userdata the key
---@param default? any what stands for a key that is absent; default: nil
---@return any value what was there: one process alone gets it
function d:pop(k, default) end

--- Sets a key if it has what is expected, atomically. Shared objects are compared as such.
---@param k string|number|boolean|userdata the key
---@param old any what is expected: nil for absent, a boolean, a number, a string or a shared object; a table raises
---@param new any the new value; nil deletes
---@return boolean swapped whether it was `old` and is `new` now
---@return any before the value before
function d:compare_exchange(k, old, new) end

--- Sets a key to what f makes of its value. f runs without any lock: it may yield, raise or be killed, and nothing has
--- happened; when others have changed the value meanwhile it is called again with the new one. Raises when they do so
--- for a second on end. It does not heed `lock`.
---@param k string|number|boolean|userdata the key
---@param f fun(value: any): any is given the value, nil when absent, and returns the new one; nil deletes
---@return any value the new value
function d:update(k, f) end

--- All keys.
---@return table list in no order
function d:keys() end

--- All values.
---@return table list in no order
function d:values() end

--- A copy of all, as of one instant: writers wait meanwhile.
---@return table t a plain table
function d:totable() end

--- Sets all keys of a table, each by itself. All are looked at before the first is set; a process killed in the middle
--- has set a part of them.
---@param t table keys and values
function d:set_many(t) end

--- Deletes all, part by part: a process killed in the middle has deleted a part.
function d:clear() end

--- The Dict's own lock, for what takes several steps. Other calls, `update` too, do not heed it.
---@return mproc.Lock lock the same lock in all processes
function d:lock() end

--- Calls f while this process holds the Dict's lock.
---@param f fun(...): ... is given what follows
---@param ... any arguments of f
---@return any ... what f returns
function d:with(f, ...) end

--- What it takes.
---@return mproc.DictStats stats numbers of this moment
function d:stats() end

--- Lets go of it here; others go on. Further calls here raise. It ends with its last handle.
function d:close() end

--- What a Dict takes.
---@class mproc.DictStats
---@field entries integer entries there are, with those whose time is over
---@field bytes integer memory of its tables
---@field dead integer bytes of entries that were replaced or deleted; the next copy of their table leaves them out
---@field stripes integer parts, each with a lock for its writers
---@field copies integer how often a table was copied, to grow, to shrink or to leave out what is dead
---@field evictions integer entries that went at a bound

--- A shared list: `l[i]` from 1 to `#l`, without holes. Reading outside gives nil; writing outside, and writing nil,
--- raise: `l[#l + 1] = v` by two processes would overwrite. `ipairs`, `pairs`, `table.unpack` and `table.concat` work.
--- Items are what can be values of a Dict. `append`, `pop` and `shift` take the same time however long the list is;
--- `insert` and `remove` in the middle copy it.
---@class mproc.List
---@field [integer] any the item at that index
local l = {}

--- Adds an item behind the last.
---@param v any the item; not nil
function l:append(v) end

--- Adds all items of a list behind the last, at once: others see none or all.
---@param list table|mproc.List the items; its `n` is honoured
function l:extend(list) end

--- Adds an item before another.
---@param i integer the index that it will have, up to `#l + 1`
---@param v any the item; not nil
function l:insert(i, v) end

--- Takes an item out; those behind it move up. Raises for an index outside.
---@param i? integer its index; default: the last
---@return any item what was there; nil when the list is empty and no index is given
function l:remove(i) end

--- Takes the last item out.
---@return any item what was there: one process alone gets it; nil when the list is empty
function l:pop() end

--- Takes the first item out.
---@return any item what was there: one process alone gets it; nil when the list is empty
function l:shift() end

--- A copy of a part, as of one instant.
---@param i? integer where it begins, as for `string.sub`; default: 1
---@param j? integer where it ends; default: -1
---@return table list a plain list
function l:sub(i, j) end

--- A copy of all, as of one instant.
---@return table list a plain list
function l:totable() end

--- Sets an item to what f makes of it, as a Dict's `update` does.
---@param i integer its index
---@param f fun(value: any): any is given the item and returns the new one, not nil; it may run more than once
---@return any value the new item
function l:update(i, f) end

--- Adds to a number, atomically. Raises when something else is there.
---@param i integer its index
---@param n number what to add
---@return number sum the new value
function l:add(i, n) end

--- Sorts, keeping what is equal in order: a copy is sorted and put back, from the beginning when others have changed
--- the list meanwhile. Raises when that has happened ten times and more, for a second: hold the `lock` for it then.
---@param cmp? fun(a: any, b: any): boolean whether a comes before b; default: `a < b`
function l:sort(cmp) end

--- Looks for an item.
---@param v any a boolean, a number, a string or a shared object; a table raises
---@return integer? i the first index where it is, or nil
function l:index(v) end

--- Takes all items out.
function l:clear() end

--- The List's own lock. Other calls do not heed it.
---@return mproc.Lock lock the same lock in all processes
function l:lock() end

--- Calls f while this process holds the List's lock.
---@param f fun(...): ... is given what follows
---@param ... any arguments of f
---@return any ... what f returns
function l:with(f, ...) end

--- Lets go of it here; others go on.
function l:close() end

--- A shared set of what can be a key. `#s` is how many there are; `pairs(s)` gives each with true, as a Dict's does.
---@class mproc.Set
local s = {}

--- Puts something in.
---@param x string|number|boolean|userdata what
---@return boolean new whether it was not there before
function s:add(x) end

--- Whether something is there.
---@param x string|number|boolean|userdata what
---@return boolean there whether it is
function s:has(x) end

--- Takes something out.
---@param x string|number|boolean|userdata what
---@return boolean was whether it was there
function s:remove(x) end

--- A copy, as of one instant.
---@return table t a plain table that has true for each
function s:totable() end

--- Takes all out, part by part.
function s:clear() end

--- The Set's own lock. Other calls do not heed it.
---@return mproc.Lock lock the same lock in all processes
function s:lock() end

--- Calls f while this process holds the Set's lock.
---@param f fun(...): ... is given what follows
---@param ... any arguments of f
---@return any ... what f returns
function s:with(f, ...) end

--- Lets go of it here; others go on.
function s:close() end

--- A shared record: `ns.name` and `ns.name = v`, for every name. `pairs(ns)` and `#ns` are as a Dict's; all its other
--- methods are those of `mproc.Dict(ns)`, the same data.
---@class mproc.Namespace
---@field [any] any the value of that name
