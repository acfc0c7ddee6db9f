-- SPDX-License-Identifier: MIT
-- mproc: Python's multiprocessing for Lua. This file puts the public table together and does nothing else.

local lazy = require("mproc.lazy")
local require = lazy.require

local core = require("mproc.core")
local Process = require("mproc.process")
local log = require("mproc.debug.log")
local queue = require("mproc.queue")
local sync = require("mproc.sync")
local tree = require("mproc.process.tree")
require("mproc.manager.travel")

local mproc = {
  _VERSION = "mproc 1.0.0",

  Process = Process,
  Queue = queue.Queue,
  SimpleQueue = queue.SimpleQueue,
  JoinableQueue = queue.JoinableQueue,
  Pipe = queue.Pipe,

  Pool = lazy.call("mproc.pool", "Pool"),
  as_completed = lazy.call("mproc.pool.owner.future", "as_completed"),
  wait_all = lazy.call("mproc.pool.owner.future", "wait_all"),
  worker = lazy.call("mproc.pool.worker.context", "current"),

  Lock = sync.Lock,
  RLock = sync.RLock,
  RWLock = sync.RWLock,
  Semaphore = sync.Semaphore,
  BoundedSemaphore = sync.BoundedSemaphore,
  Event = sync.Event,
  Barrier = sync.Barrier,
  Condition = sync.Condition,

  Value = core.value,
  Array = core.array,
  Dict = lazy.call("mproc.shared", "Dict"),
  List = lazy.call("mproc.shared", "List"),
  Set = lazy.call("mproc.shared", "Set"),
  Namespace = lazy.call("mproc.shared", "Namespace"),
  SharedMemory = lazy.call("mproc.shared", "SharedMemory"),
  wait = lazy.call("mproc.wait", "wait"),

  freeze = core.freeze,
  thaw = core.thaw,
  is_frozen = core.is_frozen,
  frozen_info = core.frozen_info,

  fd = lazy.call("mproc.fd", "fd"),
  Listener = lazy.call("mproc.socket", "Listener"),
  Client = lazy.call("mproc.socket", "Client"),

  Manager = lazy.call("mproc.manager", "Manager"),
  connect = lazy.call("mproc.manager", "connect"),

  current_process = tree.current_process,
  parent_process = tree.parent_process,
  active_children = core.shield(tree.active_children),
  at_fork = lazy.call("mproc.process.fork", "at_fork"),
  at_exit = lazy.call("mproc.process.exits", "at_exit"),
  freeze_heap = lazy.call("mproc.process.fork", "freeze_heap"),

  cpu_count = core.cpu_count,
  getpid = core.getpid,
  getppid = core.getppid,
  sleep = core.sleep,
  time = core.time,
  print = core.print,
  print_prefix = core.print_prefix,

  encode = core.encode,
  decode = core.decode,
  register = core.register,
  unsendable = core.unsendable,

  set_start_method = lazy.call("mproc.context", "set_start_method"),
  get_start_method = lazy.call("mproc.context", "get_start_method"),
  get_all_start_methods = lazy.call("mproc.context", "get_all_start_methods"),
  get_context = lazy.call("mproc.context", "get_context"),
  set_executable = lazy.call("mproc.context", "set_executable"),
  set_forkserver_preload = lazy.call("mproc.context", "set_forkserver_preload"),
}

lazy.provide("mproc", mproc)
mproc.log = log.bind(mproc)

return mproc
