---@meta _
-- SPDX-License-Identifier: MIT

--- # Processes
---
--- A process is a fork of the Lua state that starts it. Its target sees its upvalues as they were at `start()`;
--- arguments and results travel as values. Its `math.random` is seeded anew, its standard input is `/dev/null` (a
--- program that was started without one may have a file of its own at descriptor 0: that stays). SIGINT has its
--- default action, and so has every signal for which the parent has a handler (those for the program's own faults, as
--- SIGSEGV, stay; what is ignored stays ignored). Nothing that the parent had buffered is written twice. `os.exit`
--- ends it with that code and runs nothing that was inherited.
---
--- At the end of a program, and of any process, its non-daemon children are joined and its daemons terminated. When
--- a parent dies, however, its daemons are killed and the others finish their work.

---@class mproc
local mproc = {}

--- The options of `mproc.Process{...}`.
---@class mproc.ProcessOptions
---@field target? function what the child calls; nil only in a subclass with a `run` of its own
--- The list of arguments, with its `n` if it has one; what is no table is one argument. Default: none.
---@field args? any
---@field kwargs? table given to the target behind the arguments, as one table; default: none
---@field name? string default: `Process-` and numbers: `Process-1:2` is the second child of `Process-1`
---@field daemon? boolean whether it ends with its parent; default: as the process that makes it
--- True: it has none of its parent's descriptors but 0 to 2 (and mproc's own): no pipe of `io.popen`, no listening
--- socket, no open file. Lua's objects for these are there, and fail. Default: false.
---@field close_fds? boolean
---@field freeze_heap? boolean true: calls `mproc.freeze_heap()` before it starts, unless that was done; default: false

--- What `terminate` and `kill` take.
---@class mproc.SignalOptions
---@field tree? boolean true: its descendants too; default: false

--- A process, in the one that made it. In a process that it is sent to it is an `mproc.Peer`. A variable with
--- `<close>` joins it at the end of its scope, after `terminate()` when an error ends the scope, and closes it.
---
--- Arguments are serialized when it is made, so one that cannot travel raises there.
---@class mproc.Process: mproc.Pollable
---@field authkey string the key of its sockets; default: its maker's. Settable until `start()`, and by itself
---@field name string its name; setting it does not change what others have been sent
---@field pid? integer nil before it is started
---@field ident? integer the same as `pid`, or nil
---@field daemon boolean whether it ends with its parent; may be set before `start()`, raises later
--- nil until it is known to have ended; then 0, 1 after an uncaught error, what `os.exit` was given, or minus the
--- signal that killed it. Looking does not wait.
---@field exitcode? integer
--- A descriptor that turns readable when the process has ended, valid until `close()`. Raises before `start()`, in
--- other processes than the parent, and when no descriptor is to be had.
---@field sentinel integer
---@overload fun(target: function, ...: any): mproc.Process
---@overload fun(options: mproc.ProcessOptions): mproc.Process
local p = {}

--- The class of processes: called it makes one, `mproc.Process:extend()` makes a subclass.
mproc.Process = p

--- A subclass. Its objects are made by calling it; then its `init` gets the arguments, and need not call the one
--- above. It is called on the class: `local Greeter = mproc.Process:extend()`.
---@param methods? table the subclass, with the methods it has so far; default: an empty table
---@return mproc.Process class the same table
function p:extend(methods) end

--- The constructor. A subclass may override it.
---@param ... any what the class was called with
function p:init(...) end

--- What the child executes: calls the target. A subclass may override it. Called by hand it runs here, in the
--- caller.
---@return any ... what the target returns
function p:run() end

--- Starts it. Raises when it has been started before, by a process that did not make it, and without a target or a
--- `run`. When the fork fails nothing is left behind, and it may be started again.
---@return mproc.Process? p itself, or nil
---@return string? message why it could not be started
---@return string? code the error's name, such as `"EAGAIN"`
function p:start() end

