/* SPDX-License-Identifier: MIT */
/* Who called a shielded function (layer 3), for errors that blame the user's line. */
#ifndef MP_BIND_SHIELD_H
#define MP_BIND_SHIELD_H

#include <lua.h>

#pragma GCC visibility push(hidden)

/* The thread in which the shielded function that runs in L was called; NULL when L runs none. */
lua_State *mp_lua_shield_caller(lua_State *L);

#pragma GCC visibility pop
#endif
