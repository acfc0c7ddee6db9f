/* SPDX-License-Identifier: MIT */
/* Proxies of frozen tables. The contracts stand in frozen.h. */
#include "bind/frozen.h"

#include <errno.h>

#include "bind/check.h"
#include "codec/codec.h"
#include "codec/names.h"

#define FROZEN_TYPE "mproc.Frozen"
#define HOME_TYPE "mproc.Frozen.home"

const char mp_lua_frozen_mark;
static const char known; /* registry key: handle -> a block's proxies, weak */

static const char *home_name(const void *block) {
  (void)block;
  return HOME_TYPE;
}
static int push_root(lua_State *L, mp_shm_handle h);
static const mp_lua_object_class home_class = {MP_TYPE_FROZEN, 0, home_name, NULL, push_root};

/* --- a block's proxies --- */

/* Pushes the table of the block's proxies, whose metatable keeps the box at `home`; and makes it known. */
static void push_new_proxies(lua_State *L, int home, mp_shm_handle h) {
  lua_newtable(L);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_pushvalue(L, home);
  lua_setfield(L, -2, "home");
  lua_setmetatable(L, -2);
  mp_lua_push_weak(L, &known);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, (lua_Integer)h);
  lua_pop(L, 1);
}

static mp_lua_box *home_of(lua_State *L, int proxies) {
  lua_getmetatable(L, proxies);
  lua_getfield(L, -1, "home");
  mp_lua_box *home = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return home;
}

/* Pushes the proxies of a block that this state knows and has not let go of: true; or nothing: false. */
static bool push_proxies(lua_State *L, mp_shm_handle h) {
  mp_lua_push_weak(L, &known);
  bool there = lua_rawgeti(L, -1, (lua_Integer)h) == LUA_TTABLE;
  if (there) there = home_of(L, lua_gettop(L))->object != NULL;
  lua_remove(L, -2);
  if (!there) lua_pop(L, 1);
  return there;
}

/* Pushes the proxy of the table at that place; nil: there is none. proxies: the index of their table. */
static void push_proxy(lua_State *L, int proxies, const mp_shm_frozen_view *v, mp_shm_handle h, uint64_t place) {
  if (lua_rawgeti(L, proxies, (lua_Integer)place) == LUA_TUSERDATA) return;
  lua_pop(L, 1);
  const mp_shm_frozen_shape *shape;
  const mp_shm_frozen_table *t = mp_shm_frozen_table_at(v, place, &shape);
  if (!t) {
    lua_pushnil(L);
    return;
  }
  mp_lua_frozen *p = lua_newuserdatauv(L, sizeof *p, 1);
  *p = (mp_lua_frozen){&mp_lua_frozen_mark, *v, t, shape, place, h};
  luaL_setmetatable(L, FROZEN_TYPE);
  lua_pushvalue(L, proxies);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  lua_rawseti(L, proxies, (lua_Integer)place);
}

/* A finalizer may have closed the block while the proxy on top was made. */
static void close_pushed(lua_State *L) {
  mp_lua_frozen *p = mp_lua_frozen_test(L, -1);
  if (p) p->table = NULL;
}

static void push_root_of(lua_State *L, int proxies, mp_shm_handle h) {
  const mp_shm_frozen *f = home_of(L, proxies)->object;
  if (f) {
    mp_shm_frozen_view v = mp_shm_frozen_look(f);
    push_proxy(L, proxies, &v, h, f->root);
  } else {
    lua_pushnil(L);
  }
  if (!home_of(L, proxies)->object) close_pushed(L);
}

/* The root's proxy, if this state has it. */
static int push_root_again(lua_State *L, mp_shm_handle h) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (!push_proxies(L, h)) return 0;
  const mp_shm_frozen *f = home_of(L, lua_gettop(L))->object;
  bool there = lua_rawgeti(L, -1, (lua_Integer)f->root) == LUA_TUSERDATA;
  lua_remove(L, -2);
  if (!there) lua_pop(L, 1);
  return there;
}

