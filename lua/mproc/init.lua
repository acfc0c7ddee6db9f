-- SPDX-License-Identifier: MIT
-- mproc: Python's multiprocessing for Lua. This file puts the public table together and does nothing else.

local core = require("mproc.core")
local current = require("mproc.current")
local later = require("mproc.later")
local log = require("mproc.log")
local process = require("mproc.process")
local queue = require("mproc.queue")
local sync = require("mproc.sync")

later.methods("mproc.Barrier", "mproc.barrier")
later.methods("mproc.Condition", "mproc.condition")
later.methods("mproc.Event", "mproc.event")
later.methods("mproc.RWLock", "mproc.rwlock")
later.methods("mproc.Semaphore", "mproc.semaphore")
later.methods("mproc.BoundedSemaphore", "mproc.semaphore")

local mproc = {
  Process = process,
  Queue = queue.Queue,
  SimpleQueue = queue.SimpleQueue,
  JoinableQueue = queue.JoinableQueue,
  Pipe = later.call("mproc.pipe", "Pipe"),

  Pool = later.call("mproc.pool"),
  as_completed = later.call("mproc.future", "as_completed"),
  wait_all = later.call("mproc.future", "wait_all"),
  worker = later.call("mproc.pool_here", "current"),

  Lock = sync.Lock,
  RLock = sync.RLock,
  Barrier = later.call("mproc.barrier", "Barrier"),
  RWLock = later.call("mproc.rwlock", "RWLock"),
  Semaphore = later.call("mproc.semaphore", "Semaphore"),
  BoundedSemaphore = later.call("mproc.semaphore", "BoundedSemaphore"),
  Event = later.call("mproc.event", "Event"),

  Value = core.value,
  Array = core.array,
  wait = later.call("mproc.wait", "wait"),
  Condition = core.condition,

  current_process = current.current_process,
  parent_process = current.parent_process,
  active_children = current.active_children,
  at_fork = later.call("mproc.fork", "at_fork"),
  freeze_heap = later.call("mproc.heap", "freeze"),

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

  set_start_method = later.call("mproc.context", "set_start_method"),
  get_start_method = later.call("mproc.context", "get_start_method"),
  get_all_start_methods = later.call("mproc.context", "get_all_start_methods"),
  get_context = later.call("mproc.context", "get_context"),
}

mproc.log = log.bind(mproc)

return mproc
