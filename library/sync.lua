---@meta _
-- SPDX-License-Identifier: MIT

--- # Synchronisation
---
--- Locks and the like are owned by processes, and survive them: when a process dies that holds one, the next to
--- acquire it gets `true, "abandoned"`, once, so that it can look at what the lock protects. What waits is woken,
--- whoever dies.
---
--- Those that are acquired have two forms for scopes. `x:with(f, ...)` acquires, calls `f(...)`, releases, and
--- returns what f returned, or raises what it raised. `local _ <close> = x:guard()` releases at the end of the
--- scope. Both leave alone what was released by hand, but for semaphores, and what a child inherits of a scope is
--- not its own to release.

---@class mproc
local mproc = {}

--- Makes a lock that one process at a time can hold.
---@return mproc.Lock? lock the lock, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Lock() end

--- Makes a lock that its owner may acquire again, and releases as often.
---@return mproc.RLock? lock the lock, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.RLock() end

--- Makes a counter of permits that any process lowers and raises. It knows nobody: what a dead process took stays
--- taken.
---@param n? integer the permits there are to begin with, from 0 on; default: 1
---@return mproc.Semaphore? semaphore the semaphore, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Semaphore(n) end

--- Makes a semaphore that never has more than its first permits, and that gets those of a dead process back.
---@param n? integer the permits there are, from 0 on; default: 1
---@return mproc.BoundedSemaphore? semaphore the semaphore, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.BoundedSemaphore(n) end

--- Makes a condition.
---@param lock? mproc.Lock the lock that belongs to it, a Lock or an RLock; default: an RLock of its own
---@return mproc.Condition? condition the condition, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Condition(lock) end

--- Makes an event, which is not set.
---@return mproc.Event? event the event, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Event() end

--- Makes a barrier.
---@param parties integer how many processes meet, from 1 up
---@param action? function what the last to come calls before all go on; default nil: nothing
---@param timeout? number seconds, for each wait that is given none; default nil: for ever
---@return mproc.Barrier? barrier the barrier, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Barrier(parties, action, timeout) end

--- Makes a lock that many may hold to read, or one to write.
---@return mproc.RWLock? lock the lock, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.RWLock() end

--- What `guard` gives: releases at the end of its `<close>` scope what was acquired. It does not travel.
---@class mproc.Guard
local guard = {}

--- Releases now. A second time is harmless.
function guard:release() end

--- The same as `release`.
function guard:close() end

--- What `mproc.Lock()` gives.
---@class mproc.Lock
local lock = {}

--- Waits until it is free, and takes it. Raises when this process holds it already, no timeout is given and it is no
--- RLock; and when this process holds 1,024 locks.
---@param timeout? number seconds; default nil: for ever
---@return boolean ok true; false when it was not free in time
---@return "abandoned"|"timeout"|nil word `"abandoned"` with true: its last owner died with it; `"timeout"` with false
function lock:acquire(timeout) end

--- Releases it. Raises unless this process holds it.
function lock:release() end

--- Whether any process holds it.
---@return boolean locked false as well when its owner has died
function lock:locked() end

--- Who holds it.
---@return integer? pid of the process, or nil
function lock:owner() end

--- Whether this process holds it.
---@return boolean mine true for its owner
function lock:mine() end

--- Calls a function while the lock is held.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function lock:with(f, ...) end

--- Acquires for a scope.
---@param timeout? number seconds; default nil: for ever
---@return mproc.Guard? guard releases it; nil when it was not free in time
---@return "abandoned"|"timeout"|nil word as that of `acquire`
function lock:guard(timeout) end

--- What `mproc.RLock()` gives: its owner may acquire it again, up to 2^32 - 1 times, and it is free once it has been
--- released as often.
---@class mproc.RLock: mproc.Lock
local lock = {}

--- What `mproc.Semaphore()` gives.
---@class mproc.Semaphore
local semaphore = {}

--- Waits for a permit, and takes it.
---@param timeout? number seconds; default nil: for ever
---@return boolean ok true; false when there was none in time
---@return "timeout"? word with false
function semaphore:acquire(timeout) end

--- Gives permits back, whoever took them. A bounded one raises when fewer are out.
---@param k? integer how many, from 1 up; default: 1
function semaphore:release(k) end

--- How many permits there are to take.
---@return integer value permits
function semaphore:get_value() end

--- Calls a function with a permit, and gives that back.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function semaphore:with(f, ...) end

--- Takes a permit for a scope.
---@param timeout? number seconds; default nil: for ever
---@return mproc.Guard? guard gives it back; nil when there was none in time
---@return "timeout"? word with nil
function semaphore:guard(timeout) end

--- What `mproc.BoundedSemaphore()` gives.
---@class mproc.BoundedSemaphore: mproc.Semaphore
local semaphore = {}

--- What `mproc.Condition()` gives: waiting, with a lock released meanwhile, until another process notifies. The
--- methods of the lock are its own. A notification that a process got and died before it went on goes to the next
--- that waits.
---@class mproc.Condition: mproc.Lock
local condition = {}

--- Releases the lock, waits to be notified, and acquires it again. An RLock is released however often it is held.
--- Raises unless this process holds the lock. It may also return after its time only because the lock is not free.
---@param timeout? number seconds, until it is notified; default nil: for ever
---@return boolean notified true; false when nobody did in time
---@return "timeout"|"abandoned"|nil word `"timeout"` with false; `"abandoned"` with true: as that of `acquire`
---@return "abandoned"? more behind `"timeout"`: the same
function condition:wait(timeout) end