/* Takes the place of the box that a handle would become: 1, the root's proxy pushed; 0: no such block lives. */
static int push_root(lua_State *L, mp_shm_handle h) {
  luaL_checkstack(L, 8, NULL);
  int base = lua_gettop(L);
  if (!push_proxies(L, h)) {
    mp_lua_box *home = mp_lua_box_push(L, &home_class, HOME_TYPE);
    push_new_proxies(L, base + 1, h);
    mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
    w.interrupted = NULL;
    if (mp_shm_object_use(h, MP_TYPE_FROZEN, &w) != 0) {
      lua_settop(L, base);
      return 0;
    }
    mp_lua_box_fill(home, h);
    lua_remove(L, base + 1);
  }
  push_root_of(L, base + 1, h);
  lua_remove(L, base + 1);
  return 1;
}

/* --- reading --- */

mp_lua_frozen *mp_lua_frozen_self(lua_State *L, int idx) {
  mp_lua_frozen *p = mp_lua_frozen_test(L, idx);
  if (!p) {
    mp_lua_misuse(L, lua_pushfstring(L, "a frozen table expected, got %s", luaL_typename(L, idx)));
    return NULL;
  }
  if (!p->table) mp_lua_misuse(L, "the frozen table is closed: its scope has ended");
  return p;
}

static void push_object(lua_State *L, const mp_lua_frozen *p, uint64_t number) {
  const mp_shm_frozen *f = (const mp_shm_frozen *)p->view.block;
  const mp_shm_handle *h = mp_shm_frozen_at(&p->view, f->handles + 8 * number, sizeof *h);
  if (number >= f->nhandles || !h || !mp_lua_box_push_handle(L, *h)) lua_pushnil(L);
}

void mp_lua_frozen_push_string(lua_State *L, const mp_lua_frozen *p, uint64_t word) {
  const mp_shm_frozen_string *s = mp_shm_frozen_string_at(&p->view, word);
  if (s)
    lua_pushlstring(L, s->bytes, s->len);
  else
    lua_pushnil(L);
}

static void push_big(lua_State *L, const mp_lua_frozen *p, uint64_t word) {
  int64_t i;
  if (mp_shm_frozen_big(&p->view, word, &i))
    lua_pushinteger(L, i);
  else
    lua_pushnil(L);
}

static void push_inner(lua_State *L, const mp_lua_frozen *p, int self, uint64_t place) {
  luaL_checkstack(L, 4, NULL);
  lua_getiuservalue(L, self, 1);
  push_proxy(L, lua_gettop(L), &p->view, p->handle, place);
  lua_remove(L, -2);
  if (!((mp_lua_frozen *)lua_touserdata(L, self))->table) close_pushed(L);
}

static void push_float(lua_State *L, uint64_t w) {
  double d;
  memcpy(&d, &w, sizeof d);
  lua_pushnumber(L, d);
}

/* self: the index of the proxy, for tables within. */
void mp_lua_frozen_push_word(lua_State *L, const mp_lua_frozen *p, int self, uint64_t w) {
  switch (mp_shm_frozen_tag(w)) {
    case 0:
      push_float(L, w);
      break;
    case MP_FROZEN_FALSE:
    case MP_FROZEN_TRUE:
      lua_pushboolean(L, mp_shm_frozen_tag(w) == MP_FROZEN_TRUE);
      break;
    case MP_FROZEN_INT:
      lua_pushinteger(L, mp_shm_frozen_int(w));
      break;
    case MP_FROZEN_BIG:
      push_big(L, p, w);
      break;
    case MP_FROZEN_STRING:
      mp_lua_frozen_push_string(L, p, w);
      break;
    case MP_FROZEN_TABLE:
      push_inner(L, p, self, (w & MP_FROZEN_PAYLOAD) * 8);
      break;
    case MP_FROZEN_OBJECT:
      push_object(L, p, w & MP_FROZEN_PAYLOAD);
      break;
    default:
      lua_pushnil(L);
  }
}

