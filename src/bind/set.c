/* SPDX-License-Identifier: MIT */
/* Set and Namespace for Lua: a dictionary whose values are all true, and one whose names are all data. */
#include "bind/dict.h"

/* --- Set --- */

static mp_lua_box *check(lua_State *L) { return mp_lua_dict_box(L, MP_DICT_SET, "set"); }

/* add(x) -> whether it was new */
static int set_add(lua_State *L) {
  const mp_shm_item nothing = {.type = MP_ITEM_NONE};
  mp_lua_box *b = check(L);
  lua_settop(L, 2);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, mp_lua_dict_store(L, b, 2, 3, 0, &nothing));
  return 1;
}

static int set_has(lua_State *L) { return mp_lua_dict_has(L, check(L)); }

/* remove(x) -> whether it was there */
static int set_remove(lua_State *L) {
  mp_lua_key key;
  mp_lua_box *b = check(L);
  mp_lua_key_read(L, 2, &key);
  mp_lua_key_hash(&key, b->object);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int r = mp_shm_dict_delete(b->object, &key.k, &w);
  if (r < 0) return mp_lua_container_fail(L, r, "set");
  lua_pushboolean(L, r);
  return 1;
}

/* Upvalue: the methods. */
static int set_index(lua_State *L) {
  lua_settop(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  return 1;
}

static int set_newindex(lua_State *L) {
  check(L);
  return mp_lua_misuse(L, "a Set has no fields to set; use s:add(x) and s:remove(x)");
}

/* --- Namespace --- */

static mp_lua_box *check_namespace(lua_State *L) { return mp_lua_dict_box(L, MP_DICT_NAMESPACE, "namespace"); }

static int namespace_index(lua_State *L) {
  mp_lua_box *b = check_namespace(L);
  lua_settop(L, 2);
  return lua_isnil(L, 2) ? 0 : mp_lua_dict_push(L, b, 2);
}

static int namespace_newindex(lua_State *L) {
  mp_lua_box *b = check_namespace(L);
  mp_lua_dict_store(L, b, 2, 3, 0, NULL);
  return 0;
}

static const luaL_Reg set_methods[] = {
    {"add", set_add},
    {"has", set_has},
    {"remove", set_remove},
    {"totable", mp_lua_dict_totable},
    {"clear", mp_lua_dict_clear},
    {"lock", mp_lua_container_lock},
    {"with", mp_lua_container_with},
    {"close", mp_lua_container_close},
    {NULL, NULL},
};
static const luaL_Reg none[] = {{NULL, NULL}};

void mp_lua_open_set(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__close", mp_lua_container_scope}, {NULL, NULL}};
  mp_lua_box_class(L, MP_SET_TYPE, &mp_lua_dict_class, set_methods, metamethods);
  mp_lua_box_class(L, MP_NAMESPACE_TYPE, &mp_lua_dict_class, none, metamethods);
  luaL_getmetatable(L, MP_SET_TYPE);
  luaL_setfuncs(L, mp_lua_dict_metamethods, 0);
  luaL_getmetatable(L, MP_NAMESPACE_TYPE);
  luaL_setfuncs(L, mp_lua_dict_metamethods, 0);
  lua_pop(L, 2);
  mp_lua_container_class(L, MP_SET_TYPE, set_index, set_newindex);
  mp_lua_container_class(L, MP_NAMESPACE_TYPE, namespace_index, namespace_newindex);
}
