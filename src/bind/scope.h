/* SPDX-License-Identifier: MIT */
/*
 * with and guard (layer 3): what is acquired for a scope is released at its end, however that comes. For the bindings of
 * locks and what is like them, each of which says how.
 * Invariant: between the acquisition and the note of it no Lua function is called, nothing is allocated and no hook can
 * raise; whatever ends the scope (a return, an error, a closed coroutine, the collection of a guard that nobody has)
 * releases once, and only in the process that acquired.
 */
#ifndef MP_BIND_SCOPE_H
#define MP_BIND_SCOPE_H

#include <stdbool.h>

#include "bind/bind.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_scope { /* static */
  const char *with, *guard;   /* the methods' names */
  /* Acquires self, which stands at index 1 and is checked here: 0 or MP_ABANDONED, else what `refuse` is given. May raise
   * as long as nothing is held; leaves the stack as it was. */
  int (*enter)(lua_State *L, uint64_t deadline);
  /* Pushes what stands for that in Lua, false or nil first, or raises. */
  int (*refuse)(lua_State *L, int r);
  /* Ends the scope of the object at idx; failed: by an error. What was released by hand stays so. 0, or what `complain`
   * is given. Never raises. */
  int (*leave)(lua_State *L, int idx, bool failed);
  /* Raises; NULL: leave gives 0. */
  int (*complain)(lua_State *L, int idx, int err);
} mp_lua_scope;

/* Adds the two methods to the table on the stack's top. */
void mp_lua_scope_methods(lua_State *L, const mp_lua_scope *s);

#pragma GCC visibility pop
#endif
