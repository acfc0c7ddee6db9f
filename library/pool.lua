---@meta _
-- SPDX-License-Identifier: MIT

--- # Pools
---
--- A number of workers, each a daemon process, that run functions for the process that made the pool, and for it
--- alone. Any Lua function may be given, also one made after the pool; its upvalues travel as they are at the call.
--- The pool moves along inside the calls of its owner that wait; there is no thread.
---
--- **Errors** of a task are raised where its result is asked for: a table stays that table, a string has the remote
--- traceback behind it. A worker that dies, by a signal, `os.exit` or for want of memory, costs its own task only,
--- whose error is an `mproc.Died`: of the items that it had in hand, the first without a result. Another worker
--- takes its place, and what it had not begun runs elsewhere; only a worker killed in the microsecond in which it
--- gives back a part of its items for others may leave some that run twice, each with one result still. When no
--- worker is left and none can be started, what is pending fails after five seconds. A result that cannot travel is
--- its task's error. Errors of futures that nobody asked for are told on stderr when the pool ends.
---
--- **Items** are a list, whose `n` is honoured; or several lists, as in `pool:map(f, { 1, 2 }, { 3, 4 })`: then f
--- gets an element of each, until the shortest ends; or an iterator, which may be followed by the three other values
--- of a generic for, as in `pool:imap(f, io.lines(name))`. A chunksize, or a table of options, comes behind all of
--- these. A table is one of options when it has an option's name and nothing at `[1]`; any other is a list, `{}` as
--- well. A number alone behind an iterator is a chunksize. The values of an iterator that gives several at once are the
--- arguments of one call. What reading an item raises ends the items.
---
--- Killing a worker, whatever for, takes the programs that its tasks have started along. A worker has the owner's
--- `package.path` and `package.cpath` as they are when a function is sent.

---@class mproc
local mproc = {}

--- The options of `mproc.Pool{...}`.
---@class mproc.PoolOptions
--- How many workers: a count, a share of the CPUs such as `"50%"`, or -1 for all CPUs but one, and so on. 0 with
--- `serial` only. Default: `mproc.cpu_count()`.
---@field processes? integer|string
--- Called in each worker before its first task. When it raises, all pending tasks fail with that error, and so do
--- later ones. Default: nothing.
---@field initializer? function
---@field initargs? any[] the initializer's arguments, with their `n` if there is one; default: none
---@field finalizer? function called in each worker that leaves in order; default: nothing
---@field maxtasksperchild? integer after so many tasks a worker is replaced; default nil: never
--- What becomes of the task of a worker that died: `"error"`: it fails; `"retry"`: it is tried again. Default:
--- `"error"`.
---@field on_crash? "error"|"retry"
---@field retries? integer attempts beyond the first, with `on_crash = "retry"`; default: 3
--- Seconds. The worker of a task that runs longer is killed, and the task fails with an `mproc.PoolError`; it is not
--- tried again. Default nil: no limit.
---@field task_timeout? number
--- Bytes. A worker whose memory is larger after a task is replaced. Default nil: never.
---@field maxmemoryperchild? integer
---@field rlimit? mproc.ResourceLimits soft limits of each worker; default nil: those of the owner
--- Whether calls with many items show on stderr how far they are: true shows a bar on a terminal, lines in a file
--- and nothing in a pipe; `"bar"` and `"lines"` show them anywhere. A function is called with the count done and the
--- total, which is nil while it is not known. Default: false.
---@field progress? boolean|"bar"|"lines"|fun(done: integer, total: integer?)
---@field cpu_affinity? boolean whether each worker is bound to a CPU of its own; default: false
--- Whether workers start without descriptors of the owner's, but 0 to 2 and mproc's own; default: false
---@field close_fds? boolean
---@field freeze_heap? boolean true: `mproc.freeze_heap()` before workers start, unless that was done; default: false
---@field serial? boolean true: no workers, the caller runs each task, for debugging; default: false
--- The address of a queue, such as `"redis://host:6379/0?queue=name"`: tasks run in programs `mproc worker`, on as
--- many machines as wanted, which join and leave as they like. Needs the rock mproc-redis;
--- `docs/several-machines.md` has the details. Functions go by their names, as fields of modules that the workers have,
--- too. What belongs to workers (`processes`, `initializer` and so on) is said to `mproc worker`, and is refused here.
--- Default nil: workers of this machine.
---@field url? string
--- With `url`. Seconds that the server may be away; then what is pending, and what comes until it is back, fails with
--- an `mproc.PoolError` of kind `"disconnected"`. Default: 300.
---@field patience? number
--- With `url`. Bytes that a message, which is one item or more, may have; one that needs more is refused: kind
--- `"too_large"`. Default: 8 MiB.
---@field max_bytes? integer
---@field window? integer with `url`: bytes that may wait at the server for one pool; default: 64 MiB

