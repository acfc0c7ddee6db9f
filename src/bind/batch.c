/* SPDX-License-Identifier: MIT */
/* put_many, get_many and items: several messages at once. */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "bind/check.h"
#include "bind/queue.h"
#include "codec/codec.h"
#include "os/process.h"

#define LINE 512
#define LIST_ROOM 8        /* items that get_many has room for before it knows how many there are, */
#define LIST_ROOM_MAX 1024 /* and at once */
#define ITEM_NAME 32

/* --- put_many --- */

/* A list's items as messages. Numbers, booleans and nil lie in `scalars`, which are quickly written; others are the codec's. */
typedef struct scalar {
  mp_shm_iovec iovec;
  unsigned char bytes[MP_CODEC_SCALAR];
} scalar;

typedef struct batch {
  size_t n, encoded;
  mp_shm_outgoing *out;
  scalar *scalars;
  mp_codec_message *messages; /* NULL until one is needed */
  bool counted;               /* the list has an n */
} batch;

/* The stack of encode_batch */
enum { BATCH = 1, LIST, ANCHORS, MESSAGES, ITEM };

/* The name of item `at` for errors, which few items need: so without printf, which takes longer than the rest. */
static const char *name_item(char name[ITEM_NAME], lua_Integer at) {
  static const char head[] = "list[";
  char *p = name + ITEM_NAME;
  *--p = '\0';
  *--p = ']';
  for (; at > 0; at /= 10) *--p = (char)('0' + at % 10);
  for (size_t i = sizeof head - 1; i-- > 0;) *--p = head[i];
  return p;
}

static int refuse_hole(lua_State *L, lua_Integer at, const char *why) {
  return mp_lua_misuse(L, lua_pushfstring(L, "list[%I] %s; give the list its n, as table.pack does, to put nil as well",
                                          (LUAI_UACINT)at, why));
}

/* Encodes what is no scalar, at ITEM. */
static void encode_other(lua_State *L, batch *t) {
  char name[ITEM_NAME];
  lua_Integer at = (lua_Integer)t->encoded + 1;
  if (!t->messages) {
    t->messages = lua_newuserdatauv(L, t->n * sizeof *t->messages, 0);
    lua_replace(L, MESSAGES);
  }
  mp_codec_message *m = &t->messages[t->encoded];
  m->block = NULL;
  if (mp_codec_encode(L, ITEM, name_item(name, at), m) != 0) mp_lua_raise(L);
  t->out[t->encoded++] = mp_lua_outgoing(m);
  lua_rawseti(L, ANCHORS, at);
}

static void add_scalar(batch *t, size_t len) {
  scalar *s = &t->scalars[t->encoded];
  s->iovec = (mp_shm_iovec){s->bytes, len};
  t->out[t->encoded++] = (mp_shm_outgoing){&s->iovec, 1, len, NULL, 0};
}

/* Encodes the next item, whatever it is. */
static void encode_item(lua_State *L, batch *t) {
  lua_geti(L, LIST, (lua_Integer)t->encoded + 1);
  size_t len = mp_codec_encode_scalar(L, ITEM, t->scalars[t->encoded].bytes);
  if (!t->counted && lua_isnil(L, ITEM)) refuse_hole(L, (lua_Integer)t->encoded + 1, "is nil");
  if (len)
    add_scalar(t, len);
  else
    encode_other(L, t);
  lua_settop(L, MESSAGES);
}

/* Encodes the numbers from the next item on. */
static void encode_numbers(batch *t, const mp_codec_list *list) {
  while (t->encoded < t->n) {
    size_t len = mp_codec_encode_item(list, t->encoded + 1, t->scalars[t->encoded].bytes);
    if (!len) return;
    add_scalar(t, len);
  }
}

