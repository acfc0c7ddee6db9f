/* SPDX-License-Identifier: MIT */
/* luaopen_mproc_core: the one exported symbol. Attaches this process to the arena and gathers the bindings. */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "bind/bind.h"
#include "codec/compat.h"
#include "os/process.h"
#include "process/trace.h"
#include "shm/arena/arena.h"
#include "shm/arena/object.h"
#include "shm/arena/registry.h"
#include "shm/wait/wait_queue.h"

LUAMOD_API int luaopen_mproc_core(lua_State *L);

/* What is wrong in the environment is not passed over. */
static void check_settings(lua_State *L) {
  bool valid;
  const char *s = mp_shm_arena_setting(&valid);
  if (!valid)
    luaL_error(L, "MPROC_ARENA must be a size in bytes, or with a unit (K, M, G or T), such as 64G, it is '%s'", s);
  s = mp_shm_wait_queue_setting(&valid);
  if (!valid) luaL_error(L, "MPROC_SPIN must be 0 (waits sleep at once) or 1, it is '%s'", s);
}

/* Faults that are Lua's own, and cannot be made good here. */
static void check_lua(lua_State *L) {
  const char *name;
  luaL_checkversion(L);
  if (!mp_codec_lua_is_refused(&name)) return;
  luaL_error(
      L,
      "mproc needs Lua 5.4.4 or newer, and this is Lua %s, which has faults that mproc cannot make good: finalizers "
      "that freeze_heap breaks, messages lost when memory runs out, a Ctrl-C swallowed",
      lua_pushlstring(L, name, strcspn(name, " ")));
}

static void check_kernel(lua_State *L) {
  int err = mp_os_robust_check();
  if (!err) return;
  luaL_error(L,
             "mproc needs a kernel with robust lists, and get_robust_list fails here: %s; without them the locks of a "
             "process that is killed would stay taken for ever (some sandboxes and emulators have none)",
             strerror(-err));
}

/* What a program that could not be given an arena may do about it. */
static const char *remedy(int err) {
  switch (err) {
    case -EFBIG:
      return "the limit of file sizes (ulimit -f) leaves it no room; it needs 4 MiB at least";
    case -ENOMEM:
      return "it needs some address space (ulimit -v), 4 MiB at least";
    case -ENOKEY:
      return "the system gives no randomness: getrandom is denied, and /dev/urandom is not there";
    default:
      return strerror(-err);
  }
}

static void attach(lua_State *L) {
  check_lua(L);
  check_kernel(L);
  check_settings(L);
  mp_os_learn_stdin();
  int err = mp_lua_join_tree();
  if (err < 0) luaL_error(L, "mproc: this process cannot join those of its parent: %s", strerror(-err));
  if (!err) err = mp_shm_attach();
  if (err < 0) luaL_error(L, "mproc cannot map its shared memory: %s", remedy(err));
  mp_lua_enter(L);
  mp_shm_types_setup();
  const char *path;
  err = mp_process_trace_begin(&path);
  if (err) luaL_error(L, "MPROC_TRACE: cannot write '%s': %s", path, strerror(-err));
}

__attribute__((visibility("default"))) int luaopen_mproc_core(lua_State *L) {
  attach(L);
  lua_newtable(L);
  mp_lua_open_errors(L);
  mp_lua_open_shield(L);
  mp_lua_open_codec(L);
  mp_lua_open_object(L);
  mp_lua_open_queue(L);
  mp_lua_open_pool(L);
  mp_lua_open_end(L);
  mp_lua_open_scope(L);
  mp_lua_open_mutex(L);
  mp_lua_open_value(L);
  mp_lua_open_array(L);
  mp_lua_open_memory(L);
  mp_lua_open_memory_view(L);
  mp_lua_open_barrier(L);
  mp_lua_open_rwlock(L);
  mp_lua_open_semaphore(L);
  mp_lua_open_event(L);
  mp_lua_open_condition(L);
  mp_lua_open_dict(L);
  mp_lua_open_arena(L);
  mp_lua_open_heap(L);
  mp_lua_open_process(L);
  mp_lua_open_newcomer(L);
  mp_lua_open_system(L);
  mp_lua_open_worker(L);
  mp_lua_open_log(L);
  mp_lua_open_watch(L);
  mp_lua_open_frozen(L);
  mp_lua_open_descriptor(L);
  mp_lua_open_socket(L);
  mp_lua_open_listener(L);
  mp_lua_open_spawn(L);
  mp_lua_open_lines(L);
  mp_lua_open_program(L);
  mp_lua_open_trace(L);
  mp_lua_open_view(L);
  mp_lua_open_unit(L);
  return 1;
}