--- Soft limits, as `setrlimit` has them.
---@class mproc.ResourceLimits
---@field as? integer bytes of address space, without mproc's own; default nil: unchanged
---@field core? integer bytes of a core file; default nil: unchanged
---@field cpu? integer seconds of processor time; default nil: unchanged
---@field data? integer bytes of data; default nil: unchanged
---@field fsize? integer bytes of a file; default nil: unchanged
---@field nofile? integer descriptors; default nil: unchanged
---@field nproc? integer processes of the user; default nil: unchanged
---@field stack? integer bytes of the stack; default nil: unchanged

--- The options of calls with many items.
---@class mproc.ListOptions
---@field chunksize? integer items that go out together, from 1 up; default nil: chosen from the time that items take
---@field zip? boolean true: items is a list of lists, and the nth items of all of them are one call's; default: false
--- Seconds that one item may take, instead of the pool's `task_timeout`. Its worker is killed then, and it fails with
--- an `mproc.PoolError`. Default nil: what the pool has.
---@field timeout? number
--- As the pool's option. Default nil: what the pool has.
---@field progress? boolean|"bar"|"lines"|fun(done: integer, total: integer?)

--- The options of `pool:apply_async`. Callbacks run in the owner, inside a call that waits. One that raises is told on
--- stderr.
---@class mproc.AsyncOptions
---@field callback? function gets the results; default: nothing
---@field error_callback? function gets the error, which counts as asked for then; default: nothing
--- Seconds that the task may take, once it has begun, instead of the pool's `task_timeout`. Its worker is killed then,
--- and it fails with an `mproc.PoolError`. Default nil: what the pool has.
---@field timeout? number

--- Makes a pool, and starts its workers. As in Python the options may also be given by place.
---@param processes? integer|string|mproc.PoolOptions how many workers, or options; default: `mproc.cpu_count()`
---@param initializer? function as the option; default: nothing
---@param initargs? any[] as the option; default: none
---@param maxtasksperchild? integer as the option; default nil: never
---@return mproc.Pool? pool the pool, or nil
---@return string? message why its workers could not be started
---@return string? code the error's name, such as `"EAGAIN"`
function mproc.Pool(processes, initializer, initargs, maxtasksperchild) end

--- What a task can ask of the worker that runs it.
---@class mproc.Worker
---@field index integer its number in the pool, from 1 up; who replaces it takes the lowest that is free
---@field pid integer its pid
---@field tasks_done integer how many tasks or items it has done
---@field store table the worker's own, empty at its start, for what its tasks keep
---@field serial? true in a pool that is serial; nil elsewhere

--- The worker that runs this task.
---@return mproc.Worker? worker nil outside of tasks
function mproc.worker() end

--- What `mproc.Pool()` gives. It belongs to the process that made it: calls in another one raise. `<close>` joins it
--- at the end of the scope, or terminates it when an error ends the scope. After `close()` new tasks raise, after
--- `terminate()` too.
---@class mproc.Pool: mproc.Pollable
local pool = {}

--- Runs one task and waits for it. Raises its error.
---@param f function the task
---@param args? any[] its arguments, with their `n` if there is one; default: none
---@param kwargs? table given to it behind them, as one table; default: none
---@return any ... all its results
function pool:apply(f, args, kwargs) end

--- Gives one task to the workers.
---@param f function the task
---@param ... any its arguments
---@return mproc.Future future what it comes to
function pool:submit(f, ...) end

