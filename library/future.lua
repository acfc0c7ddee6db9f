---@meta _
-- SPDX-License-Identifier: MIT

--- # Futures
---
--- What a pool's asynchronous calls give: a result that may not be there yet. A future belongs to the process that
--- made its pool, and does not travel.

---@class mproc
local mproc = {}

--- For a generic for: `for future in mproc.as_completed(list) do`, each future once, as they end. When the time is
--- over the iterator gives `nil, "timeout"`.
---@param list mproc.Future[] of one pool or several
---@param timeout? number seconds, for all of them; default nil: for ever
---@return fun(): mproc.Future?, string? iterator gives the next that has ended
function mproc.as_completed(list, timeout) end

--- Waits for futures. The second argument may be left out: `mproc.wait_all(list, 5)`.
---@param list mproc.Future[] of one pool or several; its `n` is honoured
---@param until_when? "all"|"first_completed"|"first_error" how long; default: `"all"`
---@param timeout? number seconds; default nil: for ever
---@return mproc.Future[] done those that have ended, in the order of the list
---@return mproc.Future[] pending the others, in the order of the list
function mproc.wait_all(list, until_when, timeout) end

--- One task, or one `map_async`, that was given to a pool. Waiting for one moves all of its pool along.
---@class mproc.Future
local future = {}

--- Waits, and returns the results. Raises the task's error, each time it is called.
---@param timeout? number seconds; default nil: for ever
---@return any ... all results of the task, or the list of a `map_async`; or nil, `"timeout"`
function future:get(timeout) end

--- Waits for its end, and raises no error.
---@param timeout? number seconds; default nil: for ever
---@return boolean ended true; false when it has not
---@return "timeout"? word with false
function future:wait(timeout) end

--- Whether it has ended. Does not wait.
---@return boolean ready however it ended
function future:ready() end

--- The same as `ready`.
---@return boolean done however it ended
function future:done() end

--- Whether it has ended, and without an error. Does not wait.
---@return boolean successful false while it runs
function future:successful() end

--- Calls it off, if nothing of it has begun. Its error is an `mproc.PoolError` of the kind `"cancelled"` then.
---@return boolean cancelled false when it is too late
function future:cancel() end

--- Ends it, whatever it does: calls it off, or kills the workers that run it, which are replaced; others keep theirs.
--- Its error is an `mproc.PoolError` of the kind `"cancelled"` or `"terminated"` then.
---@return boolean ended false when it had ended before
function future:terminate() end

--- Whether it was called off.
---@return boolean cancelled true when `cancel()` was in time
function future:cancelled() end

--- Whether a worker has begun it, or a part of it, and it has not ended.
---@return boolean running at the moment of the call
function future:running() end

--- Waits, and returns the error, which counts as asked for then.
---@param timeout? number seconds; default nil: for ever
---@return any error nil when there is none
---@return "timeout"? word when it has not ended in time
function future:exception(timeout) end

--- Calls f with the future once it has ended: now, or inside a call of the owner's that waits. In the order of being
--- added. One that raises is told on stderr.
---@param f fun(future: mproc.Future) what to call
function future:add_done_callback(f) end
