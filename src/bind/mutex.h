/* SPDX-License-Identifier: MIT */
/* What other bindings use of bind/mutex.c: conditions wait with a lock, arrays have one. */
#ifndef MP_BIND_MUTEX_H
#define MP_BIND_MUTEX_H

#include "bind/object.h"
#include "bind/scope.h"
#include "shm/sync/mutex.h"

#pragma GCC visibility push(hidden)

/* The Lock or RLock at idx, or NULL. */
mp_lua_box *mp_lua_mutex_box(lua_State *L, int idx);
/* Acquires: as mp_shm_mutex_acquire, once more where this process holds it already; raises where it would wait for itself. */
int mp_lua_mutex_enter(lua_State *L, const mp_lua_box *b, uint64_t deadline);
/* Releases once what this process holds. */
void mp_lua_mutex_leave(const mp_lua_box *b);
/* Pushes what mp_shm_mutex_acquire's r means in Lua: true[, "abandoned"] | false, "timeout". Raises for the rest. */
int mp_lua_mutex_result(lua_State *L, int r);
/* Raises: this process does not hold it. */
int mp_lua_mutex_refuse_release(lua_State *L, const mp_shm_mutex *x);

#pragma GCC visibility pop
#endif