--- Waits for its end. Raises before `start()`, on itself, and in a process that is not its parent.
---@param timeout? number seconds; default nil: for ever
---@return boolean ended true; false when it still runs
---@return "timeout"? word why not
function p:join(timeout) end

--- Waits for what the target returned, and returns it, each time it is called. Raises what the child raised: a table
--- stays a table, a string has the remote traceback behind it. Raises an `mproc.Died` when the process was killed or
--- called `os.exit` before its target returned. Otherwise as `join`.
---@param timeout? number seconds; default nil: for ever
---@return any ... all values that the target returned; or nil, `"timeout"`
function p:result(timeout) end

--- Whether it runs; false before `start()`. Any process may ask.
---@return boolean alive whether it has been started and has not ended
function p:is_alive() end

--- Sends SIGTERM. Harmless once it has ended. Raises before `start()`, and on itself.
---@param options? mproc.SignalOptions default nil: the process alone
---@return boolean? sent true, or nil
---@return string? message why the signal could not be sent
---@return string? code the error's name
function p:terminate(options) end

--- Sends SIGKILL; else as `terminate`.
---@param options? mproc.SignalOptions default nil: the process alone
---@return boolean? sent true, or nil
---@return string? message why the signal could not be sent
---@return string? code the error's name
function p:kill(options) end

--- Sends SIGINT, as Ctrl-C does; else as `terminate`. A process that does not handle it ends with exit code -2.
---@return boolean? sent true, or nil
---@return string? message why the signal could not be sent
---@return string? code the error's name
function p:interrupt() end

--- The sentinel by another name, for event loops.
---@return integer fd a descriptor that turns readable when the process has ended
function p:fileno() end

--- Frees what the parent keeps of it. Raises while it runs, and in a process that is not its parent. Afterwards
--- `name`, `pid` and `exitcode` still tell; other calls raise.
function p:close() end

--- A process as others see it that are not its parent: what `mproc.parent_process()` gives,
--- `mproc.current_process()` in the main process, and what arrives when a process is sent in a message.
---@class mproc.Peer
---@field authkey string? the key of this process's sockets, which it may set; nil for other processes
---@field name string its name when it was sent; `MainProcess` in the main one
---@field pid? integer nil when it had not been started then
---@field ident? integer the same as `pid`, or nil
---@field daemon boolean whether it ends with its parent
---@field package _ref integer names it in the whole tree of processes
local peer = {}

--- Whether it runs. Any process of the tree may ask.
---@return boolean alive false as well when it was not started
function peer:is_alive() end

--- Waits for its end. Raises unless it is this process's parent; the end of others is their parent's to know.
---@param timeout? number seconds; default nil: for ever
---@return boolean ended true; false when it still runs
---@return "timeout"? word why not
function peer:join(timeout) end

--- The error of a process that ended before its target returned, or of a manager that is gone. `tostring` tells it in
--- words. It travels.
---@class mproc.Died
---@field kind "worker_died"|"manager_died" which of the two
---@field name string the name of the process
---@field pid? integer its pid; nil of a manager beyond a socket
---@field signal? integer the signal that killed it; nil when it ended by itself, and of managers
---@field exitcode? integer as `p.exitcode`: minus the signal, or what `os.exit` was given; nil of managers
---@field message? string of managers: what `tostring` gives; nil elsewhere
---@field task? string in a pool: the task that it ran, in words; nil elsewhere
--- In a pool: what earlier attempts came to, each `{ pid =, signal =, exitcode = }`, oldest first. nil elsewhere.
---@field deaths? table[]

--- The process that runs here. In the main process, and in one that something else than mproc has forked, it is a
--- `mproc.Peer` named `MainProcess`.
---@return mproc.Process|mproc.Peer process its name, pid and daemon can be read
function mproc.current_process() end

--- The process that started this one.
---@return mproc.Peer? parent nil in the main process
function mproc.parent_process() end

--- This process's children that run, pools' workers among them.
---@return mproc.Process[] list in no order
function mproc.active_children() end

