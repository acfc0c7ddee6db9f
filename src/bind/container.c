/* SPDX-License-Identifier: MIT */
/* Keys and values of containers for Lua. The contracts stand in container.h. */
#include "bind/container.h"

#include <errno.h>
#include <string.h>

#include "bind/check.h"
#include "shm/container/blob.h"

#define HELD_TYPE "mproc.held"
#define DECODE_ALL (MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE)

/* Where values are copied to that go on to Lua at once; and messages of several pieces, on their way in. While one is
 * decoded, which may run Lua code, whoever else looks something up has a buffer of its own. */
MP_BSS_TAIL char mp_lua_container_buffer[MP_ITEM_ROOM];
MP_BSS_TAIL char mp_lua_container_iovecs[MP_INLINE_MOST];
static bool buffer_busy;

int mp_lua_container_fail(lua_State *L, int err, const char *what) {
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err == -ENOMEM) return mp_lua_misuse(L, MP_NO_ROOM);
  if (err == -EFBIG) return mp_lua_refuse(L, "the entry takes more than the %s's max_bytes", what);
  return mp_lua_refuse(L, "%s: %s", what, strerror(-err));
}

int mp_lua_container_none(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, MP_NO_ROOM);
  lua_pushliteral(L, "ENOMEM");
  return 3;
}

/* --- keys --- */

static int refuse_key(lua_State *L, int idx) {
  switch (lua_type(L, idx)) {
    case LUA_TNIL:
    case LUA_TNONE:
      return mp_lua_misuse(L, "key must not be nil");
    case LUA_TTABLE:
    case LUA_TFUNCTION:
      return mp_lua_refuse(L, "a %s cannot be a key: it is another one in each process; use a string or a number",
                           luaL_typename(L, idx));
    default:
      return mp_lua_refuse(L, "key must be a string, a number, a boolean or an mproc object such as a queue, got %s",
                           mp_lua_show(L, idx));
  }
}

static void read_object_key(lua_State *L, int idx, mp_lua_key *key) {
  mp_lua_box *b = mp_lua_box_any(L, idx);
  if (!b) refuse_key(L, idx);
  if (!b->object) mp_lua_misuse(L, "key is an object that has been closed");
  key->word = b->handle;
  key->k.type = MP_ITEM_OBJECT;
}

static void read_number_key(lua_State *L, int idx, mp_lua_key *key) {
  int exact;
  key->word = (uint64_t)lua_tointegerx(L, idx, &exact);
  key->k.type = MP_ITEM_INTEGER;
  if (exact) return;
  lua_Number x = lua_tonumber(L, idx);
  if (x != x) mp_lua_misuse(L, "key must not be NaN, which equals nothing");
  memcpy(&key->word, &x, sizeof x);
  key->k.type = MP_ITEM_FLOAT;
}

static void read_string_key(lua_State *L, int idx, mp_lua_key *key) {
  size_t n;
  key->k.p = lua_tolstring(L, idx, &n);
  if (n > MP_KEY_MOST)
    mp_lua_refuse(L, "key has %I bytes, more than the %d that a key may have", (lua_Integer)n, MP_KEY_MOST);
  key->k.n = (uint32_t)n;
  key->k.type = MP_ITEM_STRING;
}

void mp_lua_key_read(lua_State *L, int idx, mp_lua_key *key) {
  int type = lua_type(L, idx);
  if (type == LUA_TSTRING) {
    read_string_key(L, idx, key);
    return;
  }
  key->k.p = &key->word;
  key->k.n = 8;
  if (type == LUA_TNUMBER) {
    read_number_key(L, idx, key);
  } else if (type == LUA_TBOOLEAN) {
    key->word = (uint64_t)lua_toboolean(L, idx);
    key->k.type = key->word ? MP_ITEM_TRUE : MP_ITEM_FALSE;
  } else {
    read_object_key(L, idx, key);
  }
}

