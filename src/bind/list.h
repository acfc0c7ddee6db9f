/* SPDX-License-Identifier: MIT */
/* What bind/list.c and list_all.c share. */
#ifndef MP_BIND_LIST_H
#define MP_BIND_LIST_H

#include "bind/container.h"

#pragma GCC visibility push(hidden)

mp_lua_box *mp_lua_list_self(lua_State *L);
/* The 0-based index at idx; raises for what is none, with a hint. */
uint64_t mp_lua_list_index(lua_State *L, const mp_lua_box *b, int idx, const char *hint);
/* Raises: the value at idx is no index of an item. */
int mp_lua_list_refuse(lua_State *L, const mp_lua_box *b, int idx, const char *hint);
/* Raises for an error of shm. */
int mp_lua_list_fail(lua_State *L, int err);
void mp_lua_open_list(lua_State *L);
/* More methods: list_all.c. */
extern const luaL_Reg mp_lua_list_methods[];

#pragma GCC visibility pop
#endif
