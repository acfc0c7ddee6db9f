-- SPDX-License-Identifier: MIT
rockspec_format = "3.0"
package = "mproc"
version = "scm-1"
source = {
  url = ".", -- built in place: `luarocks make`
}
description = {
  summary = "Processes, queues and shared memory: Python's multiprocessing for Lua",
  detailed = [[
    Forked Lua states that receive serialized arguments and exchange values through queues in
    shared memory. No call hangs because some process died.
  ]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5" }
build = {
  type = "builtin",
  modules = {
    ["mproc.core"] = {
      sources = {
        -- sources begin
        "src/bind/arena.c",
        "src/bind/bind.c",
        "src/bind/codec.c",
        "src/bind/condition.c",
        "src/bind/joinable.c",
        "src/bind/lease.c",
        "src/bind/mutex.c",
        "src/bind/object.c",
        "src/bind/process.c",
        "src/bind/queue.c",
        "src/bind/snapshot.c",
        "src/bind/system.c",
        "src/codec/array_part.c",
        "src/codec/decode.c",
        "src/codec/decode_object.c",
        "src/codec/encode.c",
        "src/codec/encode_message.c",
        "src/codec/encode_object.c",
        "src/codec/names.c",
        "src/codec/path.c",
        "src/codec/scratch.c",
        "src/codec/seen.c",
        "src/mproc.c",
        "src/os/child.c",
        "src/os/clock.c",
        "src/os/cpu.c",
        "src/os/exit.c",
        "src/os/futex.c",
        "src/os/memory.c",
        "src/os/mutex.c",
        "src/os/output.c",
        "src/os/process.c",
        "src/os/random.c",
        "src/os/self.c",
        "src/os/tree.c",
        "src/shm/arena.c",
        "src/shm/bell.c",
        "src/shm/children.c",
        "src/shm/chunk.c",
        "src/shm/condition.c",
        "src/shm/leave.c",
        "src/shm/mutex.c",
        "src/shm/object.c",
        "src/shm/queue.c",
        "src/shm/queue_extent.c",
        "src/shm/queue_joinable.c",
        "src/shm/queue_repair.c",
        "src/shm/registry.c",
        "src/shm/sweep.c",
        "src/shm/types.c",
        -- sources end
      },
      incdirs = { "src" },
      libraries = { "pthread" },
    },
    -- lua begin
    ["mproc.child"] = "lua/mproc/child.lua",
    ["mproc.class"] = "lua/mproc/class.lua",
    ["mproc.condition"] = "lua/mproc/condition.lua",
    ["mproc.context"] = "lua/mproc/context.lua",
    ["mproc.current"] = "lua/mproc/current.lua",
    ["mproc.ending"] = "lua/mproc/ending.lua",
    ["mproc.errors"] = "lua/mproc/errors.lua",
    ["mproc.fork"] = "lua/mproc/fork.lua",
    ["mproc"] = "lua/mproc/init.lua",
    ["mproc.options"] = "lua/mproc/options.lua",
    ["mproc.peer"] = "lua/mproc/peer.lua",
    ["mproc.process"] = "lua/mproc/process.lua",
    ["mproc.queue"] = "lua/mproc/queue.lua",
    ["mproc.result"] = "lua/mproc/result.lua",
    ["mproc.scope"] = "lua/mproc/scope.lua",
    ["mproc.states"] = "lua/mproc/states.lua",
    ["mproc.sync"] = "lua/mproc/sync.lua",
    ["mproc.traceback"] = "lua/mproc/traceback.lua",
    -- lua end
  },
}
