/* SPDX-License-Identifier: MIT */
/* luaopen_mproc_core: the one exported symbol. Attaches this process to the arena and gathers the bindings. */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "bind/bind.h"
#include "shm/object.h"
#include "shm/registry.h"

LUAMOD_API int luaopen_mproc_core(lua_State *L);

static void attach(lua_State *L) {
  int err = mp_shm_attach();
  if (err)
    luaL_error(L, "mproc cannot map its shared memory: %s; it needs memfd_create and some address space (ulimit -v)",
               strerror(-err));
  mp_bind_enter(L);
  mp_types_setup();
}

__attribute__((visibility("default"))) int luaopen_mproc_core(lua_State *L) {
  attach(L);
  lua_newtable(L);
  mp_bind_errors(L);
  mp_bind_codec(L);
  mp_bind_object(L);
  mp_bind_queue(L);
  mp_bind_label(L);
  mp_bind_serve(L);
  mp_bind_end(L);
  mp_bind_mutex(L);
  mp_bind_value(L);
  mp_bind_array(L);
  mp_bind_barrier(L);
  mp_bind_rwlock(L);
  mp_bind_semaphore(L);
  mp_bind_event(L);
  mp_bind_condition(L);
  mp_bind_arena(L);
  mp_bind_heap(L);
  mp_bind_process(L);
  mp_bind_system(L);
  mp_bind_worker(L);
  mp_bind_log(L);
  mp_bind_watch(L);
  return 1;
}