--- What `mproc.at_fork` takes. An error in `before` keeps the process from being started, and `start()` raises it,
--- as it does one in `parent`, the child running nevertheless; one in `child` ends the child, as an error of its
--- target does.
---@class mproc.ForkHooks
---@field before? fun() called in the parent before each fork, last registered first; default: nothing
---@field parent? fun() called in the parent after each fork, also one that failed; default: nothing
---@field child? fun() called in each child before its target; default: nothing

--- Registers functions that run at each start of a process from now on, to close or reopen what must not be shared.
--- They stay for good.
---@param hooks mproc.ForkHooks which to call, and when
function mproc.at_fork(hooks) end

--- Registers a function for the orderly end of the process that calls this: of a child when its target has returned or
--- raised, of the main one when its script is over, of both on `os.exit`. The last registered is called first; what one
--- raises is told on stderr, and the next is called. In children they are not called, nor when the process is killed.
--- It is called before children are waited for. What ran at the end of a Lua program otherwise does not in a child:
--- finalizers (`__gc`) of what it has, and `<close>` variables on `os.exit(code, true)`.
---@param f function called without arguments
function mproc.at_exit(f) end

--- Chooses how processes start from now on: those of this process, and of those that it starts.
--- - `"fork"` (the default): the child is a copy of its parent, and has all that it has.
--- - `"spawn"`: the child executes a fresh interpreter, whatever threads and locks its parent has. It has standard
---   output and error of its parent, the folder, the environment, `package.path` and `package.cpath`, `arg`, and what
---   is sent: target, arguments, upvalues, a subclass's methods and the object's fields travel as in a message, with
---   any mproc object in them. Globals are those of a fresh program.
--- - `"forkserver"`: the child is forked from a process that was executed so, once per tree, and has loaded
---   `mproc.set_forkserver_preload`'s modules. Standard output and error, and the environment, are those of the process
---   that first started one. A daemon ends with that process, too.
---
--- What cannot travel raises in `start()`, with its path. Where the shared memory has no descriptor (`memfd_create` is
--- denied, there is no `/proc`, or it was closed), `start()` raises by the last two. Functions of `mproc.at_fork` are
--- called by `"fork"` alone, and `freeze_heap` means nothing to the others.
---@param method "fork"|"spawn"|"forkserver" its name
function mproc.set_start_method(method) end

--- How processes start.
---@return "fork"|"spawn"|"forkserver" method its name; `"fork"` until another is set
function mproc.get_start_method() end

--- The names of all start methods that there are.
---@return string[] list `{ "fork", "spawn", "forkserver" }`
function mproc.get_all_start_methods() end

--- A table with all of mproc whose processes start by that method, whatever is set elsewhere: `Process`, its
--- subclasses, `Pool` and `Manager`. It travels; the same method gives the same table.
---@param method? "fork"|"spawn"|"forkserver" its name; default nil: the method that is set
---@return mproc context all names of the module
function mproc.get_context(method) end

--- The interpreter that `"spawn"` executes, and the fork server: from now on, here and in processes that start from
--- here. Without it that is the one that runs this program, by `arg`; where `arg` names none, as in a program that
--- embeds Lua, `start()` raises.
---@param path string its name, looked for in PATH, or its path
function mproc.set_executable(path) end

--- The modules that the fork server requires when it starts, so that what it forks has them already. One that cannot be
--- loaded is told on stderr. Means nothing to a server that runs.
---@param modules string[] names as `require` takes them
function mproc.set_forkserver_preload(modules) end

--- Prepares the Lua heap for children that share it: neither their collectors nor their allocators write what is
--- there, so that it is not copied. Costs a full collection here, and the generational collector from then on; what
--- a child inherited it never gives back. Called again, it takes in what has come since, at the cost of a copy of
--- what running children share: call it before the first start. `collectgarbage("incremental")` ends it for
--- processes that start later. Raises in a finalizer.
---@return boolean? ok true, or nil
---@return string? message why not
---@return string? code the error's name; `"EPERM"` where the host of the Lua state has an allocator of its own
function mproc.freeze_heap() end