--- Gives one task to the workers.
---@param f function the task
---@param args? any[] its arguments, with their `n` if there is one; default: none
---@param kwargs? table given to it behind them, as one table; default: none
---@param options? mproc.AsyncOptions what to call when it has ended, and how long it may take; default: none
---@return mproc.Future future what it comes to
function pool:apply_async(f, args, kwargs, options) end

--- Calls f for each item and waits for all of them. Then raises the first item's error, if there is one.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return any[] list f's first results, in order
function pool:map(f, items, ...) end

--- `map`, each item being a list of arguments.
---@param f function called with an item's values
---@param items table|function a list of lists, or an iterator of them
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return any[] list f's first results, in order
function pool:starmap(f, items, ...) end

--- `map` that keeps no results.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
function pool:each(f, items, ...) end

--- `map` that does not wait. All items are read and sent before it returns.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return mproc.Future future of the list
function pool:map_async(f, items, ...) end

--- `starmap` that does not wait. All items are read and sent before it returns.
---@param f function called with an item's values
---@param items table|function a list of lists, or an iterator of them
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return mproc.Future future of the list
function pool:starmap_async(f, items, ...) end

--- Calls f for each item, for a generic for: `for i, value in pool:imap(f, items) do`. It reads a bounded window
--- ahead of what is fetched, so the items may be endless, and more than memory. An item's error is raised at that
--- item, and the next call of the iterator goes on behind it. A `break`, and dropping the iterator, stops what has
--- not begun.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return mproc.Stream iterator gives an item's index and f's first result, in order
---@return nil state unused
---@return nil control unused
---@return any closing ends the work, for the generic for
function pool:imap(f, items, ...) end

--- `imap` in the order in which results come.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return mproc.Stream iterator gives an item's index and f's first result
---@return nil state unused
---@return nil control unused
---@return any closing ends the work, for the generic for
function pool:imap_unordered(f, items, ...) end

--- Combines f's first results in the workers: `combine(combine(initial, f(item 1)), f(item 2))`, and so on. How that
--- is bracketed must not matter. Raises the first error.
---@param f function called with an item
---@param items table|function a list, or an iterator without other values
---@param combine fun(a: any, b: any): any makes one value of two; it travels, too
---@param initial? any what it begins with; default nil: the first result
---@param chunksize? integer|mproc.ListOptions items that one partial result takes; default nil: chosen from their time
---@return any value all combined; `initial` when there are no items
function pool:reduce(f, items, combine, initial, chunksize) end

--- The items for which f gives something true. Raises the first error.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return any[] list such items, in order
function pool:filter(f, items, ...) end

--- Whether f gives something true for at least one item. Stops as soon as that is known.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return boolean any false when there are no items
function pool:any(f, items, ...) end

--- Whether f gives something true for every item. Stops as soon as that is known.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return boolean all true when there are no items
function pool:all(f, items, ...) end

--- The first item for which f gives something true. Stops as soon as that is known.
---@param f function called with an item
---@param items table|function a list or an iterator
---@param ... any more lists, or an iterator's other values; a chunksize or `mproc.ListOptions`
---@return any item the item; nil when there is none
---@return integer? index its place, from 1 up
function pool:find(f, items, ...) end

--- No more tasks; those that were given are still done, in calls that wait.
function pool:close() end

--- Closes, and waits until all is done and the workers have left. Then tells on stderr of errors that nobody asked
--- for.
---@param timeout? number seconds; default nil: for ever
---@return boolean ended true; false when some tasks or workers have not ended
---@return "timeout"? word with false
function pool:join(timeout) end

--- Ends the workers, whatever they do. What is pending fails at once with an `mproc.PoolError`. With a `url`, what no
--- machine has fetched never runs, and what runs is ended at its worker's next beat.
---@param options? mproc.TerminateOptions how gently; default: they are killed
function pool:terminate(options) end

--- Moves things along once: results, callbacks, replacements, retries. For event loops.
---@param timeout? number seconds to wait when there is nothing to do; default: 0
---@return boolean any whether something has happened
function pool:step(timeout) end