static void push_float(lua_State *L, uint64_t word) {
  double x;
  memcpy(&x, &word, sizeof x);
  lua_pushnumber(L, x);
}

bool mp_lua_key_push(lua_State *L, const mp_shm_item *key) {
  if (key->type == MP_ITEM_OBJECT) return mp_lua_box_push_handle(L, key->word);
  mp_lua_item_push(L, key);
  return true;
}

/* --- values for a container --- */

static void make_blob(lua_State *L, const mp_shm_blob_source *from, uint8_t type, mp_lua_item *v) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_blob_new(from, &w, &v->blob);
  if (err) {
    v->blob = 0;
    mp_lua_item_release(L, v);
    mp_lua_container_fail(L, err, "value");
  }
  v->item = (mp_shm_item){.type = type, .word = v->blob, .nextra = 1, .extra = {v->blob}};
}

static void read_string(lua_State *L, int idx, mp_lua_item *v) {
  size_t n;
  const char *s = lua_tolstring(L, idx, &n);
  if (n < MP_INLINE_MOST) {
    v->item = (mp_shm_item){.type = MP_ITEM_STRING, .p = s, .n = (uint32_t)n};
    return;
  }
  const mp_shm_blob_iovec iovec = {s, n};
  make_blob(L, &(mp_shm_blob_source){&iovec, 1, n, NULL, 0}, MP_ITEM_LONG_STRING, v);
}

static const void *join_iovecs(const mp_codec_message *m) {
  char *to = mp_lua_container_iovecs;
  for (size_t i = 0; i < m->niov; to += m->iov[i++].len) memcpy(to, m->iov[i].base, m->iov[i].len);
  return mp_lua_container_iovecs;
}

static void read_message(lua_State *L, int idx, const char *what, mp_lua_item *v) {
  const mp_codec_message *m = &v->message;
  mp_lua_encode(L, idx, what, &v->message);
  v->encoded = true;
  if (m->len + 8 * (size_t)m->nhandles >= MP_INLINE_MOST) {
    const mp_shm_blob_source from = {(const mp_shm_blob_iovec *)m->iov, m->niov, m->len, m->handles, m->nhandles};
    make_blob(L, &from, MP_ITEM_LONG_MESSAGE, v);
    return;
  }
  v->item = (mp_shm_item){.type = MP_ITEM_MESSAGE,
                          .p = m->niov == 1 ? m->iov[0].base : join_iovecs(m),
                          .n = (uint32_t)m->len,
                          .handles = m->handles,
                          .nhandles = m->nhandles};
}

static void read_number(lua_State *L, int idx, mp_shm_item *item) {
  if (lua_isinteger(L, idx)) {
    *item = (mp_shm_item){.type = MP_ITEM_INTEGER, .word = (uint64_t)lua_tointeger(L, idx)};
    return;
  }
  lua_Number x = lua_tonumber(L, idx);
  *item = (mp_shm_item){.type = MP_ITEM_FLOAT};
  memcpy(&item->word, &x, sizeof x);
}

void mp_lua_item_read(lua_State *L, int idx, const char *what, mp_lua_item *v) {
  v->encoded = false;
  v->blob = 0;
  switch (lua_type(L, idx)) {
    case LUA_TNIL:
    case LUA_TNONE:
      v->item = (mp_shm_item){.type = MP_ITEM_NONE};
      return;
    case LUA_TNUMBER:
      read_number(L, idx, &v->item);
      return;
    case LUA_TBOOLEAN:
      v->item = (mp_shm_item){.type = lua_toboolean(L, idx) ? MP_ITEM_TRUE : MP_ITEM_FALSE};
      return;
    case LUA_TSTRING:
      read_string(L, idx, v);
      return;
    default:
      read_message(L, idx, what, v);
  }
}

void mp_lua_item_release(lua_State *L, mp_lua_item *v) {
  if (v->encoded) mp_codec_release(L, &v->message);
  if (v->blob) mp_shm_object_unuse(v->blob);
  v->encoded = false;
  v->blob = 0;
}

