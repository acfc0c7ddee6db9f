/* SPDX-License-Identifier: MIT */
/* Dict for Lua: single keys, making and ending. What takes all keys is in dict_all.c; Set and Namespace in set.c. */
#include <errno.h>
#include <string.h>

#include "bind/check.h"
#include "bind/dict.h"
#include "bind/list.h"

static const char *name_of(const void *block) {
  static const char *const names[] = {MP_DICT_TYPE, MP_SET_TYPE, MP_NAMESPACE_TYPE};
  return names[((const mp_shm_dict *)block)->options.kind];
}
static const char *view_name(const void *block) {
  (void)block;
  return MP_DICT_TYPE;
}

const mp_lua_object_class mp_lua_dict_class = {MP_TYPE_DICT, 0, name_of, NULL, NULL};
const mp_lua_object_class mp_lua_dict_view_class = {MP_TYPE_DICT, MP_PART_VIEW, view_name, NULL, NULL};

mp_lua_box *mp_lua_dict_box(lua_State *L, uint32_t kind, const char *what) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &mp_lua_dict_class);
  if (!b && kind == MP_DICT_PLAIN) b = mp_lua_box_test(L, 1, &mp_lua_dict_view_class);
  if (!b || !b->object) mp_lua_box_refuse(L, 1, what);
  if (((mp_shm_dict *)b->object)->options.kind != kind && b->class == &mp_lua_dict_class) mp_lua_box_refuse(L, 1, what);
  if (!mp_shm_usable()) mp_lua_enter(L);
  return b;
}

static mp_lua_box *check(lua_State *L) { return mp_lua_dict_box(L, MP_DICT_PLAIN, "dict"); }

static int find(void *d, const void *k, void *buf, mp_shm_item *v) { return mp_shm_dict_get(d, k, buf, v); }

/* --- reading --- */

int mp_lua_dict_push(lua_State *L, const mp_lua_box *b, int idx) {
  mp_lua_key key;
  mp_lua_key_read(L, idx, &key);
  mp_lua_key_hash(&key, b->object);
  return mp_lua_find_push(L, find, b, &key.k);
}

/* get(k[, default]) -> the value, default or nil */
static int dict_get(lua_State *L) {
  mp_lua_box *b = check(L);
  lua_settop(L, 3);
  mp_lua_dict_push(L, b, 2); /* or default stays on top */
  return 1;
}

/* Upvalue: the methods. They are found in a closed one, too. */
static int dict_index(lua_State *L) {
  if (lua_gettop(L) != 2) lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  }
  mp_lua_box *b = check(L);
  return lua_isnil(L, 2) ? 0 : mp_lua_dict_push(L, b, 2);
}

int mp_lua_dict_has(lua_State *L, mp_lua_box *b) {
  char small[MP_ITEM_ROOM];
  mp_lua_key key;
  mp_shm_item v;
  mp_lua_key_read(L, 2, &key);
  mp_lua_key_hash(&key, b->object);
  lua_pushboolean(L, mp_shm_dict_get(b->object, &key.k, small, &v));
  return 1;
}

/* has(k) -> boolean */
static int dict_has(lua_State *L) { return mp_lua_dict_has(L, check(L)); }

/* --- writing --- */

/* The deadline that seconds at idx set (0: never), if some are given: true. idx 0: none are. */
static bool read_ttl(lua_State *L, int idx, uint64_t *deadline) {
  if (!idx || lua_isnoneornil(L, idx)) return false;
  if (lua_type(L, idx) != LUA_TNUMBER || !(lua_tonumber(L, idx) > 0))
    mp_lua_refuse(L, "ttl must be a number of seconds above 0, got %s", mp_lua_show(L, idx));
  *deadline = mp_os_deadline((double)lua_tonumber(L, idx));
  if (*deadline == MP_FOREVER) *deadline = 0;
  return true;
}

static uint64_t usual_deadline(const mp_shm_dict *d) { return d->options.ttl ? mp_os_now() + d->options.ttl : 0; }

int mp_lua_dict_store(lua_State *L, const mp_lua_box *b, int at_key, int at_value, int at_ttl,
                      const mp_shm_item *expected) {
  mp_lua_key key;
  mp_lua_item v;
  mp_lua_key_read(L, at_key, &key);
  uint64_t deadline;
  bool given = read_ttl(L, at_ttl, &deadline);
  mp_lua_item_read(L, at_value, "value", &v);
  if (!b->object) {
    mp_lua_item_release(L, &v);
    mp_lua_container_again(L, b, "dict");
  }
  v.item.deadline = given ? deadline : usual_deadline(b->object);
  mp_lua_item_keep_key(&v.item, &key);
  mp_lua_key_hash(&key, b->object);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int r = mp_shm_dict_set(b->object, &key.k, &v.item, expected, &w);
  mp_lua_item_release(L, &v);
  return r < 0 ? mp_lua_container_fail(L, r, "dict") : r;
}

