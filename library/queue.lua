---@meta _
-- SPDX-License-Identifier: MIT

--- # Queues
---
--- First in, first out, for any number of producers and consumers. Each message is delivered once, as a whole. A
--- message of a process that is killed inside `put` is there or not; one of a process that is killed inside `get` is
--- delivered or stays. What a dead reader had in hand, or in a lease, may come back behind what followed it. A
--- producer may be joined before anything is read, whatever it has put: without a `maxsize`, `put` writes to memory
--- that grows.

---@class mproc
local mproc = {}

--- The options of `mproc.Queue{...}`.
---@class mproc.QueueOptions
---@field maxsize? integer messages that may wait; default nil, and 0: no limit
--- What becomes of a leased message whose holder dies: `"requeue"` gives it back to the queue, at its place;
--- `"report"` gives it to `q:orphans()`. Default: `"requeue"`.
---@field on_death? "requeue"|"report"

--- The options of `mproc.JoinableQueue{...}`.
---@class mproc.JoinableQueueOptions
---@field maxsize? integer messages that may wait; default nil, and 0: no limit

--- Makes a queue.
---@param maxsize? integer|mproc.QueueOptions messages that may wait, or options; default nil, and 0: no limit
---@return mproc.Queue? q the queue, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.Queue(maxsize) end

--- Makes a queue that knows when all that was put into it is done.
---@param maxsize? integer|mproc.JoinableQueueOptions messages that may wait, or options; default nil, and 0: no limit
---@return mproc.JoinableQueue? q the queue, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.JoinableQueue(maxsize) end

--- Makes a queue with the simplest methods only, and no limit.
---@return mproc.SimpleQueue? q the queue, or nil
---@return string? message why there is none
---@return string? code the error's name
function mproc.SimpleQueue() end

--- What all queues have. `<close>` closes it at the end of the scope, in the process that opened the scope.
---@class mproc.SimpleQueue: mproc.Pollable
local q = {}

--- Puts a snapshot of the value at the end. It waits only while a `maxsize` is reached, never for a reader
--- otherwise. Raises when the queue is closed, also while it waits, and when the value cannot travel.
---@param value any what to put; nil too, but it must be given
---@param timeout? number seconds; default nil: for ever
---@return boolean? ok true; false when there was no room in time; nil when the arena is full
---@return string? word `"full"` with false, a message with nil
---@return string? code `"ENOMEM"` with nil
function q:put(value, timeout) end

--- Takes the first message, and waits for one. What decoding it raises, an error of a hook or of `require`, is
--- raised here, and the message is consumed.
---@param timeout? number seconds; default nil: for ever
---@return any value the value, which may be nil: then nothing follows; else nil
---@return "empty"|"closed"|nil word why there is none: the time is over; or closed, drained, and no lease is out
function q:get(timeout) end

--- Whether no message waits, exact at the moment of the call.
---@return boolean empty true when `get` would find nothing
function q:empty() end

--- Closes it, for everyone: further puts raise, gets drain what is there and then give `"closed"`.
function q:close() end

--- A descriptor for event loops, which turns readable when a message is there, or the queue is closed. It may also
--- turn readable without cause: take what is there with `get(0)` until that finds nothing. It is mproc's: do not
--- close it.
---@return integer? fd the same at each call, or nil
---@return string? message why there is none
---@return string? code the error's name, such as `"EMFILE"`
function q:fileno() end

--- What `mproc.Queue()` gives.
---@class mproc.Queue: mproc.SimpleQueue
local q = {}

--- `put` without waiting.
---@param value any what to put
---@return boolean? ok true; false when there is no room; nil when the arena is full
---@return string? word `"full"` with false, a message with nil
---@return string? code `"ENOMEM"` with nil
function q:put_nowait(value) end

--- `get` without waiting.
---@return any value the value, or nil
---@return "empty"|"closed"|nil word why there is none
function q:get_nowait() end

--- Puts each item of a list. All are encoded before the first is put, so one that cannot travel raises and nothing
--- is put. Raises when the queue is closed before the first. Messages go in stretches, each at once: what fits into
--- 64 KiB, a large one or one with mproc's objects alone; other producers' messages may come between. With a `maxsize`
--- it puts what fits, waits, and goes on.
---@param list any[] the values; its `n` is honoured, and a list with nil in it needs one
---@param timeout? number seconds, for all of them; default nil: for ever
---@return integer? count how many were put; nil when the arena is full and none was
---@return string? word when some were not: `"full"`, `"closed"`, or that the arena is full
---@return string? code `"ENOMEM"` with nil
function q:put_many(list, timeout) end

--- Takes what is there, and waits for the first message only. When decoding a later one raises, that one and all
--- behind it stay, and the list ends before it. Messages are taken in stretches of up to 32 KiB; what was taken and not
--- returned yet is lost when the process dies, as it is once it is returned.
---@param max integer how many at most, from 1 up
---@param timeout? number seconds, for the first; default nil: for ever
---@return any[]? list the values, with their count in `n`; or nil
---@return "empty"|"closed"|nil word why there is none
function q:get_many(max, timeout) end

--- How many messages wait, exact at the moment of the call. Leased ones do not count.
---@return integer count messages
function q:qsize() end

--- Whether as many messages wait as the `maxsize` allows; always false without one.
---@return boolean full true when `put` would wait
function q:full() end

--- For a generic for: `for i, value in q:items() do`, until the queue is closed and drained. It counts, so that a
--- nil value does not end the loop. It waits as `get()` does. With n above 1 it fetches up to so many messages at once,
--- which is faster when they are small and many; those that it has fetched and not given yet go back when the loop is
--- left, and are lost when the process dies, so that a death costs up to n messages instead of one.
---@param n? integer how many messages it may have in hand, from 1 up; default: 1
---@return fun(): integer?, any iterator gives 1, 2, 3 and so on, each with a value
---@return nil state nothing, and
---@return nil first nothing, as a generic for wants them
---@return any? closer with n above 1: what gives back the rest when the loop is left
function q:items(n) end

--- Takes the first message as a lease: it stays the queue's until `lease:done()`. When the process that has it dies,
--- or the lease is closed or dropped, the message goes back to its place, or to `orphans()`: so it is delivered at
--- least once. What decoding raises is raised here, and the message is consumed.
---@param timeout? number seconds; default nil: for ever
---@return any value the value; or nil
---@return mproc.Lease|"empty"|"closed" lease its lease; or why there is none
function q:lease(timeout) end

--- Takes what processes held when they died, from a queue made with `on_death = "report"`. Never waits.
---@return any[] values the messages, with their count in `n`
---@return integer[] pids whose each was, with their count in `n`
function q:orphans() end

--- A message that was taken and is not yet done. It belongs to the process that took it, and does not travel.
---@class mproc.Lease
local lease = {}

--- The message is delivered. Raises when the lease has ended, and in a fork of the process that took it.
function lease:done() end

--- Gives the message back to the queue, unless it is done. So do the end of a `<close>` scope and the collector.
function lease:close() end

--- What `mproc.JoinableQueue()` gives.
---@class mproc.JoinableQueue: mproc.Queue
local q = {}

--- Says that a message which was taken is done. Raises when that was said more often than messages were taken.
function q:task_done() end

--- Waits until all messages that were put are done. Those that a process had taken and not done when it died are
--- given up.
---@param timeout? number seconds; default nil: for ever
---@return boolean done true; false when some are not done
---@return "timeout"|"abandoned"|nil word `"timeout"` with false; `"abandoned"` with true: some were given up
function q:join(timeout) end

--- How many messages were put and are not done.
---@return integer count exact while nobody puts or takes
function q:unfinished() end