/* --- values from a container --- */

void mp_lua_item_push(lua_State *L, const mp_shm_item *v) {
  switch (v->type) {
    case MP_ITEM_INTEGER:
      lua_pushinteger(L, (lua_Integer)v->word);
      return;
    case MP_ITEM_FLOAT:
      push_float(L, v->word);
      return;
    case MP_ITEM_FALSE:
    case MP_ITEM_TRUE:
      lua_pushboolean(L, v->type == MP_ITEM_TRUE);
      return;
    case MP_ITEM_STRING:
      lua_pushlstring(L, v->p, v->n);
      return;
    case MP_ITEM_MESSAGE:
      if (mp_codec_decode(L, v->p, v->n, DECODE_ALL) != 1) lua_error(L);
      return;
    default:
      lua_pushnil(L);
  }
}

static int decode(lua_State *L) {
  mp_lua_item_push(L, lua_touserdata(L, 1));
  return 1;
}

static void push_by_buffer(lua_State *L, mp_shm_item *v) {
  if (v->type != MP_ITEM_MESSAGE) {
    mp_lua_item_push(L, v);
    return;
  }
  buffer_busy = true;
  lua_pushcfunction(L, decode);
  lua_pushlightuserdata(L, v);
  int failed = lua_pcall(L, 1, 1, 0);
  buffer_busy = false;
  if (failed) lua_error(L);
}

int mp_lua_find_push(lua_State *L, mp_lua_finder find, const mp_lua_box *b, const void *key) {
  mp_shm_item v;
  if (!buffer_busy) {
    if (!find(b->object, key, mp_lua_container_buffer, &v)) return 0;
    if (v.type <= MP_ITEM_STRING || !v.nhandles) {
      push_by_buffer(L, &v);
      return 1;
    }
    uint64_t handle;
    if (mp_codec_whole_object(v.p, v.n, &handle) && mp_lua_box_push_there(L, handle)) return 1;
  }
  mp_lua_held *h = mp_lua_hold(L, find, b, key);
  if (h->item.type == MP_ITEM_NONE) return lua_pop(L, 1), 0;
  mp_lua_held_push(L, h);
  mp_lua_held_release(h);
  lua_remove(L, -2);
  return 1;
}

/* 0; -ENOENT: one is gone, for the entry has been replaced; or -EINTR. Pins nothing then. */
static int pin(mp_lua_held *h, const mp_shm_item *v, const mp_shm_wait *w) {
  const mp_shm_handle *handles = (const mp_shm_handle *)(const void *)h->bytes;
  int err = 0;
  for (h->npins = 0; h->npins < v->nhandles && !err; h->npins += !err)
    err = mp_shm_object_use(handles[h->npins], mp_shm_object_type_of(handles[h->npins]), w);
  if (err) mp_lua_held_release(h);
  return err;
}

void mp_lua_held_release(mp_lua_held *h) {
  const mp_shm_handle *handles = (const mp_shm_handle *)(const void *)h->bytes;
  if (!mp_shm_usable()) h->npins = 0;
  while (h->npins > 0) mp_shm_object_unuse(handles[--h->npins]);
}

static size_t bytes_of(const mp_shm_item *v) { return 8 * (size_t)v->nhandles + 8 * mp_shm_words(v->n); }

static mp_lua_held *push_empty(lua_State *L, size_t room) {
  mp_lua_held *h = lua_newuserdatauv(L, sizeof *h + room, 0);
  h->npins = 0;
  h->room = room;
  luaL_setmetatable(L, HELD_TYPE);
  return h;
}

/* 0, or -ENOENT: to be tried again; -ENOSPC: it is larger now; -EINTR. No Lua in here: the item lies in the buffer. */
static int fill(mp_lua_held *h, mp_shm_item *v, char *buf, const mp_shm_wait *w) {
  size_t n = bytes_of(v);
  if (n > h->room) return -ENOSPC;
  memcpy(h->bytes, buf, n);
  h->item = *v;
  h->item.handles = (const mp_shm_handle *)(const void *)h->bytes;
  h->item.p = h->bytes + 8 * v->nhandles;
  return pin(h, v, w);
}

