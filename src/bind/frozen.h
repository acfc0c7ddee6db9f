/* SPDX-License-Identifier: MIT */
/*
 * Frozen tables for Lua (layer 3): proxies, userdata that read a block in place. A block has one box in each Lua state, which
 * holds it; its proxies keep that alive, and are found again by their place while they live, so that f.a == f.a.
 * Invariant: a proxy's home is filled as long as the proxy is open.
 */
#ifndef MP_BIND_FROZEN_H
#define MP_BIND_FROZEN_H

#include "bind/object.h"
#include "os/process.h"
#include "shm/container/frozen.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_frozen { /* its uservalue: the table of proxies, by place */
  const void *mark;
  mp_shm_frozen_view view;
  const mp_shm_frozen_table *table; /* NULL once it is closed */
  const mp_shm_frozen_shape *shape;
  uint64_t place;
  mp_shm_handle handle;
} mp_lua_frozen;

extern const char mp_lua_frozen_mark;

/* NULL for anything else. */
static inline mp_lua_frozen *mp_lua_frozen_test(lua_State *L, int idx) {
  mp_lua_frozen *p = lua_touserdata(L, idx);
  return p && lua_rawlen(L, idx) == sizeof *p && p->mark == &mp_lua_frozen_mark ? p : NULL;
}

/* Freezes the table at index 1: 0 and *h, used once; or -errno. Raises for what cannot be frozen, at the user's line. */
int mp_lua_freeze(lua_State *L, mp_shm_handle *h);

#pragma GCC visibility pop
#endif