--- Waits until a predicate gives something true; it is called with the lock held, first at once. What it raises is
--- raised, with the lock held. Raises unless this process holds the lock.
---@param predicate fun(): any tells whether to go on
---@param timeout? number seconds; default nil: for ever
---@return any value what the predicate gave; false when it gave nothing true in time
---@return "timeout"|"abandoned"|nil word as those of `wait`
---@return "abandoned"? more behind `"timeout"`: the same
function condition:wait_for(predicate, timeout) end

--- Lets processes that wait go on, once the lock is released. Raises unless this process holds the lock.
---@param n? integer how many at most, those that wait longest; default: 1
function condition:notify(n) end

--- Lets all that wait go on. Raises unless this process holds the lock.
function condition:notify_all() end

--- What `mproc.Event()` gives.
---@class mproc.Event
local event = {}

--- Sets it, and wakes all that wait.
function event:set() end

--- Makes it not set.
function event:clear() end

--- Whether it is set.
---@return boolean set at the moment of the call
function event:is_set() end

--- Waits until it is set.
---@param timeout? number seconds; default nil: for ever
---@return boolean ok true; false when it was not set in time
---@return "timeout"? word with false
function event:wait(timeout) end

--- Calls a function while it is set: sets it, calls `f(...)`, and makes it not set. A process that is killed
--- meanwhile leaves it set.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function event:with(f, ...) end

--- Sets it for a scope, at whose end it is not set. Never waits.
---@param timeout? number seconds; without a meaning, for it never waits; default: nil
---@return mproc.Guard guard makes it not set
function event:guard(timeout) end

--- What `mproc.Barrier()` gives: a number of processes wait until all of them have come, again and again. A process
--- that dies while it waits breaks the barrier.
---@class mproc.Barrier
---@field parties integer how many meet; it cannot be set
---@field n_waiting integer how many wait at this moment; it cannot be set
---@field broken boolean whether waits give `"broken"` until `reset()`; it cannot be set
---@field action? function what the last to come calls; nil: nothing
---@field timeout? number seconds, for waits that are given none; nil: for ever
local barrier = {}

--- Waits for the others. The last to come calls the action, if there is one, before all go on; what that raises is
--- raised there and breaks the barrier. A wait inside the action raises.
---@param timeout? number seconds; default nil: the barrier's own
---@return integer? index 0 for the first to come, and so on to parties - 1; or nil
---@return "timeout"|"broken"|nil word `"timeout"` for the late one, which breaks it; `"broken"` for the others
function barrier:wait(timeout) end

--- Breaks it: all that wait, and that come, get `nil, "broken"`.
function barrier:abort() end

--- Makes it as new: those that wait get `nil, "broken"`, those that come wait for each other.
function barrier:reset() end

--- Waits for the others, as `wait()` does, and calls a function then. When that raises the barrier is aborted: the
--- others do not wait for who will not come again.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns; or nil, `"timeout"` or `"broken"`, when they have not met, and f is not called
function barrier:with(f, ...) end

--- Waits for the others, for a scope that aborts the barrier when an error ends it.
---@param timeout? number seconds; default nil: the barrier's own
---@return mproc.Guard? guard of the scope; nil when they have not met
---@return "timeout"|"broken"|nil word as that of `wait`
function barrier:guard(timeout) end

--- What `mproc.RWLock()` gives: any number of processes read, or one writes. A writer that waits keeps new readers
--- out; those that waited while it wrote read before the next write. A reader that dies blocks nobody. When a writer
--- dies while it writes, all that acquire get `"abandoned"`, until one has written.
---@class mproc.RWLock
local lock = {}

--- Waits until nobody writes, and reads. A process may do so again while it reads. Raises when this process writes.
---@param timeout? number seconds; default nil: for ever
---@return boolean ok true; false when it could not in time
---@return "abandoned"|"timeout"|nil word `"abandoned"` with true, `"timeout"` with false
function lock:read_acquire(timeout) end

--- Ends one reading. Raises when this process does not read.
function lock:read_release() end

--- Waits until nobody reads or writes, and writes. Raises when this process reads, when it writes already and no
--- timeout is given, and when it holds 1,024 locks.
---@param timeout? number seconds; default nil: for ever
---@return boolean ok true; false when it could not in time
---@return "abandoned"|"timeout"|nil word `"abandoned"` with true, `"timeout"` with false
function lock:write_acquire(timeout) end

--- Ends the writing. Raises when this process does not write.
function lock:write_release() end

--- Whether this process reads.
---@return boolean reads at the moment of the call
function lock:reads() end

--- Whether this process writes.
---@return boolean writes at the moment of the call
function lock:writes() end

--- Calls a function while it reads.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function lock:read_with(f, ...) end

--- Calls a function while it writes.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function lock:write_with(f, ...) end

--- The same as `write_with`.
---@param f function what to call
---@param ... any given to it
---@return any ... what it returns
function lock:with(f, ...) end

--- Reads for a scope.
---@param timeout? number seconds; default nil: for ever
---@return mproc.Guard? guard ends the reading; nil when it could not in time
---@return "abandoned"|"timeout"|nil word as that of `read_acquire`
function lock:read_guard(timeout) end

--- Writes for a scope.
---@param timeout? number seconds; default nil: for ever
---@return mproc.Guard? guard ends the writing; nil when it could not in time
---@return "abandoned"|"timeout"|nil word as that of `write_acquire`
function lock:write_guard(timeout) end

--- The same as `write_guard`.
---@param timeout? number seconds; default nil: for ever
---@return mproc.Guard? guard ends the writing; nil when it could not in time
---@return "abandoned"|"timeout"|nil word as that of `write_acquire`
function lock:guard(timeout) end
