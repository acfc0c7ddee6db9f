/* SPDX-License-Identifier: MIT */
/* What takes all keys of a Dict, for Lua: pairs, copies, set_many, clear, stats. */
#include <errno.h>
#include <string.h>

#include "bind/check.h"
#include "bind/dict.h"

#define COPY_FIRST 4096 /* bytes of a walk's buffer at first */
#define COPY_SPARE 1024

static mp_lua_box *check(lua_State *L) { return mp_lua_dict_box(L, MP_DICT_PLAIN, "dict"); }

/* Any of the three classes. */
static mp_lua_box *check_any(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &mp_lua_dict_class);
  if (!b) b = mp_lua_box_test(L, 1, &mp_lua_dict_view_class);
  if (!b || !b->object) mp_lua_box_refuse(L, 1, "dict");
  if (!mp_shm_usable()) mp_lua_enter(L);
  return b;
}

/* --- walks: stripe by stripe, by copies --- */

typedef struct walk {
  const mp_lua_box *box;
  uint32_t stripe, mask;
  uint64_t at, end, room;
  char *buf; /* a userdata's, beside the walk */
} walk;

/* Where they are: as upvalues of next_pair; of a walk in C, as places in its stack. */
enum { WALK = 1, BOX, BUFFER };

/* It stays on the stack, too. */
static void need_buffer(lua_State *L, walk *object, int at_buffer, uint64_t room) {
  object->buf = lua_newuserdatauv(L, room, 0);
  object->room = room;
  lua_copy(L, -1, at_buffer);
}

/* Copies the next stripe that has entries: false when there is none. */
static bool next_stripe(lua_State *L, walk *object, int at_buffer) {
  object->at = object->end = 0;
  while (object->at == object->end) {
    uint64_t need = 0;
    uint32_t mask = 0;
    if (object->stripe && object->stripe > object->mask) return false;
    mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
    mp_shm_dict *d = mp_lua_container_again(L, object->box, "dict");
    int64_t n = mp_shm_dict_copy(d, object->stripe, object->buf, object->room, &mask, &need, &w);
    if (n == -ENOSPC) {
      need_buffer(L, object, at_buffer, need > object->room ? need + COPY_SPARE : 2 * object->room);
      continue;
    }
    if (n < 0) mp_lua_container_fail(L, (int)n, "dict");
    if (!object->stripe) object->mask = mask; /* 0: what it had was all */
    object->stripe++;
    object->at = 0;
    object->end = (uint64_t)n;
  }
  return true;
}

static int find(void *d, const void *k, void *buf, mp_shm_item *v) { return mp_shm_dict_get(d, k, buf, v); }

/* What carries handles is looked up again: they may be gone from the copy. */
static bool push_carrying(lua_State *L, const walk *object, const mp_shm_item *key) {
  mp_lua_key k = {.word = key->word, .k = {.p = key->p, .n = key->n, .type = key->type}};
  mp_shm_dict *d = mp_lua_container_again(L, object->box, "dict");
  mp_lua_key_hash(&k, d);
  return mp_lua_find_push(L, find, object->box, &k.k);
}

/* Pushes the next key and value: true; false at the end. */
static bool push_pair(lua_State *L, walk *object, int at_buffer) {
  mp_shm_item key, v;
  for (;;) {
    if (object->at == object->end && !next_stripe(L, object, at_buffer)) return false;
    mp_shm_entry *e = (mp_shm_entry *)(void *)(object->buf + object->at);
    object->at += mp_shm_entry_span(e);
    mp_shm_entry_item(e, &key, &v);
    if (v.deadline && v.deadline <= mp_os_coarse_now()) continue;
    if (!mp_lua_key_push(L, &key)) continue;
    if (!v.nhandles) {
      mp_lua_item_push(L, &v);
      return true;
    }
    if (push_carrying(L, object, &key)) return true;
    lua_pop(L, 1);
  }
}

static walk *push_walk(lua_State *L, const mp_lua_box *b, int at_box) {
  walk *object = lua_newuserdatauv(L, sizeof *object, 0);
  *object = (walk){.box = b, .room = COPY_FIRST};
  lua_pushvalue(L, at_box);
  object->buf = lua_newuserdatauv(L, COPY_FIRST, 0);
  return object;
}

/* The buffer stays on the stack while a value is decoded, which may run Lua code. */
static int next_pair(lua_State *L) {
  walk *object = lua_touserdata(L, lua_upvalueindex(WALK));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(BUFFER));
  if (!push_pair(L, object, lua_upvalueindex(BUFFER))) return 0;
  return 2;
}

static int dict_pairs(lua_State *L) {
  push_walk(L, check_any(L), 1);
  lua_pushcclosure(L, next_pair, BUFFER);
  return 1;
}

/* How many entries there are whose time is not over: all are looked at, without a lock. */
static lua_Integer count_in_time(lua_State *L, const mp_lua_box *b) {
  lua_Integer n = 0;
  walk *object = push_walk(L, b, 1);
  int at_buffer = lua_gettop(L);
  for (mp_shm_item key, v; object->at < object->end || next_stripe(L, object, at_buffer);) {
    lua_settop(L, at_buffer);
    mp_shm_entry *e = (mp_shm_entry *)(void *)(object->buf + object->at);
    object->at += mp_shm_entry_span(e);
    mp_shm_entry_item(e, &key, &v);
    n += !v.deadline || v.deadline > mp_os_coarse_now();
  }
  return n;
}

