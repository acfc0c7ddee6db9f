/* SPDX-License-Identifier: MIT */
/* The arena's state for Lua: what tests count and users look at. */
#include "bind/bind.h"

#include "shm/arena/registry.h"

static void field(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* stats(): {objects, processes, chunks = counts; used, hot, size = bytes} after cleaning up what dead processes left. */
static int stats(lua_State *L) {
  mp_shm_stats s;
  mp_lua_enter(L);
  mp_shm_sweep();
  mp_shm_stats_get(&s);
  lua_createtable(L, 0, 6);
  field(L, "objects", s.objects);
  field(L, "processes", s.processes);
  field(L, "chunks", s.chunks);
  field(L, "used", s.used);
  field(L, "bytes", s.used);
  field(L, "hot", s.hot);
  field(L, "size", s.size);
  return 1;
}

void mp_lua_open_arena(lua_State *L) {
  lua_pushcfunction(L, stats);
  lua_setfield(L, -2, "stats");
}
