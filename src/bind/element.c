/* SPDX-License-Identifier: MIT */
/* One element of a Value or an Array for Lua. The contracts stand in element.h. */
#include "bind/element.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const char *name_of(const void *block) {
  const mp_shm_array *a = block;
  return a->kind == MP_ARRAY_VALUE ? MP_VALUE_TYPE : MP_ARRAY_TYPE;
}

const mp_lua_object_class mp_lua_array_class = {MP_TYPE_ARRAY, 0, name_of, NULL, NULL};

/* --- types --- */

/* What C and Python's multiprocessing call them. */
static const struct {
  const char *name, *ours;
} foreign[] = {
    {"b", "int8"},  {"B", "uint8"},   {"h", "int16"},    {"H", "uint16"},    {"i", "int32"},      {"I", "uint32"},
    {"l", "int64"}, {"L", "uint64"},  {"q", "int64"},    {"Q", "uint64"},    {"f", "float"},      {"d", "double"},
    {"c", "uint8"}, {"char", "int8"}, {"byte", "uint8"}, {"int", "integer"}, {"bool", "boolean"},
};

static const char *hint(const char *name) {
  for (size_t i = 0; name && i < sizeof foreign / sizeof *foreign; i++)
    if (strcmp(foreign[i].name, name) == 0) return foreign[i].ours;
  return NULL;
}

static int refuse_type(lua_State *L, int arg) {
  const char *ours = lua_type(L, arg) == LUA_TSTRING ? hint(lua_tostring(L, arg)) : NULL;
  const char *got = mp_lua_show(L, arg);
  if (ours) return mp_lua_refuse(L, "type %s is unknown here; write \"%s\"", got, ours);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (unsigned t = 0; t < MP_NUMBER_TYPES; t++) {
    luaL_addstring(&b, t ? ", \"" : "\"");
    luaL_addstring(&b, mp_shm_number_infos[t].name);
    luaL_addchar(&b, '"');
  }
  luaL_pushresult(&b);
  return mp_lua_refuse(L, "type must be one of %s, got %s", lua_tostring(L, -1), got);
}

unsigned mp_lua_element_type(lua_State *L, int arg) {
  const char *name = lua_type(L, arg) == LUA_TSTRING ? lua_tostring(L, arg) : "";
  for (unsigned t = 0; t < MP_NUMBER_TYPES; t++)
    if (strcmp(mp_shm_number_infos[t].name, name) == 0) return t;
  return (unsigned)refuse_type(L, arg);
}

/* --- making --- */

static int no_room(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "the arena has no room for it; let go of something, or set MPROC_ARENA higher before the program "
                     "starts");
  lua_pushliteral(L, "ENOMEM");
  return 3;
}

int mp_lua_element_make(lua_State *L, unsigned type, unsigned kind, uint64_t n) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &mp_lua_array_class, kind == MP_ARRAY_VALUE ? MP_VALUE_TYPE : MP_ARRAY_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_array_new(type, kind, n, &w, &h);
  if (err == -ENOMEM) return no_room(L);
  if (err) return mp_lua_push_failure(L, err, "array");
  mp_lua_box_fill(b, h);
  return 1;
}

int mp_lua_element_push_lock(lua_State *L, const mp_lua_box *b) {
  return mp_lua_box_push_handle(L, mp_shm_handle_with_part(b->handle, MP_PART_LOCK));
}

/* --- Lua values and bits --- */

static bool to_number(lua_State *L, int idx, mp_shm_number *n) {
  switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
      *n =
          lua_isinteger(L, idx) ? mp_shm_number_whole(lua_tointeger(L, idx)) : mp_shm_number_real(lua_tonumber(L, idx));
      return true;
    case LUA_TBOOLEAN:
      *n = (mp_shm_number){MP_IS_BOOLEAN, lua_toboolean(L, idx), 0};
      return true;
    default:
      return false;
  }
}

int mp_lua_element_read(lua_State *L, int idx, unsigned type, uint64_t *bits) {
  mp_shm_number n;
  return to_number(L, idx, &n) ? mp_shm_number_encode(type, n, bits) : -EINVAL;
}

static const char *kind_wanted(unsigned type) {
  return type == MP_BOOLEAN ? "true or false" : mp_shm_number_is_integral(type) ? "an integer" : "a number";
}

static const char *remedy(lua_State *L, int idx, unsigned type) {
  int got = lua_type(L, idx);
  if (got == LUA_TSTRING) return type == MP_BOOLEAN ? "" : "; convert it with tonumber";
  if (got == LUA_TNUMBER) return "; compare it, as in x ~= 0";
  return got == LUA_TBOOLEAN ? "; give 1 or 0, or make it a \"boolean\"" : "";
}