static int dict_len(lua_State *L) {
  uint64_t n;
  mp_lua_box *b = check_any(L);
  if (((mp_shm_dict *)b->object)->expiring) {
    lua_pushinteger(L, count_in_time(L, b));
    return 1;
  }
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_dict_count(b->object, &w, &n);
  if (err) return mp_lua_container_fail(L, err, "dict");
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

/* A list of all keys, or values. */
static int list(lua_State *L, bool keys) {
  lua_Integer n = 0;
  mp_lua_box *b = check_any(L);
  lua_settop(L, 1);
  walk *object = push_walk(L, b, 1); /* at 2; the box at 3, the buffer at 4 */
  lua_newtable(L);
  for (;;) {
    lua_settop(L, 5);
    lua_pushvalue(L, 4);
    if (!push_pair(L, object, 4)) break;
    lua_pushvalue(L, keys ? -2 : -1);
    lua_rawseti(L, 5, ++n);
  }
  lua_settop(L, 5);
  return 1;
}

static int dict_keys(lua_State *L) { return list(L, true); }
static int dict_values(lua_State *L) { return list(L, false); }

/* --- a copy of all at one instant --- */

static int64_t copy_all(void *d, void *arg, void *buf, uint64_t room, uint64_t *need, const mp_shm_wait *w) {
  (void)arg;
  return mp_shm_dict_copy_all(d, buf, room, need, w);
}

/* totable() -> a table */
int mp_lua_dict_totable(lua_State *L) {
  mp_lua_box *b = check_any(L);
  mp_shm_item key, v;
  lua_settop(L, 1);
  mp_lua_copy *c = mp_lua_copy_push(L, b, copy_all, NULL, "dict");
  lua_newtable(L);
  for (; mp_lua_copy_item(c, &key, &v); mp_lua_copy_pass(c)) {
    if ((v.deadline && v.deadline <= mp_os_coarse_now()) || !mp_lua_key_push(L, &key)) continue;
    mp_lua_copy_push_value(L, &v);
    lua_rawset(L, 3);
  }
  lua_settop(L, 3);
  return 1;
}

/* --- the rest --- */

/* All keys and values are looked at before the first is stored. */
static void check_pairs(lua_State *L, int idx) {
  mp_lua_key key;
  mp_codec_message m;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    mp_lua_key_read(L, lua_gettop(L) - 1, &key);
    int type = lua_type(L, -1);
    if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN) {
      mp_lua_encode(L, lua_gettop(L), "value", &m);
      mp_codec_release(L, &m);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* set_many(t) */
static int dict_set_many(lua_State *L) {
  mp_lua_box *b = check(L);
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TTABLE)
    return mp_lua_refuse(L, "set_many takes a table of keys and values, got %s", mp_lua_show(L, 2));
  check_pairs(L, 2);
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    mp_lua_dict_store(L, b, 3, 4, 0, NULL);
    lua_settop(L, 3);
  }
  return 0;
}

int mp_lua_dict_clear(lua_State *L) {
  mp_lua_box *b = check_any(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_dict_clear(b->object, &w);
  return err ? mp_lua_container_fail(L, err, "dict") : 0;
}

static void set_count(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* stats() -> {entries, bytes, dead, stripes, copies, evictions} */
static int dict_stats(lua_State *L) {
  mp_shm_dict_numbers n;
  mp_shm_dict_stats(check(L)->object, &n);
  lua_createtable(L, 0, 6);
  set_count(L, "entries", n.entries);
  set_count(L, "bytes", n.bytes);
  set_count(L, "dead", n.dead);
  set_count(L, "stripes", n.stripes);
  set_count(L, "copies", n.copies);
  set_count(L, "evictions", n.evictions);
  return 1;
}

static int dict_tostring(lua_State *L) {
  static const char *const names[] = {"Dict", "Set", "Namespace"};
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (!b || b->object) b = check_any(L);
  if (!b->object) {
    lua_pushliteral(L, "a closed container");
    return 1;
  }
  mp_shm_dict_numbers n;
  mp_shm_dict_stats(check_any(L)->object, &n);
  const char *name = b->class == &mp_lua_dict_class ? names[((mp_shm_dict *)b->object)->options.kind] : names[0];
  lua_pushfstring(L, "%s %d: %I entries", name, (int)(b->handle & MP_SLOT_MASK), (lua_Integer)n.entries);
  return 1;
}

static const luaL_Reg methods[] = {
    {"keys", dict_keys},
    {"values", dict_values},
    {"totable", mp_lua_dict_totable},
    {"set_many", dict_set_many},
    {"clear", mp_lua_dict_clear},
    {"stats", dict_stats},
    {NULL, NULL},
};
const luaL_Reg mp_lua_dict_metamethods[] = {
    {"__len", dict_len},
    {"__pairs", dict_pairs},
    {"__tostring", dict_tostring},
    {NULL, NULL},
};

void mp_lua_open_dict_all(lua_State *L) {
  luaL_getmetatable(L, MP_DICT_TYPE);
  luaL_setfuncs(L, mp_lua_dict_metamethods, 0);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 2);
}
