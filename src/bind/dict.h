/* SPDX-License-Identifier: MIT */
/* What bind/dict.c, dict_all.c and set.c share: all three are about mp_shm_dict. */
#ifndef MP_BIND_DICT_H
#define MP_BIND_DICT_H

#include "bind/container.h"

#pragma GCC visibility push(hidden)

enum { MP_PART_VIEW = 2 }; /* of a Namespace's handle: the same as a Dict */

/* Pushes what the key at idx has: 1; or 0, nothing pushed. */
int mp_lua_dict_push(lua_State *L, const mp_lua_box *b, int idx);
/* Pushes whether the key at 2 is there. */
int mp_lua_dict_has(lua_State *L, mp_lua_box *b);
/* Stores the value at at_value (nil deletes) under the key at at_key, if what is there is `expected` (NULL: whatever it is).
 * at_ttl: index of seconds, or 0. True: done. Raises for errors, with nothing done. */
int mp_lua_dict_store(lua_State *L, const mp_lua_box *b, int at_key, int at_value, int at_ttl,
                      const mp_shm_item *expected);
/* Pushes the box of a new one, or nil, message, NAME. */
int mp_lua_dict_make(lua_State *L, const mp_shm_dict_options *o);

/* Methods of all three classes. */
int mp_lua_dict_totable(lua_State *L);
int mp_lua_dict_clear(lua_State *L);
extern const luaL_Reg mp_lua_dict_metamethods[];
/* Adds their methods and classes. */
void mp_lua_open_dict_all(lua_State *L);
void mp_lua_open_set(lua_State *L);

#pragma GCC visibility pop
#endif
