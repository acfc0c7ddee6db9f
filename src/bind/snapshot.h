/* SPDX-License-Identifier: MIT */
/* Adds freeze and thaw to the module table on the stack's top (layer 3). Called by src/bind/process.c. */
#ifndef MP_BIND_SNAPSHOT_H
#define MP_BIND_SNAPSHOT_H

#include <lua.h>

#pragma GCC visibility push(hidden)

void mp_lua_open_snapshot(lua_State *L);

#pragma GCC visibility pop
#endif