--- A descriptor that turns readable when `step()` has something to do, and now and then without cause. Raises after
--- `terminate()`.
---@return integer? fd the same at each call, or nil
---@return string? message why there is none
---@return string? code the error's name
function pool:fileno() end

--- Changes the number of workers. Those that are too many leave once what was asked before has been taken. Raises
--- for a pool that is serial, and for one with a `url`, whose workers come and go by themselves.
---@param n integer|string|nil how many, as the option `processes`
---@return boolean? ok true, or nil
---@return string? message why workers could not be started; that is tried again
---@return string? code the error's name
function pool:resize(n) end

--- The workers that live.
---@return integer[]|string[] workers pids in the order of their index; with a `url` the names of worker programs
function pool:workers() end

--- What has been done so far.
---@return mproc.PoolStats stats a copy; `tostring` tells it in words
function pool:stats() end

--- Where the time of the workers went, and what to do about it. An estimate.
---@return string text some lines
---@return mproc.PoolInsights figures what the text was made of
function pool:insights() end

--- The options of `pool:terminate`.
---@class mproc.TerminateOptions
--- Seconds. Workers get SIGTERM, so that `<close>` variables of their tasks, and what `mproc.at_exit` has registered in
--- them, run; those that live after so long are killed. Default nil: they are killed at once.
---@field grace? number

--- What `pool:imap()` gives: an iterator for a generic for. Closing it, and dropping it, stops what has not begun.
---@class mproc.Stream
---@overload fun(): integer?, any
local stream = {}

--- The next item, as a call of the iterator gives it, for which it waits no longer than that. Raises the item's error.
---@param timeout? number seconds; default nil: for ever
---@return integer? index its place, from 1 up; nil at the end, and when the time is over
---@return any value f's first result; or `"timeout"`
function stream:next(timeout) end

--- Stops what has not begun, and lets go of what was not fetched: there is nothing more to fetch. A second time is
--- harmless.
function stream:close() end

--- What `pool:stats()` gives.
---@class mproc.PoolStats
---@field done integer tasks and items that ended well
---@field failed integer those that failed
---@field retried integer those that were tried again
---@field pending integer those that have not ended
---@field working number seconds that workers worked, those that are gone included
---@field waiting number seconds that they waited
---@field workers mproc.WorkerStats[] those that live, by their index

--- The figures behind `pool:insights()`. `capacity` is `workers * busy`, and the sum of `working`, `handing_over`
--- and `waiting`.
---@class mproc.PoolInsights
---@field tasks integer tasks and items that have ended
---@field messages integer in which they went out
---@field workers integer how many there are
---@field busy number seconds in which some call was under way
---@field capacity number seconds that workers had meanwhile
---@field working number seconds that tasks ran
---@field handing_over number seconds that went into sending and receiving them
---@field waiting number seconds in which workers had no task

--- One worker, in `mproc.PoolStats`.
---@class mproc.WorkerStats
---@field index integer its number in the pool
---@field pid? integer its pid; nil with a `url`
---@field name? string with a `url` what the worker program is called; nil without one
---@field processes? integer with a `url` how many the program has; nil without one
---@field done integer tasks and items that ended well; with a `url` for all owners
---@field failed integer those that failed
---@field working number seconds that it worked
---@field waiting number seconds that it waited

---@alias mproc.PoolErrorKind
---| "task_timeout"
---| "terminated"
---| "cancelled"
---| "no_workers"
---| "unknown_function"
---| "too_large"
---| "disconnected"
---| "refused"

--- An error that a pool itself makes for a task. `tostring` gives the message. It travels.
---@class mproc.PoolError
--- What happened. With a `url` also `"unknown_function"`: a worker cannot find or may not run it; `"too_large"`: a
--- message or a result; `"disconnected"`: the server was away for longer than the pool has patience; `"refused"`: the
--- server does not let this user, or would lose tasks.
---@field kind mproc.PoolErrorKind
---@field message string the same in words
---@field task? string the task, in words; nil when all that was pending has failed
---@field name? string the name of the system's error, with `"no_workers"`: workers could not be started; else nil
---@field timeout? number seconds: the limit that was passed; nil for other kinds
---@field pid? integer the worker that was killed for it; nil where there was none