/* The value of words[at], an item or what stands behind them. */
void mp_lua_frozen_push_value(lua_State *L, const mp_lua_frozen *p, int self, uint64_t at) {
  uint64_t w = p->table->words[at];
  if (at >= p->table->narr || p->table->kind == MP_FROZEN_WORDS)
    mp_lua_frozen_push_word(L, p, self, w);
  else if (p->table->kind == MP_FROZEN_INTEGERS)
    lua_pushinteger(L, (lua_Integer)w);
  else
    push_float(L, w);
}

/* The word of a key that is an integer outside of the items: small ones have it by themselves, big ones have a place, so
 * the keys are looked through. */
static int64_t find_big(const mp_lua_frozen *p, lua_Integer i) {
  int64_t there;
  for (uint32_t k = 0; k < p->shape->n; k++)
    if (mp_shm_frozen_tag(p->shape->keys[k]) == MP_FROZEN_BIG &&
        mp_shm_frozen_big(&p->view, p->shape->keys[k], &there) && there == i)
      return k;
  return -1;
}

static int64_t find_integer(const mp_lua_frozen *p, lua_Integer i) {
  if (i >= -MP_FROZEN_INT_MOST && i < MP_FROZEN_INT_MOST)
    return mp_shm_frozen_find(&p->view, p->shape, mp_shm_frozen_word(MP_FROZEN_INT, (uint64_t)i));
  return find_big(p, i);
}

static int64_t find_object(const mp_lua_frozen *p, const mp_lua_box *b) {
  const mp_shm_frozen *f = (const mp_shm_frozen *)p->view.block;
  for (uint64_t n = 0; n < f->nhandles; n++) {
    const mp_shm_handle *h = mp_shm_frozen_at(&p->view, f->handles + 8 * n, sizeof *h);
    if (h && *h == b->handle) return mp_shm_frozen_find(&p->view, p->shape, mp_shm_frozen_word(MP_FROZEN_OBJECT, n));
  }
  return -1;
}

static int64_t find_number(lua_State *L, const mp_lua_frozen *p, int key) {
  int exact;
  lua_Integer i = lua_tointegerx(L, key, &exact);
  if (exact && (uint64_t)i - 1 < p->table->narr) return i - 1;
  if (!p->shape) return -1;
  int64_t k =
      exact ? find_integer(p, i) : mp_shm_frozen_find(&p->view, p->shape, mp_shm_frozen_float(lua_tonumber(L, key)));
  return k < 0 ? -1 : k + p->table->narr;
}

static int64_t find_in_shape(lua_State *L, const mp_lua_frozen *p, int key, int type) {
  size_t n;
  if (type == LUA_TSTRING) {
    const char *s = lua_tolstring(L, key, &n);
    return mp_shm_frozen_find_string(&p->view, p->shape, s, n);
  }
  if (type == LUA_TBOOLEAN)
    return mp_shm_frozen_find(&p->view, p->shape,
                              mp_shm_frozen_word(lua_toboolean(L, key) ? MP_FROZEN_TRUE : MP_FROZEN_FALSE, 0));
  const mp_lua_box *b = mp_lua_box_any(L, key);
  return b && b->object ? find_object(p, b) : -1;
}

/* Which of the table's words the key at `key` names, or -1. */
static inline int64_t find(lua_State *L, const mp_lua_frozen *p, int key) {
  int type = lua_type(L, key);
  if (type == LUA_TNUMBER) return find_number(L, p, key);
  int64_t k = p->shape ? find_in_shape(L, p, key, type) : -1;
  return k < 0 ? -1 : k + p->table->narr;
}

static int frozen_index(lua_State *L) {
  const mp_lua_frozen *p = mp_lua_frozen_self(L, 1);
  int64_t at = find(L, p, 2);
  if (at < 0) return 0;
  mp_lua_frozen_push_value(L, p, 1, (uint64_t)at);
  return 1;
}

