/* SPDX-License-Identifier: MIT */
/* What takes many items of a List, for Lua: extend, copies, sort, index, clear. */
#include <errno.h>
#include <string.h>

#include "bind/check.h"
#include "bind/list.h"

/* --- extend --- */

typedef struct batch {
  mp_lua_item *items;
  mp_shm_item *flat; /* what append takes */
  lua_Integer n, read;
} batch;

static void release_batch(lua_State *L, batch *t) {
  while (t->read > 0) mp_lua_item_release(L, &t->items[--t->read]);
}

/* Messages of several pieces come joined in one buffer: each keeps its own copy. Leaves it on the stack. */
static void keep_iovecs(lua_State *L, mp_lua_item *v) {
  if (!v->encoded || v->message.niov == 1 || v->item.type != MP_ITEM_MESSAGE) return;
  char *copy = lua_newuserdatauv(L, v->item.n, 0), *to = copy;
  for (size_t i = 0; i < v->message.niov; to += v->message.iov[i++].len)
    memcpy(to, v->message.iov[i].base, v->message.iov[i].len);
  v->item.p = copy;
}

/* (batch, list, anchors): reads items 1..n. What it raises, the caller cleans up after. */
static int read_batch(lua_State *L) {
  batch *t = lua_touserdata(L, 1);
  while (t->read < t->n) {
    lua_settop(L, 3);
    lua_Integer at = t->read + 1;
    if (lua_geti(L, 2, at) == LUA_TNIL) return mp_lua_refuse(L, "list[%I] is nil: a List has no holes", at);
    int type = lua_type(L, 4);
    bool plain = type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TBOOLEAN;
    mp_lua_item_read(L, 4, plain ? "" : lua_pushfstring(L, "list[%I]", at), &t->items[t->read]);
    t->read++;
    keep_iovecs(L, &t->items[t->read - 1]);
    for (int i = lua_gettop(L); i > 3; i--) lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
  }
  return 0;
}

/* Names the first hole of a list whose n is too large, before room is made for so many. */
static void find_hole(lua_State *L, int idx) {
  lua_Integer at = 0;
  do {
    lua_settop(L, idx);
    at++;
  } while (lua_geti(L, idx, at) != LUA_TNIL);
  mp_lua_refuse(L, "list[%I] is nil: a List has no holes", at);
}

/* Of the list at idx, the stack's top. */
static lua_Integer list_length(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE) mp_lua_refuse(L, "list must be a table, got %s", mp_lua_show(L, idx));
  lua_getfield(L, idx, "n");
  int exact = 1;
  lua_Integer n = lua_isnil(L, -1) ? luaL_len(L, idx) : lua_tointegerx(L, -1, &exact);
  if (!exact || n < 0) mp_lua_refuse(L, "list.n must be a count, got %s", mp_lua_show(L, -1));
  if ((uint64_t)n > MP_LIST_MOST) mp_lua_refuse(L, "list.n must be at most %I, got %I", (lua_Integer)MP_LIST_MOST, n);
  if (n > 0 && lua_geti(L, idx, n) == LUA_TNIL) find_hole(L, idx);
  lua_settop(L, idx);
  return n;
}

/* Replaces a List at idx by a copy of it. */
static void make_plain(lua_State *L, int idx) {
  if (!luaL_testudata(L, idx, MP_LIST_TYPE)) return;
  lua_getfield(L, idx, "totable");
  lua_pushvalue(L, idx);
  lua_call(L, 1, 1);
  lua_replace(L, idx);
}

/* extend(list): all at once. It may be a List, this one too. */
static int list_extend(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, 2);
  make_plain(L, 2);
  batch t = {.n = list_length(L, 2), .read = 0};
  t.items = lua_newuserdatauv(L, (size_t)t.n * sizeof *t.items, 0);
  t.flat = lua_newuserdatauv(L, (size_t)t.n * sizeof *t.flat, 0);
  lua_newtable(L); /* at 5: anchors */
  lua_pushcfunction(L, read_batch);
  lua_pushlightuserdata(L, &t);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 5);
  int err = 0;
  if (lua_pcall(L, 3, 0, 0) != LUA_OK || !b->object) {
    release_batch(L, &t);
    if (!b->object) mp_lua_container_again(L, b, "list");
    return mp_lua_raise(L);
  }
  for (lua_Integer i = 0; i < t.n; i++) t.flat[i] = t.items[i].item;
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  err = mp_shm_list_append(b->object, t.flat, (uint64_t)t.n, &w);
  release_batch(L, &t);
  return err ? mp_lua_list_fail(L, err) : 0;
}

/* --- copies --- */

static int64_t copy_part(void *l, void *part, void *buf, uint64_t room, uint64_t *need, const mp_shm_wait *w) {
  return mp_shm_list_copy(l, part, buf, room, need, w);
}

/* Pushes a copy, then a table of its items; how many. */
static lua_Integer push_items(lua_State *L, const mp_lua_box *b, mp_shm_list_part *part) {
  mp_shm_item v;
  lua_Integer n = 0;
  mp_lua_copy *c = mp_lua_copy_push(L, b, copy_part, part, "list");
  lua_newtable(L);
  int at = lua_gettop(L);
  for (; mp_lua_copy_item(c, NULL, &v); mp_lua_copy_pass(c)) {
    mp_lua_copy_push_value(L, &v);
    lua_rawseti(L, at, ++n);
  }
  lua_settop(L, at);
  return n;
}