mp_lua_held *mp_lua_hold(lua_State *L, mp_lua_finder find, const mp_lua_box *b, const void *key) {
  mp_shm_item v;
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  char *buf = buffer_busy ? lua_newuserdatauv(L, MP_ITEM_ROOM, 0) : mp_lua_container_buffer;
  if (buf == mp_lua_container_buffer) lua_pushnil(L);
  size_t room = 0;
  for (;;) {
    mp_lua_held *h = push_empty(L, room);
    void *object = mp_lua_container_again(L, b, "container");
    if (buffer_busy && buf == mp_lua_container_buffer) buf = lua_newuserdatauv(L, MP_ITEM_ROOM, 0), lua_replace(L, -3);
    int err = -ENOENT;
    while (err == -ENOENT && find(object, key, buf, &v)) err = fill(h, &v, buf, &w);
    if (err == -ENOENT) h->item = (mp_shm_item){.type = MP_ITEM_NONE};
    if (err == -EINTR) mp_lua_interrupted(L);
    if (err != -ENOSPC) {
      lua_remove(L, -2);
      return h;
    }
    room = bytes_of(&v);
    lua_pop(L, 1);
  }
}

static int push_blob(lua_State *L, const mp_shm_item *v) {
  const mp_shm_blob *b = mp_shm_object_block(v->word, MP_TYPE_BLOB);
  if (v->type == MP_ITEM_LONG_STRING)
    lua_pushlstring(L, mp_shm_blob_bytes(b), b->n);
  else if (mp_codec_decode(L, mp_shm_blob_bytes(b), b->n, DECODE_ALL) != 1)
    lua_error(L);
  return 1;
}

void mp_lua_held_push(lua_State *L, mp_lua_held *h) {
  if (mp_shm_is_blob(h->item.type))
    push_blob(L, &h->item);
  else
    mp_lua_item_push(L, &h->item);
}

static int held_gc(lua_State *L) {
  mp_lua_held_release(lua_touserdata(L, 1));
  return 0;
}

/* --- updates --- */

#define TRIES_LEAST 10                         /* an update that others overtake is tried so often at least, */
#define TRIES_TIME (1000 * (lua_Integer)MP_MS) /* and so long */

#define UPDATE_OVERTAKEN                                                                                               \
  "update: the value has changed each of the %I times that f ran; f must not change it itself, and who changes it "    \
  "often should hold its container's lock() for it"

void mp_lua_update_again(lua_State *L, int at_tries, int at_since, const char *text) {
  lua_Integer tries = lua_tointeger(L, at_tries) + 1, now = (lua_Integer)mp_os_now();
  lua_pushinteger(L, tries);
  lua_replace(L, at_tries);
  if (tries == 1) lua_pushinteger(L, now), lua_replace(L, at_since);
  if (tries >= TRIES_LEAST && now >= lua_tointeger(L, at_since) + TRIES_TIME) mp_lua_refuse(L, text, tries);
}

/* The stack of an update. */
enum { SELF = 1, KEY, F, TRIES, SINCE, HELD, RESULT };

static void push_call(lua_State *L, const mp_lua_updated *of) {
  lua_settop(L, SINCE);
  of->hold(L, lua_touserdata(L, SELF), KEY);
  lua_pushvalue(L, F);
  lua_insert(L, -2);
}

static int update_on(lua_State *L, int status, lua_KContext context) {
  const mp_lua_updated *of = (const mp_lua_updated *)context;
  (void)status;
  for (;;) {
    mp_lua_box *b = lua_touserdata(L, SELF);
    mp_lua_held *h = lua_touserdata(L, HELD);
    mp_lua_container_again(L, b, of->what);
    if (of->store(L, b, KEY, RESULT, &h->item)) {
      mp_lua_held_release(h);
      lua_settop(L, RESULT);
      return 1;
    }
    mp_lua_update_again(L, TRIES, SINCE, UPDATE_OVERTAKEN);
    push_call(L, of);
    lua_callk(L, 1, 1, context, update_on);
  }
}

