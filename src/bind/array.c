/* SPDX-License-Identifier: MIT */
/* Array for Lua: shared numbers by index, and copies of many. Indices are 1-based here and 0-based below. */
#include "bind/element.h"
#include "bind/memory_view.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16         /* elements of a list on the stack at once */
#define COPIED_FIRST 256 /* bytes: at least what Lua calls a short string */

static mp_lua_box *check_box(lua_State *L) {
  mp_lua_box *b = mp_lua_box_self(L, &mp_lua_array_class, "array");
  if (((mp_shm_array *)b->object)->kind != MP_ARRAY_LIST) mp_lua_box_refuse(L, 1, "array");
  return b;
}

/* Self, an Array or a view. What may run a finalizer may close a view's memory: check again before the elements are
 * touched. */
static mp_shm_elements *check(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &mp_lua_array_class);
  mp_shm_elements *e = b ? NULL : mp_lua_memory_view_elements(L, 1);
  return e ? e : mp_lua_box_elements(check_box(L));
}

/* --- indices --- */

static int refuse_index(lua_State *L, const mp_shm_elements *a, int arg) {
  if (a->n == 0) return mp_lua_refuse(L, "index %s: the array is empty", mp_lua_show(L, arg));
  return mp_lua_refuse(L, "index must be 1 to %I, the array's length, got %s", (lua_Integer)a->n, mp_lua_show(L, arg));
}

/* True when the value at arg names an element. */
static bool find(lua_State *L, const mp_shm_elements *a, int arg, uint64_t *i) {
  int exact = lua_type(L, arg) == LUA_TNUMBER;
  if (exact) *i = (uint64_t)lua_tointegerx(L, arg, &exact) - 1;
  return exact && *i < a->n;
}

static uint64_t element(lua_State *L, const mp_shm_elements *a, int arg) {
  uint64_t i = 0;
  if (!find(L, a, arg, &i)) refuse_index(L, a, arg);
  return i;
}

/* Where `count` elements from index arg on are to be written. */
static mp_lua_range room(lua_State *L, const mp_shm_elements *a, int arg, lua_Integer count) {
  lua_Integer i = mp_lua_integer(L, arg, "i", 0);
  if (i < 1 || (uint64_t)i - 1 > a->n || (uint64_t)count > a->n - ((uint64_t)i - 1))
    mp_lua_refuse(L, "i: %I elements from index %s on do not fit into an array of %I", count, mp_lua_show(L, arg),
                  (lua_Integer)a->n);
  return (mp_lua_range){(uint64_t)i - 1, (uint64_t)count};
}

/* --- single elements --- */

/* Upvalue: the methods. */
static int array_index(lua_State *L) {
  uint64_t i;
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
  }
  mp_shm_elements *a = check(L);
  if (!find(L, a, 2, &i)) return 0;
  mp_lua_element_push(L, a->type, mp_shm_elements_get(a, i));
  return 1;
}

static int array_newindex(lua_State *L) {
  mp_shm_elements *a = check(L);
  uint64_t i = element(L, a, 2);
  mp_shm_elements_set(a, i, mp_lua_element_check(L, 3, a->type, "value"));
  return 0;
}

static int array_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L)->n);
  return 1;
}

/* pairs' step: as that of ipairs. */
static int next_element(lua_State *L) {
  mp_shm_elements *a = check(L);
  lua_Integer i = lua_tointeger(L, 2);
  if (i < 0 || (uint64_t)i >= a->n) return 0;
  lua_pushinteger(L, i + 1);
  mp_lua_element_push(L, a->type, mp_shm_elements_get(a, (uint64_t)i));
  return 2;
}

