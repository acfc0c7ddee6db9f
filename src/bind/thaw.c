/* SPDX-License-Identifier: MIT */
/*
 * Walks through whole frozen graphs for Lua (layer 3): plain copies, and the way to a table, for error texts. For frozen.c.
 * Both go table by table, in the order in which they are met, so that no depth is too much.
 */
#include <limits.h>

#include "bind/frozen.h"
#include "codec/names.h"

/* --- thawing --- */

typedef struct thaw_walk {
  const mp_lua_frozen *p;
  lua_Integer met, done; /* copies on the list: made; filled */
} thaw_walk;
enum { FROZEN = 1, COPIES, LIST }; /* indices: the proxy; place -> copy; number -> place */

/* Pushes the copy of the table at that place, filled later; nil: there is none. */
static void push_copy(lua_State *L, thaw_walk *x, uint64_t place) {
  const mp_shm_frozen_shape *shape;
  if (lua_rawgeti(L, COPIES, (lua_Integer)place) == LUA_TTABLE) return;
  const mp_shm_frozen_table *t = mp_shm_frozen_table_at(&x->p->view, place, &shape);
  if (!t) return;
  lua_pop(L, 1);
  lua_createtable(L, t->narr < INT_MAX ? (int)t->narr : INT_MAX, shape && shape->n < INT_MAX ? (int)shape->n : 0);
  lua_pushvalue(L, -1);
  lua_rawseti(L, COPIES, (lua_Integer)place);
  lua_pushinteger(L, (lua_Integer)place);
  lua_rawseti(L, LIST, ++x->met);
}

static void thaw_word(lua_State *L, thaw_walk *x, uint64_t w) {
  if (mp_shm_frozen_tag(w) == MP_FROZEN_TABLE)
    push_copy(L, x, (w & MP_FROZEN_PAYLOAD) * 8);
  else
    mp_lua_frozen_push_word(L, x->p, FROZEN, w);
}

static void thaw_items(lua_State *L, thaw_walk *x, const mp_lua_frozen *t, uint64_t narr) {
  bool words = t->table->kind == MP_FROZEN_WORDS;
  for (uint64_t i = 0; i < narr; i++) {
    if (words)
      thaw_word(L, x, t->table->words[i]);
    else
      mp_lua_frozen_push_value(L, t, FROZEN, i);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static void thaw_fields(lua_State *L, thaw_walk *x, const mp_lua_frozen *t, uint64_t narr, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    mp_lua_frozen_push_word(L, t, FROZEN, t->shape->keys[i]);
    thaw_word(L, x, t->table->words[narr + i]);
    if (lua_isnil(L, -2) || lua_isnil(L, -1))
      lua_pop(L, 2);
    else
      lua_rawset(L, -3);
  }
}

/* The copy at the top gets the metatable that is registered here by the name that it had. */
static void thaw_meta(lua_State *L, const mp_lua_frozen *t) {
  if (!t->table->meta) return;
  int copy = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_BY_NAME);
  mp_lua_frozen_push_string(L, t, t->table->meta / 8);
  if (lua_istable(L, -2) && lua_rawget(L, -2) == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TTABLE)
    lua_setmetatable(L, copy);
  lua_settop(L, copy);
}

/* Fills the copy of the table at that place. Each allocation may run a finalizer that closes the block, whose memory is
 * another's then: how much of it is read was decided while it was whole. */
static void thaw_table(lua_State *L, thaw_walk *x, uint64_t place) {
  mp_lua_frozen t = *x->p;
  t.table = mp_shm_frozen_table_at(&x->p->view, place, &t.shape);
  uint64_t narr = t.table->narr, n = t.shape ? t.shape->n : 0;
  lua_rawgeti(L, COPIES, (lua_Integer)place);
  thaw_items(L, x, &t, narr);
  thaw_fields(L, x, &t, narr, n);
  thaw_meta(L, &t);
  lua_pop(L, 1);
}

/* thaw(f) -> a plain copy; what is not frozen is given back as it is */
int mp_lua_thaw(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  if (!mp_lua_frozen_test(L, 1)) return 1;
  const mp_lua_frozen p = *mp_lua_frozen_self(L, FROZEN);
  thaw_walk x = {&p, 0, 0};
  lua_newtable(L);
  lua_newtable(L);
  push_copy(L, &x, p.place);
  lua_pop(L, 1);
  while (x.done < x.met) {
    lua_rawgeti(L, LIST, ++x.done);
    uint64_t place = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    thaw_table(L, &x, place);
    mp_lua_frozen_self(L, FROZEN); /* a finalizer may have closed it meanwhile: then what was read is nothing */
  }
  lua_settop(L, LIST);
  lua_rawgeti(L, COPIES, (lua_Integer)p.place);
  return 1;
}

