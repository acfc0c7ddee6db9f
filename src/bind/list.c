/* SPDX-License-Identifier: MIT */
/* List for Lua: items by index. Indices are 1-based here and 0-based below. What takes many items is in list_all.c. */
#include "bind/list.h"

#include <errno.h>

#include "bind/check.h"

static const char *name_of(const void *block) {
  (void)block;
  return MP_LIST_TYPE;
}

static const mp_lua_object_class class = {MP_TYPE_LIST, 0, name_of, NULL, NULL};

mp_lua_box *mp_lua_list_self(lua_State *L) { return mp_lua_box_self(L, &class, "list"); }

static int find(void *l, const void *i, void *buf, mp_shm_item *v) {
  return mp_shm_list_get(l, *(const uint64_t *)i, buf, v);
}

/* --- indices --- */

static uint64_t length(const mp_lua_box *b) { return mp_shm_list_count(b->object); }

int mp_lua_list_refuse(lua_State *L, const mp_lua_box *b, int idx, const char *hint) {
  lua_Integer n = (lua_Integer)length(b);
  if (!n) return mp_lua_refuse(L, "index %s: the list is empty%s", mp_lua_show(L, idx), hint);
  return mp_lua_refuse(L, "index must be 1 to %I, the list's length, got %s%s", n, mp_lua_show(L, idx), hint);
}

/* True when the value at idx is an integer from 1 on. */
static bool read_index(lua_State *L, int idx, uint64_t *i) {
  int exact = lua_type(L, idx) == LUA_TNUMBER;
  lua_Integer n = exact ? lua_tointegerx(L, idx, &exact) : 0;
  *i = (uint64_t)n - 1;
  return exact && n >= 1;
}

uint64_t mp_lua_list_index(lua_State *L, const mp_lua_box *b, int idx, const char *hint) {
  uint64_t i;
  if (!read_index(L, idx, &i)) mp_lua_list_refuse(L, b, idx, hint);
  return i;
}

/* An error of an operation at the index at idx. */
static int fail(lua_State *L, int err, const mp_lua_box *b, int idx, const char *hint) {
  if (err == -ERANGE) return mp_lua_list_refuse(L, b, idx, hint);
  return mp_lua_list_fail(L, err);
}

int mp_lua_list_fail(lua_State *L, int err) {
  if (err == -E2BIG)
    return mp_lua_misuse(L, "the list would have too many items, or this call too many objects in them");
  return mp_lua_container_fail(L, err, "list");
}

/* --- single items --- */

/* Upvalue: the methods. They are found in a closed one, too. */
static int list_index(lua_State *L) {
  uint64_t i;
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
  }
  mp_lua_box *b = mp_lua_list_self(L);
  return read_index(L, 2, &i) ? mp_lua_find_push(L, find, b, &i) : 0;
}

/* Reads the value at idx, which must not be nil; the list may have been closed meanwhile. */
static void read_item(lua_State *L, const mp_lua_box *b, int idx, mp_lua_item *v) {
  mp_lua_item_read(L, idx, "value", v);
  if (b->object) return;
  mp_lua_item_release(L, v);
  mp_lua_container_again(L, b, "list");
}

static void refuse_nil(lua_State *L, int idx) {
  if (lua_isnoneornil(L, idx))
    mp_lua_misuse(L, "a List has no holes: value must not be nil; l:remove(i) removes an item");
}

#define HINT_APPEND "; l:append(v) adds one behind the last"

/* Stores the value at idx as item i if that is `expected`: true. */
static bool store(lua_State *L, const mp_lua_box *b, int at_index, int idx, const mp_shm_item *expected) {
  mp_lua_item v;
  uint64_t i = mp_lua_list_index(L, b, at_index, HINT_APPEND);
  refuse_nil(L, idx);
  read_item(L, b, idx, &v);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int r = mp_shm_list_set(b->object, i, &v.item, expected, &w);
  mp_lua_item_release(L, &v);
  return r < 0 ? fail(L, r, b, at_index, HINT_APPEND) : r;
}

static int list_newindex(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  if (lua_type(L, 2) == LUA_TSTRING)
    return mp_lua_refuse(L, "a List has items by index alone, got %s", mp_lua_show(L, 2));
  store(L, b, 2, 3, NULL);
  return 0;
}

static int list_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)length(mp_lua_list_self(L)));
  return 1;
}

/* pairs' step: as that of ipairs. */
static int next_item(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  uint64_t i = (uint64_t)lua_tointeger(L, 2);
  lua_pushinteger(L, (lua_Integer)i + 1);
  return mp_lua_find_push(L, find, b, &i) ? 2 : 0;
}

static int list_pairs(lua_State *L) {
  mp_lua_list_self(L);
  lua_pushcfunction(L, next_item);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* append(v) */
static int list_append(lua_State *L) {
  mp_lua_item v;
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, 2);
  refuse_nil(L, 2);
  read_item(L, b, 2, &v);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_list_append(b->object, &v.item, 1, &w);
  mp_lua_item_release(L, &v);
  return err ? mp_lua_list_fail(L, err) : 0;
}

