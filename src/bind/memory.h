/* SPDX-License-Identifier: MIT */
/*
 * Shared memory for Lua (layer 3): bytes, nameless in the arena or a named file that is mapped; both are one class to users.
 * For memory.c and memory_view.c.
 * Invariant: what is closed is mapped no more, or another's: bytes are touched only where nothing has run since they were
 * found open. Finalizers run at allocations.
 */
#ifndef MP_BIND_MEMORY_H
#define MP_BIND_MEMORY_H

#include "bind/object.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_bytes {
  char *p; /* NULL: it is closed */
  uint64_t n;
} mp_lua_bytes;

/* Whether the value at idx is shared memory, open or not. */
bool mp_lua_memory_is(lua_State *L, int idx);
/* Of the userdata of one. */
mp_lua_bytes mp_lua_memory_bytes(const void *userdata);

#pragma GCC visibility pop
#endif