/* --- the way to a table --- */

enum { LOOKS_MOST = 20000 /* words */ };

typedef struct way { /* places that were met, in turn, from the root on, lie in tables on the stack */
  const mp_lua_frozen *p;
  int places, parents, words,
      met;              /* number -> place; number of the table that it was met in; which word of that it is; */
  lua_Integer n, looks; /* place -> true */
} way;

static void meet(lua_State *L, way *x, uint64_t place, lua_Integer parent, uint64_t word) {
  bool known = lua_rawgeti(L, x->met, (lua_Integer)place) != LUA_TNIL;
  lua_pop(L, 1);
  if (known) return;
  x->n++;
  lua_pushboolean(L, 1);
  lua_rawseti(L, x->met, (lua_Integer)place);
  lua_pushinteger(L, (lua_Integer)place);
  lua_rawseti(L, x->places, x->n);
  lua_pushinteger(L, parent);
  lua_rawseti(L, x->parents, x->n);
  lua_pushinteger(L, (lua_Integer)word);
  lua_rawseti(L, x->words, x->n);
}

static lua_Integer number_at(lua_State *L, int list, lua_Integer i) {
  lua_rawgeti(L, list, i);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void meet_inner(lua_State *L, way *x, lua_Integer i) {
  const mp_shm_frozen_shape *shape;
  const mp_shm_frozen_table *t = mp_shm_frozen_table_at(&x->p->view, (uint64_t)number_at(L, x->places, i), &shape);
  uint64_t n = !t ? 0 : t->narr + (shape ? (uint64_t)shape->n : 0);
  for (uint64_t k = t && t->kind != MP_FROZEN_WORDS ? t->narr : 0; k < n && x->looks < LOOKS_MOST; k++, x->looks++)
    if (mp_shm_frozen_tag(t->words[k]) == MP_FROZEN_TABLE) meet(L, x, (t->words[k] & MP_FROZEN_PAYLOAD) * 8, i, k);
}

/* The number of the proxy's table; 0: it is too far away. */
static lua_Integer find_way(lua_State *L, way *x) {
  meet(L, x, ((const mp_shm_frozen *)x->p->view.block)->root, 0, 0);
  for (lua_Integer i = 1; i <= x->n; i++) {
    if ((uint64_t)number_at(L, x->places, i) == x->p->place) return i;
    meet_inner(L, x, i);
  }
  return 0;
}

/* Appends the key on top, which it pops, to the text below it. */
static void add_key(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING) {
    lua_pushfstring(L, "%s.%s", lua_tostring(L, -2), lua_tostring(L, -1));
  } else {
    const char *key = luaL_tolstring(L, -1, NULL);
    lua_pushfstring(L, "%s[%s]", lua_tostring(L, -3), key);
    lua_remove(L, -2);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static void push_key(lua_State *L, way *x, lua_Integer i) {
  mp_lua_frozen t = *x->p;
  uint64_t k = (uint64_t)number_at(L, x->words, i);
  uint64_t place = (uint64_t)number_at(L, x->places, number_at(L, x->parents, i));
  t.table = mp_shm_frozen_table_at(&x->p->view, place, &t.shape);
  if (!t.table || k >= t.table->narr + (t.shape ? (uint64_t)t.shape->n : 0))
    lua_pushliteral(L, "?"); /* a finalizer has closed it meanwhile */
  else if (k < t.table->narr)
    lua_pushinteger(L, (lua_Integer)k + 1);
  else
    mp_lua_frozen_push_word(L, &t, FROZEN, t.shape->keys[k - t.table->narr]);
}

/* Appends the keys that lead to table i, the first one first. */
static void add_way(lua_State *L, way *x, lua_Integer i) {
  lua_Integer parent = number_at(L, x->parents, i);
  if (!parent) return;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  add_way(L, x, parent);
  push_key(L, x, i);
  add_key(L);
}

void mp_lua_frozen_path(lua_State *L, const mp_lua_frozen *p, int key) {
  int base = lua_gettop(L);
  way x = {p, base + 1, base + 2, base + 3, base + 4, 0, 0};
  for (int i = 0; i < 4; i++) lua_newtable(L);
  lua_Integer found = find_way(L, &x);
  lua_pushstring(L, found ? "f" : "f...");
  if (found) add_way(L, &x, found);
  lua_pushvalue(L, key);
  add_key(L);
  lua_replace(L, base + 1);
  lua_settop(L, base + 1);
}
