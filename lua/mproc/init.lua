-- SPDX-License-Identifier: MIT
-- mproc: Python's multiprocessing for Lua. This file puts the public table together and does nothing else.

local core = require("mproc.core")
local barrier = require("mproc.barrier")
local condition = require("mproc.condition")
local context = require("mproc.context")
local current = require("mproc.current")
local event = require("mproc.event")
local fork = require("mproc.fork")
local later = require("mproc.later")
local log = require("mproc.log")
local heap = require("mproc.heap")
local pool_here = require("mproc.pool_here")
local pipe = require("mproc.pipe")
local process = require("mproc.process")
local queue = require("mproc.queue")
local rwlock = require("mproc.rwlock")
local semaphore = require("mproc.semaphore")
local sync = require("mproc.sync")
local wait = require("mproc.wait")

local mproc = {
  Process = process,
  Queue = queue.Queue,
  SimpleQueue = queue.SimpleQueue,
  JoinableQueue = queue.JoinableQueue,
  Pipe = pipe.Pipe,

  Pool = later("mproc.pool"),
  as_completed = later("mproc.future", "as_completed"),
  wait_all = later("mproc.future", "wait_all"),
  worker = pool_here.current,

  Lock = sync.Lock,
  RLock = sync.RLock,
  Barrier = barrier.Barrier,
  RWLock = rwlock.RWLock,
  Semaphore = semaphore.Semaphore,
  BoundedSemaphore = semaphore.BoundedSemaphore,
  Event = event.Event,

  Value = core.value,
  Array = core.array,
  wait = wait.wait,
  Condition = condition.Condition,

  current_process = current.current_process,
  parent_process = current.parent_process,
  active_children = current.active_children,
  at_fork = fork.at_fork,
  freeze_heap = heap.freeze,

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

  set_start_method = context.set_start_method,
  get_start_method = context.get_start_method,
  get_all_start_methods = context.get_all_start_methods,
}

mproc.get_context = context.bind(mproc)
mproc.log = log.bind(mproc)

return mproc