int mp_lua_update(lua_State *L, const mp_lua_updated *of) {
  if (lua_type(L, F) != LUA_TFUNCTION)
    mp_lua_refuse(L, "f must be a function that is given the value and returns the new one, got %s", mp_lua_show(L, F));
  lua_settop(L, SINCE);
  push_call(L, of);
  lua_callk(L, 1, 1, (lua_KContext)of, update_on);
  return update_on(L, LUA_OK, (lua_KContext)of);
}

/* --- numbers to add --- */

void mp_lua_number_read(lua_State *L, int idx, const char *what, mp_shm_item *n) {
  if (lua_type(L, idx) != LUA_TNUMBER) mp_lua_refuse(L, "%s must be a number, got %s", what, mp_lua_show(L, idx));
  read_number(L, idx, n);
}

int mp_lua_number_refuse(lua_State *L, int err, const mp_shm_item *there, const char *what) {
  static const char *const kinds[MP_ITEM_TYPES] = {[MP_ITEM_FALSE] = "a boolean",
                                                   [MP_ITEM_TRUE] = "a boolean",
                                                   [MP_ITEM_STRING] = "a string",
                                                   [MP_ITEM_LONG_STRING] = "a string"};
  if (err != -EINVAL) return mp_lua_container_fail(L, err, what);
  const char *kind = kinds[there->type] ? kinds[there->type] : "a table or an object";
  return mp_lua_refuse(L, "add: %s is there, and no number", kind);
}

/* --- boxes --- */

void *mp_lua_container_again(lua_State *L, const mp_lua_box *b, const char *what) {
  if (!b->object) mp_lua_refuse(L, "the %s was closed while the call went on", what);
  return b->object;
}

int mp_lua_container_close(lua_State *L) {
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (!b) return mp_lua_box_refuse(L, 1, "container");
  mp_lua_box_empty(b);
  return 0;
}

int mp_lua_container_scope(lua_State *L) {
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (b && mp_lua_box_is_makers(b)) mp_lua_box_empty(b);
  return 0;
}

static void push_lock(lua_State *L) {
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (!b || !b->object) mp_lua_box_refuse(L, 1, "container");
  mp_lua_enter(L);
  mp_shm_handle whole = b->handle & ~((mp_shm_handle)0xff << MP_PART_SHIFT);
  mp_lua_box_push_handle(L, mp_shm_handle_with_part(whole, MP_PART_LOCK));
}

int mp_lua_container_lock(lua_State *L) {
  push_lock(L);
  return 1;
}

static int with_done(lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

int mp_lua_container_with(lua_State *L) {
  push_lock(L);
  lua_replace(L, 1);
  lua_getfield(L, 1, "with");
  lua_insert(L, 1);
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, with_done);
  return with_done(L, LUA_OK, 0);
}

/* What mproc.wait is told. */
static int refuse_wait(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "a container cannot be waited for, its changes wake nobody; who changes it can put a message into "
                     "a Queue, or set an Event, which can");
  return 2;
}

void mp_lua_container_class(lua_State *L, const char *name, lua_CFunction index, lua_CFunction newindex) {
  luaL_getmetatable(L, name);
  lua_pushcfunction(L, refuse_wait);
  lua_setfield(L, -2, "__mproc_wait");
  lua_getfield(L, -1, "__index");
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, newindex, 1);
  lua_setfield(L, -3, "__newindex");
  lua_pushcclosure(L, index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void mp_lua_open_container(lua_State *L) {
  mp_lua_open_container_copy(L);
  luaL_newmetatable(L, HELD_TYPE);
  lua_pushcfunction(L, held_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
