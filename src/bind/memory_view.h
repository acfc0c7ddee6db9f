/* SPDX-License-Identifier: MIT */
/*
 * Views for Lua (layer 3): numbers that lie in shared memory, with Array's interface. For memory.c and array.c.
 * Invariant: a view keeps its memory's userdata, and shows nothing once that is closed.
 */
#ifndef MP_BIND_MEMORY_VIEW_H
#define MP_BIND_MEMORY_VIEW_H

#include <lua.h>

#include "shm/number/elements.h"

#pragma GCC visibility push(hidden)

/* view(memory, type[, first[, count]]), the arguments at 1 to 4: pushes it, or raises. */
int mp_lua_memory_view_make(lua_State *L);
/* The elements of the view at idx, NULL when there is none; raises where its memory is closed. */
mp_shm_elements *mp_lua_memory_view_elements(lua_State *L, int idx);

/* array.c: adds Array's methods and metamethods to the metatable at the top, and pushes the table of the methods. */
void mp_lua_array_interface(lua_State *L);

#pragma GCC visibility pop
#endif