static int array_pairs(lua_State *L) {
  check(L);
  lua_pushcfunction(L, next_element);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* add(i, n) -> the new value */
static int array_add(lua_State *L) {
  mp_shm_elements *a = check(L);
  return mp_lua_element_add(L, a, element(L, a, 2), 3);
}

/* exchange(i, x) -> the value before */
static int array_exchange(lua_State *L) {
  mp_shm_elements *a = check(L);
  return mp_lua_element_exchange(L, a, element(L, a, 2), 3);
}

/* compare_exchange(i, old, new) -> whether it was old and is new now, the value before */
static int array_compare_exchange(lua_State *L) {
  mp_shm_elements *a = check(L);
  return mp_lua_element_compare_exchange(L, a, element(L, a, 2), 3);
}

/* lock() -> its Lock */
static int array_lock(lua_State *L) { return mp_lua_element_push_lock(L, check_box(L)); }

/* --- many elements to Lua --- */

/* mp_lua_element_push, quickly for the commonest. */
static void push(lua_State *L, unsigned type, uint64_t bits) {
  double d;
  if (type == MP_DOUBLE) {
    memcpy(&d, &bits, sizeof d);
    lua_pushnumber(L, d);
  } else if (type == MP_INTEGER || type == MP_INT64) {
    lua_pushinteger(L, (lua_Integer)bits);
  } else {
    mp_lua_element_push(L, type, bits);
  }
}

static int push_list(lua_State *L, mp_lua_range r) {
  if (r.count > INT_MAX) return mp_lua_refuse(L, "a list of %I elements is too long; take fewer", (lua_Integer)r.count);
  lua_createtable(L, (int)r.count, 0);
  mp_shm_elements *a = check(L);
  mp_os_bulk_begin();
  for (uint64_t k = 0; k < r.count; k++) {
    push(L, a->type, mp_shm_element_load(mp_shm_elements_data(a), a->shift, r.from + k, __ATOMIC_RELAXED));
    lua_rawseti(L, -2, (lua_Integer)k + 1);
  }
  mp_os_bulk_end();
  return 1;
}

/* sub([i[, j]]) -> list */
static int array_sub(lua_State *L) { return push_list(L, mp_lua_section(L, check(L)->n, 2)); }

/* totable() -> list */
static int array_totable(lua_State *L) { return push_list(L, (mp_lua_range){0, check(L)->n}); }

/* --- many elements from Lua --- */

/* The count of the list at idx; its n is honoured. */
static lua_Integer count_of(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) mp_lua_refuse(L, "list must be a table, got %s", mp_lua_show(L, idx));
  lua_getfield(L, idx, "n");
  lua_Integer n = lua_isnil(L, -1) ? luaL_len(L, idx) : mp_lua_integer(L, -1, "list.n", 0);
  if (n < 0) mp_lua_refuse(L, "list.n must be a count, got %I", n);
  lua_pop(L, 1);
  return n;
}

/* Replaces a list with a metatable by a copy without one, so that read_all runs no Lua code. */
static void make_plain(lua_State *L, int idx, lua_Integer n) {
  if (!lua_getmetatable(L, idx)) return;
  lua_createtable(L, n < INT_MAX ? (int)n : INT_MAX, 0);
  for (lua_Integer k = 1; k <= n; k++) {
    lua_geti(L, idx, k);
    lua_rawseti(L, -2, k);
  }
  lua_replace(L, idx);
  lua_pop(L, 1);
}

/* mp_lua_element_read of the value on top, whose Lua type is known; quickly for the commonest. */
static int read_top(lua_State *L, int is, unsigned type, uint64_t *bits) {
  if (is == LUA_TNUMBER && type == MP_DOUBLE) {
    double d = (double)lua_tonumber(L, -1);
    memcpy(bits, &d, sizeof d);
    return 0;
  }
  if (is == LUA_TNUMBER && mp_shm_number_is_integral(type)) {
    int exact;
    lua_Integer whole = lua_tointegerx(L, -1, &exact);
    *bits = (uint64_t)whole;
    if (exact && whole >= mp_shm_number_infos[type].least && whole <= mp_shm_number_infos[type].most) return 0;
  }
  return mp_lua_element_read(L, -1, type, bits);
}

typedef struct bad { /* the first element that does not fit, and why; 0: none */
  lua_Integer at;
  int err;
} bad;

/* Elements 1..n of the plain list at idx, as elements of that type. Raises nothing. Wants BATCH places on the stack,
 * which is cleared only now and then, for speed. */
static bad read_all(lua_State *L, int idx, lua_Integer n, unsigned type, void *to) {
  unsigned shift = mp_shm_number_infos[type].shift;
  int top = lua_gettop(L), err = 0;
  lua_Integer k = 0;
  while (k < n && !err) {
    uint64_t bits = 0;
    if (k++ % BATCH == 0) lua_settop(L, top);
    int is = lua_rawgeti(L, idx, k);
    err = read_top(L, is, type, &bits);
    mp_shm_element_store(to, shift, (uint64_t)k - 1, bits, __ATOMIC_RELAXED);
  }
  lua_settop(L, top);
  return (bad){err ? k : 0, err};
}

static void refuse_item(lua_State *L, int idx, unsigned type, bad b) {
  lua_rawgeti(L, idx, b.at);
  mp_lua_element_refuse(L, -1, type, b.err, "list", b.at);
}

/* All are read before the first is stored. Nothing raises while the memory is held. */
static void set_all(lua_State *L, mp_shm_elements *a, int idx, mp_lua_range r) {
  void *elements = malloc((size_t)r.count << a->shift | 1);
  if (!elements) luaL_error(L, "not enough memory");
  bad b = read_all(L, idx, (lua_Integer)r.count, a->type, elements);
  if (!b.at) mp_shm_elements_copy_in(a, r.from, elements, r.count);
  free(elements);
  if (b.at) refuse_item(L, idx, a->type, b);
}

/* set(i, list) */
static int array_set(lua_State *L) {
  const mp_shm_elements *a = check(L);
  lua_Integer n = count_of(L, 3);
  mp_lua_range r = room(L, a, 2, n);
  make_plain(L, 3, n);
  luaL_checkstack(L, BATCH, NULL);
  set_all(L, check(L), 3, r);
  return 0;
}