/* A list without n ends where Lua says, which may be at a hole: nothing may stand behind it. */
static void check_end(lua_State *L, const batch *t) {
  lua_Integer n = (lua_Integer)t->n;
  if (n > 0 && mp_codec_list_at(L, LIST).n >= t->n)
    lua_pushinteger(L, n); /* all before it lie before it */
  else
    lua_pushnil(L);
  while (lua_next(L, LIST)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) > n) refuse_hole(L, lua_tointeger(L, -2), "stands behind a hole");
    lua_pop(L, 1);
  }
}

/* (batch, list): encodes the list's items 1..n. What it raises, the caller cleans up after. */
static int encode_batch(lua_State *L) {
  batch *t = lua_touserdata(L, BATCH);
  lua_newtable(L);
  lua_pushnil(L);
  while (t->encoded < t->n) {
    mp_codec_list items = mp_codec_list_at(L, LIST);
    encode_numbers(t, &items);
    if (t->encoded < t->n) encode_item(L, t);
  }
  if (!t->counted) check_end(L, t);
  lua_settop(L, MESSAGES);
  return 2; /* they keep the messages alive */
}

static void release_batch(lua_State *L, batch *t) {
  for (size_t i = 0; t->messages && i < t->encoded; i++)
    if (t->out[i].iovecs != &t->scalars[i].iovec) mp_codec_release(L, &t->messages[i]);
}

/* So many nils may stand behind the elements of a list with an n. */
enum { NILS_MOST = 1 << 20 };

static void count_list(lua_State *L, int list, batch *t) {
  int exact = 0;
  lua_getfield(L, list, "n");
  t->counted = !lua_isnil(L, -1);
  lua_Integer n = t->counted ? lua_tointegerx(L, -1, &exact) : (lua_Integer)lua_rawlen(L, list);
  if (t->counted && (!exact || n < 0))
    mp_lua_refuse(L, "the list's n must be a count, got %s", mp_lua_show(L, lua_gettop(L)));
  lua_pop(L, 1);
  lua_Integer most = (lua_Integer)lua_rawlen(L, list) + NILS_MOST;
  if (n > most)
    mp_lua_refuse(L, "the list's n must be at most %I, %I more than there are, got %I", most, (lua_Integer)NILS_MOST,
                  n);
  t->n = (size_t)n;
}

/* Leaves what the messages need on the stack; raises with everything released. */
static void encode_all(lua_State *L, int list, batch *t) {
  *t = (batch){0};
  count_list(L, list, t);
  t->out = lua_newuserdatauv(L, t->n * (sizeof *t->out + sizeof *t->scalars), 0);
  t->scalars = (scalar *)(void *)(t->out + t->n);
  lua_pushcfunction(L, encode_batch);
  lua_pushlightuserdata(L, t);
  lua_pushvalue(L, list);
  if (lua_pcall(L, 2, 2, 0) == LUA_OK) return;
  release_batch(L, t);
  lua_error(L);
}

/* put_many(list[, timeout]): returns the count put; when that is fewer than all, why as well. */
int mp_lua_queue_put_many(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  batch t;
  encode_all(L, 2, &t);
  size_t put;
  int err = mp_shm_queue_put_many(q, t.out, t.n, &put, &w);
  release_batch(L, &t);
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err && put == 0 && err != -ETIMEDOUT) return mp_lua_queue_failed(L, err);
  lua_pushinteger(L, (lua_Integer)put);
  if (!err) return 1;
  lua_pushstring(L, err == -EPIPE ? "closed" : err == -ENOMEM ? MP_FULL_ARENA : "full");
  return 2;
}

/* --- get_many --- */

/* (list, room) -> a list with the same items and room for as many more. */
static int grow_list(lua_State *L) {
  lua_Integer room = lua_tointeger(L, 2);
  lua_createtable(L, (int)(2 * room), 1);
  for (lua_Integer i = 1; i <= room; i++) {
    lua_rawgeti(L, 1, i);
    lua_rawseti(L, -2, i);
  }
  lua_pushinteger(L, room);
  lua_setfield(L, -2, "n");
  return 1;
}