int mp_lua_element_refuse(lua_State *L, int idx, unsigned type, int err, const char *what, lua_Integer at) {
  const mp_shm_number_info *t = &mp_shm_number_infos[type];
  idx = lua_absindex(L, idx);
  if (at) what = lua_pushfstring(L, "%s[%I]", what, at);
  const char *got = mp_lua_show(L, idx);
  if (err == -EDOM)
    return mp_lua_refuse(L, "%s must be a whole number for \"%s\", got %s; round it, or use \"double\"", what, t->name,
                         got);
  if (err == -ERANGE)
    return mp_lua_refuse(L, "%s must be %s for \"%s\", got %s; use a type that holds it", what, t->range, t->name, got);
  if (err == -EOVERFLOW)
    return mp_lua_refuse(L,
                         "%s must be an integer that a float holds exactly, or within 2^50, for \"number\", got "
                         "%s; use \"integer\"",
                         what, got);
  return mp_lua_refuse(L, "%s must be %s for \"%s\", got %s%s", what, kind_wanted(type), t->name, got,
                       remedy(L, idx, type));
}

uint64_t mp_lua_element_check(lua_State *L, int idx, unsigned type, const char *what) {
  uint64_t bits;
  int err = mp_lua_element_read(L, idx, type, &bits);
  if (err) mp_lua_element_refuse(L, idx, type, err, what, 0);
  return bits;
}

static void push_number(lua_State *L, mp_shm_number n) {
  if (n.is == MP_IS_WHOLE)
    lua_pushinteger(L, n.whole);
  else if (n.is == MP_IS_REAL)
    lua_pushnumber(L, n.real);
  else
    lua_pushboolean(L, (int)n.whole);
}

void mp_lua_element_push_other(lua_State *L, unsigned type, uint64_t bits) {
  push_number(L, mp_shm_number_decode(type, bits));
}

/* --- single accesses --- */

static int refuse_sum(lua_State *L, const mp_shm_elements *e, int arg, int err, uint64_t was) {
  const mp_shm_number_info *t = &mp_shm_number_infos[e->type];
  mp_lua_element_push(L, e->type, was);
  const char *old = luaL_tolstring(L, -1, NULL), *n = mp_lua_show(L, arg);
  if (err == -ERANGE)
    return mp_lua_refuse(L, "n: %s + %s leaves the range of \"%s\", %s; use a type that holds it", old, n, t->name,
                         t->range);
  return mp_lua_refuse(L, "n: %s + %s is an integer that Lua cannot tell from a \"%s\"; use \"integer\"", old, n,
                       t->name);
}

int mp_lua_element_add(lua_State *L, mp_shm_elements *e, uint64_t i, int arg) {
  uint64_t was, sum;
  mp_shm_number n;
  if ((e->type == MP_INTEGER || e->type == MP_INT64) && lua_isinteger(L, arg)) {
    lua_pushinteger(L, (lua_Integer)mp_shm_elements_add64(e, i, (uint64_t)lua_tointeger(L, arg)));
    return 1;
  }
  if (e->type == MP_BOOLEAN) return mp_lua_refuse(L, "a \"boolean\" has no sum; use exchange or compare_exchange");
  if (!to_number(L, arg, &n)) n.is = MP_IS_BOOLEAN;
  int err = mp_shm_elements_add(e, i, n, &was, &sum);
  if (err == -EINVAL || err == -EDOM) return mp_lua_element_refuse(L, arg, e->type, err, "n", 0);
  if (err) return refuse_sum(L, e, arg, err, was);
  mp_lua_element_push(L, e->type, sum);
  return 1;
}

int mp_lua_element_exchange(lua_State *L, mp_shm_elements *e, uint64_t i, int arg) {
  uint64_t bits = mp_lua_element_check(L, arg, e->type, "x");
  mp_lua_element_push(L, e->type, mp_shm_elements_exchange(e, i, bits));
  return 1;
}

int mp_lua_element_compare_exchange(lua_State *L, mp_shm_elements *e, uint64_t i, int arg) {
  uint64_t old = mp_lua_element_check(L, arg, e->type, "old");
  uint64_t bits = mp_lua_element_check(L, arg + 1, e->type, "new");
  lua_pushboolean(L, mp_shm_elements_compare_exchange(e, i, &old, bits));
  mp_lua_element_push(L, e->type, old);
  return 2;
}

/* --- classes --- */

void mp_lua_element_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods,
                          lua_CFunction index) {
  mp_lua_box_class(L, name, &mp_lua_array_class, methods, metamethods);
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