/* fill(x) */
static int array_fill(lua_State *L) {
  mp_shm_elements *a = check(L);
  mp_shm_elements_fill(a, mp_lua_element_check(L, 2, a->type, "x"));
  return 0;
}

/* --- bytes --- */

static mp_shm_elements *check_bytes(lua_State *L) {
  mp_shm_elements *a = check(L);
  if (a->type != MP_UINT8)
    mp_lua_refuse(L, "bytes and set_bytes are for arrays of \"uint8\", this one is of \"%s\"; use sub and set",
                  mp_shm_number_infos[a->type].name);
  return a;
}

/* bytes([i[, j]]) -> string. Lua hashes a short string and copies it then: what others may change meanwhile must be
 * copied before. */
static int array_bytes(lua_State *L) {
  char copy[COPIED_FIRST];
  mp_shm_elements *a = check_bytes(L);
  mp_lua_range r = mp_lua_section(L, a->n, 2);
  const char *from = (const char *)mp_shm_elements_data(a) + r.from;
  mp_os_bulk_begin();
  if (r.count <= sizeof copy) from = memcpy(copy, from, r.count);
  lua_pushlstring(L, from, (size_t)r.count);
  mp_os_bulk_end();
  return 1;
}

/* set_bytes(i, string) */
static int array_set_bytes(lua_State *L) {
  size_t n;
  mp_shm_elements *a = check_bytes(L);
  if (lua_type(L, 3) != LUA_TSTRING) return mp_lua_refuse(L, "s must be a string of bytes, got %s", mp_lua_show(L, 3));
  const char *s = lua_tolstring(L, 3, &n);
  mp_lua_range r = room(L, a, 2, (lua_Integer)n);
  mp_os_bulk_begin();
  memcpy((char *)mp_shm_elements_data(a) + r.from, s, n);
  mp_os_bulk_end();
  return 0;
}

/* --- the rest --- */

static int array_tostring(lua_State *L) {
  mp_lua_box *b = check_box(L);
  const mp_shm_elements *a = check(L);
  lua_pushfstring(L, "Array %d: %I of %s", (int)(b->handle & MP_SLOT_MASK), (lua_Integer)a->n,
                  mp_shm_number_infos[a->type].name);
  return 1;
}

/* Nobody else knows it yet: the list is read right into it. */
static int new_from_list(lua_State *L, unsigned type) {
  lua_Integer n = count_of(L, 2);
  make_plain(L, 2, n);
  luaL_checkstack(L, BATCH + LUA_MINSTACK, NULL);
  int results = mp_lua_element_make(L, type, MP_ARRAY_LIST, (uint64_t)n);
  if (results != 1) return results;
  mp_lua_box *b = lua_touserdata(L, -1);
  bad first = read_all(L, 2, n, type, mp_shm_elements_data(mp_lua_box_elements(b)));
  if (!first.at) return 1;
  mp_lua_box_empty(b);
  refuse_item(L, 2, type, first);
  return 0;
}

/* array(type, n | list) */
static int new_array(lua_State *L) {
  unsigned type = mp_lua_element_type(L, 1);
  if (lua_type(L, 2) == LUA_TTABLE) return new_from_list(L, type);
  int exact = lua_type(L, 2) == LUA_TNUMBER;
  lua_Integer n = exact ? lua_tointegerx(L, 2, &exact) : 0;
  if (!exact || n < 0)
    return mp_lua_refuse(L, "n must be a count of elements, or a list of them, got %s", mp_lua_show(L, 2));
  return mp_lua_element_make(L, type, MP_ARRAY_LIST, (uint64_t)n);
}

static const luaL_Reg methods[] = {
    {"sub", array_sub},   {"totable", array_totable},   {"set", array_set},
    {"fill", array_fill}, {"bytes", array_bytes},       {"set_bytes", array_set_bytes},
    {"add", array_add},   {"exchange", array_exchange}, {"compare_exchange", array_compare_exchange},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {
    {"__newindex", array_newindex},
    {"__len", array_len},
    {"__pairs", array_pairs},
    {NULL, NULL},
};

void mp_lua_array_interface(lua_State *L) {
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, array_index, 1);
  lua_setfield(L, -3, "__index");
}

void mp_lua_open_array(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}}, own[] = {{"lock", array_lock}, {NULL, NULL}},
                        own_metamethods[] = {{"__tostring", array_tostring}, {NULL, NULL}};
  mp_lua_box_class(L, MP_ARRAY_TYPE, &mp_lua_array_class, none, own_metamethods);
  luaL_getmetatable(L, MP_ARRAY_TYPE);
  mp_lua_array_interface(L);
  luaL_setfuncs(L, own, 0);
  lua_pop(L, 2);
  lua_pushcfunction(L, new_array);
  lua_setfield(L, -2, "array");
}
