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

/* The open one at idx, or raises. */
mp_lua_frozen *mp_lua_frozen_self(lua_State *L, int idx);
/* Values of its block. self: the index of the proxy, for tables within; at: which word of its table. */
void mp_lua_frozen_push_word(lua_State *L, const mp_lua_frozen *p, int self, uint64_t w);
void mp_lua_frozen_push_value(lua_State *L, const mp_lua_frozen *p, int self, uint64_t at);
void mp_lua_frozen_push_string(lua_State *L, const mp_lua_frozen *p, uint64_t word);

/* thaw.c: thaw(f) -> a plain copy; what is not frozen is given back as it is */
int mp_lua_thaw(lua_State *L);
/* Pushes "f.servers[3].name", the way from the root to the key of the proxy at index 1, p. */
void mp_lua_frozen_path(lua_State *L, const mp_lua_frozen *p, int key);

/* Freezes the table at index 1: 0 and *h, used once; or -errno. Raises for what cannot be frozen, at the user's line. */
int mp_lua_freeze(lua_State *L, mp_shm_handle *h);

#pragma GCC visibility pop
#endif