/* totable() -> list */
static int list_totable(lua_State *L) {
  mp_shm_list_part all = {0, MP_LIST_MOST, 0};
  push_items(L, mp_lua_list_self(L), &all);
  return 1;
}

static lua_Integer integer(lua_State *L, int arg, const char *what, lua_Integer otherwise) {
  int exact = lua_type(L, arg) == LUA_TNUMBER;
  if (lua_isnoneornil(L, arg)) return otherwise;
  lua_Integer n = exact ? lua_tointegerx(L, arg, &exact) : 0;
  if (!exact) mp_lua_refuse(L, "%s must be an integer, got %s", what, mp_lua_show(L, arg));
  return n;
}

/* sub([i[, j]]) -> list */
static int list_sub(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  lua_Integer n = (lua_Integer)mp_shm_list_count(b->object), i = integer(L, 2, "i", 1), j = integer(L, 3, "j", -1);
  if (i < 0) i = i < -n ? 1 : n + i + 1;
  if (i == 0) i = 1;
  if (j < 0) j = j < -n ? 0 : n + j + 1;
  if (j > n) j = n;
  mp_shm_list_part part = {(uint64_t)i - 1, i > j ? 0 : (uint64_t)(j - i) + 1, 0};
  push_items(L, b, &part);
  return 1;
}

/* index(v) -> the first index of what equals v, or nil */
static int list_find(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  int type = lua_type(L, 2);
  lua_settop(L, 2);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION)
    return mp_lua_refuse(L, "index: a %s is a copy, which equals no other", luaL_typename(L, 2));
  mp_shm_list_part all = {0, MP_LIST_MOST, 0};
  lua_Integer n = push_items(L, b, &all);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 4, i);
    bool same = lua_compare(L, 2, -1, LUA_OPEQ);
    lua_pop(L, 1);
    if (!same) continue;
    lua_pushinteger(L, i);
    return 1;
  }
  lua_pushnil(L);
  return 1;
}

/* --- sort: a stable merge of an order of the items --- */

/* Its stack */
enum { SELF = 1, COMPARE, TRIES, SINCE, COPY, VALUES, ORDER, SPARE };

#define OVERTAKEN                                                                                                      \
  "sort: the list has changed each of the %I times that it was put in order; cmp must not change it, and who changes " \
  "it often should hold its lock() for it"

static bool less(lua_State *L, uint32_t a, uint32_t b) {
  bool custom = lua_isfunction(L, COMPARE);
  if (custom) lua_pushvalue(L, COMPARE);
  lua_rawgeti(L, VALUES, (lua_Integer)a + 1);
  lua_rawgeti(L, VALUES, (lua_Integer)b + 1);
  if (custom) lua_call(L, 2, 1);
  bool is = custom ? lua_toboolean(L, -1) : lua_compare(L, -2, -1, LUA_OPLT);
  lua_settop(L, SPARE);
  return is;
}

static void merge(lua_State *L, const uint32_t *from, uint32_t *to, uint64_t begin, uint64_t middle, uint64_t end) {
  uint64_t i = begin, j = middle;
  for (uint64_t k = begin; k < end; k++) {
    if (i < middle && (j >= end || !less(L, from[j], from[i])))
      to[k] = from[i++];
    else
      to[k] = from[j++];
  }
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The order of values 0..n-1, in one of two arrays of n. */
static uint32_t *sorted(lua_State *L, uint32_t *a, uint32_t *b, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) a[i] = (uint32_t)i;
  for (uint64_t width = 1; width < n; width *= 2) {
    for (uint64_t i = 0; i < n; i += 2 * width) merge(L, a, b, i, least(i + width, n), least(i + 2 * width, n));
    uint32_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

/* sort([cmp]): again, when others have changed the list meanwhile */
static int list_sort(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  lua_settop(L, COMPARE);
  if (!lua_isnil(L, COMPARE) && !lua_isfunction(L, COMPARE))
    return mp_lua_refuse(L, "cmp must be a function of two items, got %s", mp_lua_show(L, COMPARE));
  for (;;) {
    lua_settop(L, SINCE);
    mp_shm_list_part all = {0, MP_LIST_MOST, 0};
    size_t n = (size_t)push_items(L, b, &all);
    uint32_t *order = lua_newuserdatauv(L, n * sizeof *order, 0);
    uint32_t *spare = lua_newuserdatauv(L, n * sizeof *spare, 0);
    order = sorted(L, order, spare, n);
    mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
    int r = mp_shm_list_permute(mp_lua_container_again(L, b, "list"), order, n, all.changes, &w);
    if (r < 0) return mp_lua_list_fail(L, r);
    if (r) return 0;
    mp_lua_update_again(L, TRIES, SINCE, OVERTAKEN);
  }
}

/* clear() */
static int list_clear(lua_State *L) {
  mp_lua_box *b = mp_lua_list_self(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_list_clear(b->object, &w);
  return err ? mp_lua_list_fail(L, err) : 0;
}

const luaL_Reg mp_lua_list_methods[] = {
    {"extend", list_extend}, {"totable", list_totable}, {"sub", list_sub}, {"index", list_find},
    {"sort", list_sort},     {"clear", list_clear},     {NULL, NULL},
};