/* Goes on to the table that words[at] is: false when it is none. */
static bool step_into(mp_lua_frozen *p, uint64_t at) {
  uint64_t w = p->table->words[at];
  if ((at < p->table->narr && p->table->kind != MP_FROZEN_WORDS) || mp_shm_frozen_tag(w) != MP_FROZEN_TABLE)
    return false;
  p->table = mp_shm_frozen_table_at(&p->view, (w & MP_FROZEN_PAYLOAD) * 8, &p->shape);
  return p->table != NULL;
}

/* f(k1, k2, ...): f[k1][k2]..., without proxies on the way; nil when there is nothing, at any step */
static int frozen_call(lua_State *L) {
  mp_lua_frozen p = *mp_lua_frozen_self(L, 1);
  int n = lua_gettop(L);
  for (int i = 2; i <= n; i++) {
    int64_t at = find(L, &p, i);
    if (at < 0 || (i < n && !step_into(&p, (uint64_t)at))) {
      lua_pushnil(L);
      return 1;
    }
    if (i < n) continue;
    mp_lua_frozen_push_value(L, &p, 1, (uint64_t)at);
    return 1;
  }
  lua_settop(L, 1);
  return 1;
}

static int frozen_len(lua_State *L) {
  lua_pushinteger(L, mp_lua_frozen_self(L, 1)->table->narr);
  return 1;
}

static int frozen_newindex(lua_State *L) {
  const mp_lua_frozen *p = mp_lua_frozen_self(L, 1);
  lua_settop(L, 2);
  mp_lua_frozen_path(L, p, 2);
  return mp_lua_refuse(L, "cannot set %s: a frozen table cannot be changed; mproc.thaw gives a copy that can",
                       lua_tostring(L, -1));
}

typedef struct walk { /* of a generic for, which hands it to nobody */
  const mp_lua_frozen *p;
  uint64_t at, narr, n;
} walk;

/* Upvalues: the walk; the proxy. */
static int frozen_step(lua_State *L) {
  walk *w = lua_touserdata(L, lua_upvalueindex(1));
  const mp_lua_frozen *p = w->p;
  uint64_t at = w->at;
  if (at >= w->n) return 0;
  if (!p->table) mp_lua_frozen_self(L, lua_upvalueindex(2));
  while (at < w->narr && p->table->kind == MP_FROZEN_WORDS && mp_shm_frozen_tag(p->table->words[at]) == MP_FROZEN_NIL)
    at++;
  if (at >= w->n) return 0;
  w->at = at + 1;
  if (at < w->narr)
    lua_pushinteger(L, (lua_Integer)at + 1);
  else
    mp_lua_frozen_push_word(L, p, lua_upvalueindex(2), p->shape->keys[at - w->narr]);
  mp_lua_frozen_push_value(L, p, lua_upvalueindex(2), at);
  return 2;
}

static int frozen_pairs(lua_State *L) {
  const mp_lua_frozen *p = mp_lua_frozen_self(L, 1);
  uint64_t narr = p->table->narr;
  *(walk *)lua_newuserdatauv(L, sizeof(walk), 0) = (walk){p, 0, narr, narr + (p->shape ? p->shape->n : 0)};
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, frozen_step, 2);
  return 1;
}

static int frozen_eq(lua_State *L) {
  const mp_lua_frozen *a = mp_lua_frozen_test(L, 1), *b = mp_lua_frozen_test(L, 2);
  lua_pushboolean(L, a && b && a->handle == b->handle && a->place == b->place);
  return 1;
}

/* The end of a scope: this proxy is closed, and the block let go of unless others of its proxies live. */
static int frozen_close(lua_State *L) {
  mp_lua_frozen *p = mp_lua_frozen_test(L, 1);
  if (!p || !p->table) return 0;
  p->table = NULL;
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_rawseti(L, 2, (lua_Integer)p->place);
  lua_pushnil(L);
  if (lua_next(L, 2)) return 0;
  mp_lua_box_empty(home_of(L, 2));
  return 0;
}

static int frozen_tostring(lua_State *L) {
  const mp_lua_frozen *p = mp_lua_frozen_test(L, 1);
  if (!p || !p->table)
    lua_pushliteral(L, "mproc.Frozen: closed");
  else
    lua_pushfstring(L, "mproc.Frozen: %d items, %d fields", (int)p->table->narr, p->shape ? (int)p->shape->n : 0);
  return 1;
}