/* set(k, v[, ttl]) */
static int dict_set(lua_State *L) {
  mp_lua_box *b = check(L);
  bool plain = lua_gettop(L) == 3;
  if (!plain) lua_settop(L, 4);
  mp_lua_dict_store(L, b, 2, 3, plain ? 0 : 4, NULL);
  return 0;
}

/* Upvalue: the methods. */
static int dict_newindex(lua_State *L) {
  mp_lua_box *b = check(L);
  lua_settop(L, 4);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
      return mp_lua_refuse(L, "a Dict has a method of that name; use d:set(\"%s\", ...)", lua_tostring(L, 2));
    lua_settop(L, 4);
  }
  mp_lua_dict_store(L, b, 2, 3, 4, NULL);
  return 0;
}

/* add(k, n[, initial]) -> the new value */
static int dict_add(lua_State *L) {
  mp_lua_box *b = check(L);
  mp_shm_item n, initial = {.type = MP_ITEM_INTEGER}, sum;
  mp_lua_key key;
  bool plain = lua_gettop(L) == 3;
  if (!plain) lua_settop(L, 4);
  mp_lua_key_read(L, 2, &key);
  mp_lua_number_read(L, 3, "n", &n);
  if (!plain && !lua_isnil(L, 4)) mp_lua_number_read(L, 4, "initial", &initial);
  mp_lua_item_keep_key(&n, &key);
  initial.deadline = usual_deadline(b->object);
  mp_lua_key_hash(&key, b->object);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_dict_add(b->object, &key.k, &n, &initial, &sum, &w);
  if (err) return mp_lua_number_refuse(L, err, &sum, "dict");
  if (sum.type == MP_ITEM_INTEGER)
    lua_pushinteger(L, (lua_Integer)sum.word);
  else
    mp_lua_item_push(L, &sum);
  return 1;
}

/* --- reading, then writing if nobody has written between --- */

/* Pushes what key idx has, held; and its value. */
static mp_lua_held *hold_current(lua_State *L, const mp_lua_box *b, int idx) {
  mp_lua_key key;
  mp_lua_key_read(L, idx, &key);
  mp_lua_key_hash(&key, mp_lua_container_again(L, b, "dict"));
  mp_lua_held *h = mp_lua_hold(L, find, b, &key.k);
  mp_lua_held_push(L, h);
  mp_lua_container_again(L, b, "dict");
  return h;
}

static void need_value(lua_State *L, int idx, const char *what) {
  if (lua_isnoneornil(L, idx)) mp_lua_refuse(L, "%s must not be nil", what);
}

/* setdefault(k, v) -> what is there, or v */
static int dict_setdefault(lua_State *L) {
  mp_lua_box *b = check(L);
  const mp_shm_item nothing = {.type = MP_ITEM_NONE};
  lua_settop(L, 4);
  need_value(L, 3, "the default value");
  do {
    lua_settop(L, 4);
    if (mp_lua_dict_push(L, b, 2)) return 1;
    mp_lua_container_again(L, b, "dict");
  } while (!mp_lua_dict_store(L, b, 2, 3, 4, &nothing));
  lua_pushvalue(L, 3);
  return 1;
}

/* Leaves the value before on the stack's top: what was there when 3 took its place. */
static void replace(lua_State *L, const mp_lua_box *b) {
  mp_lua_held *h;
  do {
    lua_settop(L, 4);
    h = hold_current(L, b, 2);
  } while (!mp_lua_dict_store(L, b, 2, 3, 0, &h->item));
  lua_settop(L, 6);
  mp_lua_held_release(h);
}

/* exchange(k, v) -> the value before */
static int dict_exchange(lua_State *L) {
  mp_lua_box *b = check(L);
  lua_settop(L, 4);
  replace(L, b);
  return 1;
}

/* pop(k[, default]) -> the value taken */
static int dict_pop(lua_State *L) {
  mp_lua_box *b = check(L);
  lua_settop(L, 3);
  lua_pushnil(L);
  lua_insert(L, 3);
  replace(L, b);
  if (lua_isnil(L, -1)) lua_pushvalue(L, 4);
  return 1;
}

static void check_comparable(lua_State *L, int idx) {
  int type = lua_type(L, idx);
  if (type == LUA_TTABLE || type == LUA_TFUNCTION)
    mp_lua_refuse(
        L, "old must be nil, a boolean, a number, a string or an mproc object: a %s is a copy, which equals no other",
        luaL_typename(L, idx));
}