static bool grow(lua_State *L, int list, lua_Integer room) {
  lua_pushcfunction(L, grow_list);
  lua_pushvalue(L, list);
  lua_pushinteger(L, room);
  bool done = room < INT_MAX / 2 && lua_pcall(L, 2, 1, 0) == LUA_OK;
  if (done) lua_replace(L, list);
  lua_settop(L, list);
  return done;
}

typedef struct taking { /* a get_many under way; its list is at index LIST_AT */
  mp_shm_queue *q;
  lua_Integer n, room, max;
} taking;

enum { LIST_AT = 4 };

/* As a `get` that raised its error would have consumed it; here another error is raised, so this one is told. */
static void tell_lost(lua_State *L) {
  char line[LINE];
  const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "its hook raised";
  int n =
      snprintf(line, sizeof line,
               "mproc: pid %d: get_many has lost a message that cannot be decoded (%.200s), for the arena has no room "
               "to put it back\n",
               (int)getpid(), why);
  mp_os_write_line(STDERR_FILENO, line, (size_t)n);
}

/* What came behind a message that failed goes back as well; if the arena has no room for that, it is given at once. */
static void give_back_rest(lua_State *L, taking *t, mp_shm_incoming *g) {
  while (g->more) {
    mp_shm_incoming_next(g);
    if (mp_shm_queue_return(t->q, g) == 0) continue;
    if (mp_lua_queue_use(L, t->q, g, false) == 0)
      lua_rawseti(L, LIST_AT, ++t->n);
    else
      tell_lost(L), lua_pop(L, 1);
  }
}

/* Adds the values of g and of what came with it: 0, or LUA_ERR* with the error value pushed. */
static int add_values(lua_State *L, taking *t, mp_shm_incoming *g) {
  for (;;) {
    int status = mp_lua_queue_scalar(L, g) ? 0 : mp_lua_queue_use(L, t->q, g, t->n > 0);
    if (status) {
      give_back_rest(L, t, g);
      return status;
    }
    lua_rawseti(L, LIST_AT, ++t->n);
    if (!g->more) return 0;
    mp_shm_incoming_next(g);
  }
}

/* Takes what goes with one store: as add_values, or what mp_shm_queue_get says. The list has room before a message is
 * taken. */
static int take_values(lua_State *L, taking *t, const mp_shm_wait *w) {
  mp_shm_incoming g;
  mp_lua_queue_room room = mp_lua_queue_room_take(L);
  lua_Integer most = (t->max < t->room ? t->max : t->room) - t->n;
  int err = mp_shm_queue_get_many(t->q, room.bytes, (uint32_t)most, &g, w);
  if (!err) err = add_values(L, t, &g);
  mp_lua_queue_room_give(&room);
  return err;
}

static lua_Integer room_for(mp_shm_queue *q, lua_Integer max) {
  uint64_t there = mp_shm_queue_count(q);
  lua_Integer room = there < LIST_ROOM ? LIST_ROOM : there > LIST_ROOM_MAX ? LIST_ROOM_MAX : (lua_Integer)there;
  return max < room ? max : room;
}

/* get_many(max[, timeout]). Nothing that was taken is lost: what fails after others were taken, a hook's error or
 * memory, waits for the next call. */
int mp_lua_queue_get_many(lua_State *L) {
  taking t = {mp_lua_queue_self(L), 0, 0, mp_lua_count(L, 2, "max", 1, "a count of messages, at least 1")};
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  t.room = room_for(t.q, t.max);
  lua_settop(L, LIST_AT - 1);
  lua_createtable(L, (int)t.room, 1);
  lua_pushinteger(L, 0);
  lua_setfield(L, LIST_AT, "n");
  int err = 0;
  while (t.n < t.max && (t.n < t.room || (grow(L, LIST_AT, t.room) && (t.room *= 2))) &&
         (err = take_values(L, &t, &w)) == 0) {
    lua_settop(L, LIST_AT);
    w.deadline = 0;
  }
  if (t.n == 0) return mp_lua_queue_push_no_message(L, err);
  lua_settop(L, LIST_AT);
  lua_pushinteger(L, t.n);
  lua_setfield(L, LIST_AT, "n");
  return 1;
}