/* --- travelling --- */

static int frozen_handle(lua_State *L, int idx, uint64_t *handle) {
  const mp_lua_frozen *p = mp_lua_frozen_test(L, idx);
  if (!p) return 0;
  if (!p->table) {
    lua_pushliteral(L, "the frozen table is closed");
    return -1;
  }
  if (p->place != ((const mp_shm_frozen *)p->view.block)->root) return 0;
  *handle = p->handle;
  return 1;
}

/* A table within travels as its root and its place: { root, place }. */
static int frozen_encode(lua_State *L) {
  const mp_lua_frozen *p = mp_lua_frozen_self(L, 1);
  lua_createtable(L, 2, 0);
  push_inner(L, p, 1, ((const mp_shm_frozen *)p->view.block)->root);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)p->place);
  lua_rawseti(L, -2, 2);
  return 1;
}

/* frozen_within({ root, place }) -> the proxy of the table at that place; nil for what is none */
static int frozen_within(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_istable(L, 1)) return 0;
  lua_rawgeti(L, 1, 1);
  lua_rawgeti(L, 1, 2);
  const mp_lua_frozen *root = mp_lua_frozen_test(L, 2);
  if (!root || !root->table || !lua_isinteger(L, 3)) return 0;
  push_inner(L, root, 2, (uint64_t)lua_tointeger(L, 3));
  return 1;
}

/* --- functions --- */

/* freeze(t) -> frozen | nil, message, NAME. What is frozen is given back. */
static int freeze(lua_State *L) {
  lua_settop(L, 1);
  if (mp_lua_frozen_test(L, 1)) return mp_lua_frozen_self(L, 1), 1;
  if (!lua_istable(L, 1))
    return mp_lua_misuse(L, lua_pushfstring(L, "freeze takes a table, got %s", mp_lua_show(L, 1)));
  mp_codec_open(L);
  mp_lua_box *home = mp_lua_box_push(L, &home_class, HOME_TYPE);
  mp_shm_handle h;
  int err = mp_lua_freeze(L, &h);
  if (err) return mp_lua_push_failure(L, err, "freeze");
  mp_lua_box_fill(home, h);
  push_new_proxies(L, 2, h);
  push_root_of(L, lua_gettop(L), h);
  return 1;
}

static int is_frozen(lua_State *L) {
  lua_pushboolean(L, mp_lua_frozen_test(L, 1) != NULL);
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* frozen_info(f) -> { bytes, tables, strings, shapes } of its whole block */
static int frozen_info(lua_State *L) {
  const mp_shm_frozen *f = (const mp_shm_frozen *)mp_lua_frozen_self(L, 1)->view.block;
  lua_createtable(L, 0, 4);
  set_count(L, "bytes", f->size);
  set_count(L, "tables", f->tables);
  set_count(L, "strings", f->strings);
  set_count(L, "shapes", f->shapes);
  return 1;
}

void mp_lua_open_frozen(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__index", frozen_index},
                                  {"__newindex", frozen_newindex},
                                  {"__len", frozen_len},
                                  {"__call", frozen_call},
                                  {"__pairs", frozen_pairs},
                                  {"__eq", frozen_eq},
                                  {"__close", frozen_close},
                                  {"__tostring", frozen_tostring},
                                  {"__mproc_encode", frozen_encode},
                                  {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"freeze", freeze}, {"thaw", mp_lua_thaw}, {"is_frozen", is_frozen}, {"frozen_info", frozen_info}, {NULL, NULL}};
  mp_lua_box_class(L, HOME_TYPE, &home_class, none, NULL);
  mp_lua_box_travels(frozen_handle);
  mp_lua_box_finds(push_root_again);
  if (luaL_newmetatable(L, FROZEN_TYPE)) {
    luaL_setfuncs(L, meta, 0);
    lua_pushcfunction(L, frozen_within);
    mp_codec_register(L, FROZEN_TYPE, -2, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