/* Whether what is held equals the value at idx; both blobs and messages of one object are compared by what they say. */
static bool held_equals(lua_State *L, const mp_lua_held *h, int value, int idx) {
  if (h->item.type == MP_ITEM_NONE || lua_isnil(L, idx)) return h->item.type == MP_ITEM_NONE && lua_isnil(L, idx);
  return lua_compare(L, value, idx, LUA_OPEQ);
}

/* compare_exchange(k, old, new) -> whether it was old and is new now, the value before */
static int dict_compare_exchange(lua_State *L) {
  mp_lua_box *b = check(L);
  mp_lua_held *h;
  bool equal;
  lua_settop(L, 4);
  check_comparable(L, 3);
  do {
    lua_settop(L, 4);
    h = hold_current(L, b, 2); /* at 5; its value at 6 */
    equal = held_equals(L, h, 6, 3);
  } while (equal && !mp_lua_dict_store(L, b, 2, 4, 0, &h->item));
  lua_settop(L, 6);
  mp_lua_held_release(h);
  lua_pushboolean(L, equal);
  lua_insert(L, 6);
  return 2;
}

/* --- update --- */

static void hold_value(lua_State *L, const mp_lua_box *b, int at_key) { hold_current(L, b, at_key); }

static bool put_value(lua_State *L, const mp_lua_box *b, int at_key, int at_value, const mp_shm_item *expected) {
  return mp_lua_dict_store(L, b, at_key, at_value, 0, expected);
}

/* update(k, f) -> the new value. f may yield, and may run more than once. */
static int dict_update(lua_State *L) {
  static const mp_lua_updated values = {"dict", hold_value, put_value};
  check(L);
  return mp_lua_update(L, &values);
}

/* --- making --- */

int mp_lua_dict_make(lua_State *L, const mp_shm_dict_options *o) {
  mp_shm_handle h;
  static const char *const names[] = {MP_DICT_TYPE, MP_SET_TYPE, MP_NAMESPACE_TYPE};
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &mp_lua_dict_class, names[o->kind]);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_dict_new(o, &w, &h);
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err) return mp_lua_container_none(L);
  mp_lua_box_fill(b, h);
  return 1;
}

/* dict(kind, max_entries, max_bytes, ttl) -> box | nil, message, NAME. lua/mproc/shared.lua has checked. */
static int new_dict(lua_State *L) {
  mp_shm_dict_options o = {(uint32_t)luaL_checkinteger(L, 1), (uint64_t)luaL_optinteger(L, 2, 0),
                           (uint64_t)luaL_optinteger(L, 3, 0), 0};
  lua_Number ttl = luaL_optnumber(L, 4, 0);
  if (ttl > 0) o.ttl = ttl < 1e9 ? (uint64_t)(ttl * 1e9) : 0;
  return mp_lua_dict_make(L, &o);
}

/* dict_view(namespace) -> the same data as a Dict; nil: it is none */
static int dict_view(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &mp_lua_dict_class);
  if (!b || !b->object || ((mp_shm_dict *)b->object)->options.kind != MP_DICT_NAMESPACE) return 0;
  mp_lua_enter(L);
  return mp_lua_box_push_handle(L, mp_shm_handle_with_part(b->handle, MP_PART_VIEW));
}

static const luaL_Reg methods[] = {
    {"get", dict_get},
    {"set", dict_set},
    {"has", dict_has},
    {"add", dict_add},
    {"setdefault", dict_setdefault},
    {"exchange", dict_exchange},
    {"pop", dict_pop},
    {"compare_exchange", dict_compare_exchange},
    {"update", dict_update},
    {"lock", mp_lua_container_lock},
    {"with", mp_lua_container_with},
    {"close", mp_lua_container_close},
    {NULL, NULL},
};
static const luaL_Reg makers[] = {{"dict", new_dict}, {"dict_view", dict_view}, {NULL, NULL}};

void mp_lua_open_dict(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__close", mp_lua_container_scope}, {NULL, NULL}};
  mp_lua_open_container(L);
  mp_lua_box_class(L, MP_DICT_TYPE, &mp_lua_dict_class, methods, metamethods);
  mp_lua_box_class(L, MP_DICT_TYPE, &mp_lua_dict_view_class, methods, metamethods);
  mp_lua_open_dict_all(L);
  mp_lua_container_class(L, MP_DICT_TYPE, dict_index, dict_newindex);
  mp_lua_open_set(L);
  mp_lua_open_list(L);
  mp_lua_box_can_close(&mp_lua_dict_class, "the container is closed");
  mp_lua_box_can_close(&mp_lua_dict_view_class, "the container is closed");
  luaL_setfuncs(L, makers, 0);
}