/* --- items --- */

#define AHEAD_TYPE "mproc.Queue.ahead"

typedef struct ahead { /* what items(n) has fetched and not given yet */
  mp_shm_queue *q;
  mp_shm_handle queue; /* in use until the loop is left; then 0 */
  mp_shm_proc_ref owner;
  uint32_t most;
  bool there, busy; /* g is the next one; one is being decoded */
  mp_shm_incoming g;
  uint64_t bytes[MP_INLINE_MAX / 8];
} ahead;

/* In a fork of the process that fetched them they are the other's. */
static bool is_there(ahead *a) {
  if (a->there && mp_shm_inherited(a->owner)) a->there = false;
  return a->there;
}

static mp_shm_incoming take_ahead(ahead *a) {
  mp_shm_incoming g = a->g;
  a->there = g.more > 0;
  if (a->there) mp_shm_incoming_next(&a->g);
  g.more = 0;
  return g;
}

/* The loop is left: what it has not come to goes back. */
static int ahead_close(lua_State *L) {
  ahead *a = lua_touserdata(L, 1);
  if (!mp_shm_usable() || !a->queue) return 0;
  while (is_there(a)) {
    mp_shm_incoming g = take_ahead(a);
    mp_shm_queue_return(a->q, &g);
  }
  mp_shm_object_unuse(a->queue);
  a->queue = 0;
  return 0;
}

/* Pushes the next value: 0, or as mp_lua_queue_get says. */
static int next_ahead(lua_State *L, ahead *a, const mp_shm_wait *w) {
  if (!is_there(a)) {
    int err = mp_shm_queue_get_many(a->q, a->bytes, a->most, &a->g, w);
    if (err) return err;
    a->there = true;
    a->owner = mp_shm_proc_self();
  }
  mp_shm_incoming g = take_ahead(a);
  a->busy = true;
  int status = mp_lua_queue_use(L, a->q, &g, false);
  a->busy = false;
  return status;
}

/* Upvalues: the queue, how many there were, what is ahead or nil */
static int next_item(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  mp_shm_queue *q = mp_lua_queue_self(L);
  ahead *a = lua_touserdata(L, lua_upvalueindex(3));
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = a && a->queue && !a->busy ? next_ahead(L, a, &w) : mp_lua_queue_get(L, q, &w);
  if (err == -EPIPE) {
    lua_pushnil(L);
    return 1;
  }
  if (err) return mp_lua_queue_push_no_message(L, err);
  lua_Integer i = lua_tointeger(L, lua_upvalueindex(2)) + 1;
  lua_pushinteger(L, i);
  lua_copy(L, -1, lua_upvalueindex(2));
  lua_insert(L, -2);
  return 2;
}

static void push_ahead(lua_State *L, const mp_lua_box *b, lua_Integer most) {
  ahead *a = lua_newuserdatauv(L, sizeof *a, 0);
  a->q = b->object;
  a->queue = 0;
  a->most = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
  a->there = a->busy = false;
  luaL_setmetatable(L, AHEAD_TYPE);
  mp_shm_object_use_held(b->handle);
  a->queue = b->handle;
}

/* items([n = 1]): what a generic for takes. */
int mp_lua_queue_items(lua_State *L) {
  mp_lua_box *b = mp_lua_queue_box(L);
  lua_Integer most = mp_lua_opt_count(L, 2, "n", 1, "a count of messages, at least 1", 1);
  lua_settop(L, 1);
  if (most > 1)
    push_ahead(L, b, most);
  else
    lua_pushnil(L);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, next_item, 3);
  if (most == 1) return 1;
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, 2);
  return 4;
}

void mp_lua_open_batch(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__close", ahead_close}, {"__gc", ahead_close}, {NULL, NULL}};
  luaL_newmetatable(L, AHEAD_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
}