/* insert(i, v) */
static int list_insert(lua_State *L) {
  mp_lua_item v;
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, 3);
  uint64_t i = mp_lua_list_index(L, b, 2, " (or one more)");
  refuse_nil(L, 3);
  read_item(L, b, 3, &v);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_list_insert(b->object, i, &v.item, &w);
  mp_lua_item_release(L, &v);
  return err ? fail(L, err, b, 2, " (or one more)") : 0;
}

/* add(i, n) -> the new value */
static int list_add(lua_State *L) {
  mp_shm_item n, sum;
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, 3);
  uint64_t i = mp_lua_list_index(L, b, 2, "");
  mp_lua_number_read(L, 3, "n", &n);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_list_add(b->object, i, &n, &sum, &w);
  if (err == -ERANGE) return mp_lua_list_refuse(L, b, 2, "");
  if (err) return mp_lua_number_refuse(L, err, &sum, "list");
  mp_lua_item_push(L, &sum);
  return 1;
}

/* --- taking items out --- */

/* A nil that print and tostring can show, where nothing would be no argument for them. */
static int push_none(lua_State *L) {
  lua_pushnil(L);
  return 1;
}

/* Pushes item i, and removes it; at_index 0: pushes nil when there is none. */
static int take(lua_State *L, const mp_lua_box *b, uint64_t i, int at_index) {
  int r = 0, top = lua_gettop(L);
  mp_lua_held *h;
  do {
    lua_settop(L, top);
    mp_lua_container_again(L, b, "list");
    h = mp_lua_hold(L, find, b, &i);
    if (h->item.type == MP_ITEM_NONE) return at_index ? mp_lua_list_refuse(L, b, at_index, "") : push_none(L);
    mp_lua_held_push(L, h);
    mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
    r = mp_shm_list_remove(mp_lua_container_again(L, b, "list"), i, &h->item, &w);
  } while (r == 0 || r == -ERANGE);
  if (r < 0) return mp_lua_list_fail(L, r);
  mp_lua_held_release(h);
  return 1;
}

static int take_end(lua_State *L, uint64_t i, const char *name) {
  mp_lua_box *b = mp_lua_list_self(L);
  if (lua_isnoneornil(L, 2)) return take(L, b, i, 0);
  return mp_lua_refuse(L, "%s takes no argument, got %s; remove(i) takes any item", name, mp_lua_show(L, 2));
}

/* pop() -> the last item, or nil */
static int list_pop(lua_State *L) { return take_end(L, MP_LIST_LAST, "pop"); }

/* shift() -> the first item, or nil */
static int list_shift(lua_State *L) { return take_end(L, 0, "shift"); }

/* remove([i]) -> the item */
static int list_remove(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) return take(L, b, MP_LIST_LAST, 0);
  return take(L, b, mp_lua_list_index(L, b, 2, ""), 2);
}

/* --- update --- */

static void hold_value(lua_State *L, const mp_lua_box *b, int at_index) {
  uint64_t i = mp_lua_list_index(L, b, at_index, "");
  mp_lua_container_again(L, b, "list");
  mp_lua_held *h = mp_lua_hold(L, find, b, &i);
  if (h->item.type == MP_ITEM_NONE) mp_lua_list_refuse(L, b, at_index, "");
  mp_lua_held_push(L, h);
}

/* update(i, f) -> the new value. f may yield, and may run more than once. */
static int list_update(lua_State *L) {
  static const mp_lua_updated values = {"list", hold_value, store};
  mp_lua_list_self(L);
  return mp_lua_update(L, &values);
}

/* --- the rest --- */

static int list_tostring(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (!b) return mp_lua_box_refuse(L, 1, "list");
  if (!b->object)
    lua_pushliteral(L, "a closed container");
  else
    lua_pushfstring(L, "List %d: %I items", (int)(b->handle & MP_SLOT_MASK), (lua_Integer)length(b));
  return 1;
}

/* list() -> box | nil, message, NAME */
static int new_list(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &class, MP_LIST_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_list_new(&w, &h);
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err) return mp_lua_container_none(L);
  mp_lua_box_fill(b, h);
  return 1;
}

static const luaL_Reg methods[] = {
    {"append", list_append},
    {"insert", list_insert},
    {"remove", list_remove},
    {"pop", list_pop},
    {"shift", list_shift},
    {"add", list_add},
    {"update", list_update},
    {"lock", mp_lua_container_lock},
    {"with", mp_lua_container_with},
    {"close", mp_lua_container_close},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__len", list_len},
                                       {"__pairs", list_pairs},
                                       {"__tostring", list_tostring},
                                       {"__close", mp_lua_container_scope},
                                       {NULL, NULL}};

void mp_lua_open_list(lua_State *L) {
  mp_lua_box_class(L, MP_LIST_TYPE, &class, methods, metamethods);
  luaL_getmetatable(L, MP_LIST_TYPE);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, mp_lua_list_methods, 0);
  lua_pop(L, 2);
  mp_lua_container_class(L, MP_LIST_TYPE, list_index, list_newindex);
  mp_lua_box_can_close(&class, "the container is closed");
  lua_pushcfunction(L, new_list);
  lua_setfield(L, -2, "list");
}
