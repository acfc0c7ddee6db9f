/* SPDX-License-Identifier: MIT */
/*
 * One element of a Value or an Array for Lua (layer 3): its Lua value as bits and back, single accesses, the errors of
 * both. For value.c and array.c.
 * Invariant: what raises has changed nothing, and blames the caller's line.
 */
#ifndef MP_BIND_ELEMENT_H
#define MP_BIND_ELEMENT_H

#include "bind/check.h"
#include "bind/object.h"
#include "shm/number/array.h"

#pragma GCC visibility push(hidden)

/* Value and Array are one type of object, told apart by the block's kind. */
extern const mp_lua_object_class mp_lua_array_class;
static inline mp_shm_elements *mp_lua_box_elements(const mp_lua_box *b) {
  return &((mp_shm_array *)b->object)->elements;
}

/* The type named at arg; raises for anything else. */
unsigned mp_lua_element_type(lua_State *L, int arg);
/* Makes an object and pushes its box: 1, or the count of values that say why not. */
int mp_lua_element_make(lua_State *L, unsigned type, unsigned kind, uint64_t n);
/* Pushes the Lock of the object in a box. */
int mp_lua_element_push_lock(lua_State *L, const mp_lua_box *b);

/* The Lua value at idx as bits of that type: 0 or mp_shm_number_encode's error. */
int mp_lua_element_read(lua_State *L, int idx, unsigned type, uint64_t *bits);
/* Raises that error: "what[at] must be …"; at 0: "what must be …". */
int mp_lua_element_refuse(lua_State *L, int idx, unsigned type, int err, const char *what, lua_Integer at);
/* Both: the bits, or raises. */
uint64_t mp_lua_element_check(lua_State *L, int idx, unsigned type, const char *what);
void mp_lua_element_push_other(lua_State *L, unsigned type, uint64_t bits);
static inline void mp_lua_element_push(lua_State *L, unsigned type, uint64_t bits) {
  if (type == MP_INTEGER || type == MP_INT64)
    lua_pushinteger(L, (lua_Integer)bits);
  else
    mp_lua_element_push_other(L, type, bits);
}

/* Methods' bodies, for element i of e, whose first own argument is at arg. */
int mp_lua_element_add(lua_State *L, mp_shm_elements *e, uint64_t i, int arg);
int mp_lua_element_exchange(lua_State *L, mp_shm_elements *e, uint64_t i, int arg);
int mp_lua_element_compare_exchange(lua_State *L, mp_shm_elements *e, uint64_t i, int arg);

/* The class `name` with an __index that is index(self, key), whose upvalue is the table of methods. */
void mp_lua_element_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods,
                          lua_CFunction index);

#pragma GCC visibility pop
#endif
