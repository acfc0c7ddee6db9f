---@meta _
-- SPDX-License-Identifier: MIT

--- # Managers
---
--- A manager is a process that owns objects: tables or userdata with methods, made there by constructors, or given to
--- it by name. Others have proxies of them: a call of a proxy's method runs in the manager's process, and returns all
--- results or raises what the method raised, a string with the remote traceback behind it. One call at a time: a
--- method that waits makes all callers wait, and methods need no locks among themselves. Arguments and results are
--- snapshots, as always; a method that returns its object gives a copy, if that can travel.
---
--- **For tables, lists, numbers and queues that processes share there is no need of a manager**: `mproc.Dict` and the
--- others lie in shared memory. A manager is for what only one process can have: a connection, a device, a file, a
--- class with invariants of its own.
---
--- **Proxies travel** wherever a value does, to processes that began before there was the manager as well; so do
--- handles of managers. An object goes with its last proxy: when that is collected, closed (`<close>`), or its
--- process or the message that has it is gone; a proxy that an object itself keeps counts, too. What is in `objects`
--- stays.
---
--- **When a manager dies**, its objects are gone: calls raise at once, those under way as well, an `mproc.Died` whose
--- `kind` is `"manager_died"`; whether a call under way was carried out is not known then. A caller's death is no
--- matter to the manager, which carries out what it was sent. A manager is a daemon: it ends with the process that
--- started it, by `shutdown`, or when nobody has a handle or a proxy any more. Ctrl-C does not end it. In its
--- process, functions of `mproc.at_exit` run at an orderly end, and objects are finalized.
---
--- **Beyond the tree**: with an `address` a manager listens, and `mproc.connect` gives the same manager anywhere,
--- over a connection as of `mproc.Client`. Such a manager's proxies belong to the connection and to the process that
--- connected; what they keep goes with it, and its end makes calls raise `"manager_died"`. What passes is plain data:
--- functions, mproc objects and proxies are refused. A peer reaches the objects alone that it was given; who does not
--- read what it asked for holds up nobody else. Who has the key may call every method of every object that is named
--- or can be made.

---@class mproc
local mproc = {}

--- Starts a manager: `mproc.Manager{ Counter = new_counter }` with constructors by their names, or with options. A
--- constructor is called in the manager's process, with what `create` was given. Under `fork`, constructors and
--- objects are simply there, with all that they refer to.
---@param options mproc.ManagerOptions|table<string, function> constructors by name, or options
---@return mproc.Manager? m the manager, or nil
---@return string? message why there is none
---@return string? code the error's name, such as `"EADDRINUSE"`, `"EAGAIN"`, `"ENOMEM"`
function mproc.Manager(options) end

--- Options of a Manager.
---@class mproc.ManagerOptions
---@field constructors? table<string, function> what `create` calls; default: none
---@field objects? table<string, table|userdata> what `get` gives, by name; default: none
---@field address? string where to listen, as for `mproc.Listener`; default nil: not at all
---@field authkey? string|false the key of those who connect, or false for none; default: the process's own
---@field name? string the process's name; default: `"Manager-1"` and so on
---@field max_bytes? integer the longest message that is taken from a connection; default: 64 MiB
---@field allow_md5? boolean whether the challenge of Python before 3.12 is taken; default: false

--- Connects to a manager that listens.
---@param address string where it listens
---@param options? mproc.ConnectOptions default: the process's key, and no time limit but that of the handshake
---@return mproc.Manager? m the manager, or nil
---@return string? message why there is none
---@return string? code the error's name: `"EAUTH"`, `"ECONNREFUSED"`, `"ETIMEDOUT"`; `"EPROTO"`: there is no manager
function mproc.connect(address, options) end

--- Options of mproc.connect.
---@class mproc.ConnectOptions
---@field authkey? string|false the key, or false for none; default: the process's own
---@field timeout? number seconds for all of it; default nil: as long as the system takes, and 10 s for the handshake
---@field max_bytes? integer the longest message that is taken; default: 64 MiB
---@field allow_md5? boolean whether the challenge of Python before 3.12 is taken; default: false

--- A manager, as one sees it. Handles of the same manager are equal; they travel, but for those of `mproc.connect`.
--- `<close>` closes it, in the process that made it.
---@class mproc.Manager
---@field name string the name of its process
---@field pid integer? its process's pid; nil beyond a socket
---@field address string? where it listens, with the port that it got, or where one has connected; nil: it does not
local m = {}

--- Has the constructor of that name make an object. Raises what the constructor raises, when there is none, and when it
--- returns no object.
---@param name string the constructor's name
---@param ... any its arguments
---@return mproc.Proxy proxy a proxy of the object
function m:create(name, ...) end

--- Gives a proxy of an object of `objects`. Raises when there is none by that name.
---@param name string the object's name
---@return mproc.Proxy proxy a proxy of the object, equal to others of it
function m:get(name) end

--- Ends the manager's process, in order: calls that came before this one have two seconds to end. What still runs then
--- is ended by SIGTERM, which closes its variables, and a second later by SIGKILL. For the process that started the
--- manager; in others it raises. A second time does nothing.
function m:shutdown() end

--- Lets go of it. In the process that started it, that shuts the manager down; elsewhere it ends this handle, and of
--- `mproc.connect` the connection with all its proxies.
function m:close() end

--- An object in a manager's process. Each of its methods is one here: `proxy:deposit(100)` calls the object's method
--- `deposit` there. Names that begin with an underscore are the object's own, and raise. An object's fields that are no
--- methods cannot be reached. Proxies of one object are equal. `<close>` lets go of the object.
---
--- Calls raise as well when the arguments cannot travel, when the object has no such method, when a result cannot
--- travel, and, with the kind `"manager_died"`, when the manager is gone. In the manager's own process a call of one of
--- its proxies is a plain call of the method.
---@class mproc.Proxy
local proxy = {}

--- Calls a method by its name, with a time limit. When that is over before the call began, the method is not called at
--- all; one that has begun goes on. An object's own method `call` is reached by `proxy:call("call", { ... })`.
---@param name string the method's name
---@param args? any its arguments, a list whose `n` is honoured; what is no table is one argument; default: none
---@param timeout? number seconds; default nil: for ever
---@return any ... the method's results; or nil and `"timeout"`
function proxy:call(name, args, timeout) end

return mproc
