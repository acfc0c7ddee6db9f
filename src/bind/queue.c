/* SPDX-License-Identifier: MIT */
/* Queue and SimpleQueue for Lua. */
#include "bind/queue.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "bind/object.h"
#include "bind/wait_set.h"
#include "codec/codec.h"

#define DECODE_ALL (MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE)

_Static_assert(sizeof(mp_codec_iov) == sizeof(mp_shm_iovec) &&
                   offsetof(mp_codec_iov, len) == offsetof(mp_shm_iovec, len),
               "the codec's pieces are handed to shm as they are");

static const char *type_of(uint32_t kind) {
  return kind & MP_QUEUE_SIMPLE     ? MP_SIMPLE_QUEUE_TYPE
         : kind & MP_QUEUE_JOINABLE ? MP_JOINABLE_QUEUE_TYPE
                                    : MP_QUEUE_TYPE;
}

static const char *name_of(const void *block) {
  const mp_shm_queue *q = block;
  return type_of(q->kind);
}

static const mp_lua_number_class family = {MP_TYPE_QUEUE, 0, name_of, NULL};

mp_lua_box *mp_lua_queue_box(lua_State *L) { return mp_lua_box_self(L, &family, "queue"); }

mp_lua_box *mp_lua_queue_box_at(lua_State *L, int idx) {
  mp_lua_box *b = mp_lua_box_test(L, idx, &family);
  if (!b || !b->it) mp_lua_box_refuse(L, idx, "queue");
  return b;
}

static mp_shm_queue *check(lua_State *L) { return mp_lua_box_self(L, &family, "queue")->it; }

/* Any failure but the expected outcomes of put and get. */
static int trouble(lua_State *L, int err) {
  if (err == -EPIPE) return mp_lua_misuse(L, "cannot put: the queue is closed");
  return mp_lua_push_failure(L, err, "queue");
}

/* --- put --- */

mp_shm_outgoing mp_lua_outgoing(const mp_codec_message *m) {
  return (mp_shm_outgoing){(const mp_shm_iovec *)m->iov, m->niov, m->len, m->handles, m->nhandles};
}

static int send(mp_shm_queue *q, const mp_codec_message *m, const mp_shm_wait *w) {
  mp_shm_outgoing p = mp_lua_outgoing(m);
  return mp_shm_queue_put(q, &p, w);
}

static int put(lua_State *L, mp_shm_queue *q, int idx, uint64_t deadline) {
  mp_codec_message m;
  mp_shm_wait w = mp_lua_wait(L, deadline);
  mp_lua_encode(L, idx, "value", &m);
  int err = send(q, &m, &w);
  mp_codec_release(L, &m);
  if (err == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (err != -ETIMEDOUT) return trouble(L, err);
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "full");
  return 2;
}

static int queue_put(lua_State *L) {
  mp_shm_queue *q = check(L);
  luaL_checkany(L, 2);
  return put(L, q, 2, mp_lua_deadline(L, 3));
}

static int queue_put_nowait(lua_State *L) {
  mp_shm_queue *q = check(L);
  luaL_checkany(L, 2);
  return put(L, q, 2, 0);
}

static lua_Integer list_length(lua_State *L, int idx) {
  lua_getfield(L, idx, "n");
  bool told = !lua_isnil(L, -1);
  int exact = 0;
  lua_Integer n = told ? lua_tointegerx(L, -1, &exact) : (lua_Integer)lua_rawlen(L, idx);
  if (told && (!exact || n < 0)) luaL_argerror(L, idx, "the list's n must be a count");
  lua_pop(L, 1);
  return n;
}

typedef struct batch {
  mp_codec_message *m;
  lua_Integer n, encoded;
} batch;

#define ITEM_NAME 32

/* The name of item `at` for errors, which few items need: so without printf, which takes longer than the rest. */
static const char *name_item(char name[ITEM_NAME], lua_Integer at) {
  static const char head[] = "list[";
  char *p = name + ITEM_NAME;
  *--p = '\0';
  *--p = ']';
  for (; at > 0; at /= 10) *--p = (char)('0' + at % 10);
  p -= sizeof head - 1;
  return memcpy(p, head, sizeof head - 1);
}

/* (batch, list, anchors): encodes the list's items 1..n. What it raises, the caller cleans up after. */
static int encode_batch(lua_State *L) {
  batch *t = lua_touserdata(L, 1);
  while (t->encoded < t->n) {
    char name[ITEM_NAME];
    lua_Integer at = t->encoded + 1;
    lua_settop(L, 3);
    lua_geti(L, 2, at);
    if (mp_codec_encode(L, 4, name_item(name, at), &t->m[t->encoded]) != 0) return lua_error(L);
    t->encoded++;
    lua_rawseti(L, 3, at);
  }
  return 0;
}

static void release_batch(lua_State *L, batch *t) {
  while (t->encoded > 0) mp_codec_release(L, &t->m[--t->encoded]);
}

/* Leaves the messages' userdata and the anchors on the stack; raises with everything released. */
static void encode_all(lua_State *L, int list, batch *t) {
  t->n = list_length(L, list);
  t->encoded = 0;
  luaL_argcheck(L, (uint64_t)t->n < SIZE_MAX / sizeof *t->m, list, "the list is too long");
  t->m = lua_newuserdatauv(L, (size_t)t->n * sizeof *t->m, 0);
  lua_newtable(L);
  lua_pushcfunction(L, encode_batch);
  lua_pushlightuserdata(L, t);
  lua_pushvalue(L, list);
  lua_pushvalue(L, -4);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  release_batch(L, t);
  mp_lua_raise(L);
}

/* Returns the count put; when that is fewer than all, why as well. */
static int queue_put_many(lua_State *L) {
  mp_shm_queue *q = check(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  batch t;
  encode_all(L, 2, &t);
  lua_Integer put = 0;
  int err = 0;
  while (put < t.n && (err = send(q, &t.m[put], &w)) == 0) put++;
  release_batch(L, &t);
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err && put == 0 && err != -ETIMEDOUT) return trouble(L, err);
  lua_pushinteger(L, put);
  if (!err) return 1;
  lua_pushstring(L, err == -EPIPE ? "closed" : err == -ENOMEM ? MP_FULL_ARENA : "full");
  return 2;
}

/* --- get --- */

static int decode_protected(lua_State *L) {
  const mp_shm_incoming *g = lua_touserdata(L, 1);
  int n = mp_codec_decode(L, g->data, g->len, DECODE_ALL);
  return n < 0 ? lua_error(L) : n;
}

int mp_lua_queue_decode(lua_State *L, const mp_shm_incoming *g) {
  lua_pushcfunction(L, decode_protected);
  lua_pushlightuserdata(L, (void *)g);
  return lua_pcall(L, 1, 1, 0);
}

/* Inline messages are copied here under the lock. A finalizer that gets while one is decoded has a buffer of its own. */
_Alignas(16) MP_BSS_TAIL char mp_lua_queue_buffer[MP_INLINE_MAX];
static char *const buffer = mp_lua_queue_buffer;
static bool buffer_busy;

/* keep: a message whose decoding fails goes back to the queue even when it is not memory that is wanting. */
static int decode(lua_State *L, mp_shm_queue *q, mp_shm_incoming *g, bool keep) {
  bool outermost = !buffer_busy;
  buffer_busy = true;
  int status = mp_lua_queue_decode(L, g);
  if (outermost) buffer_busy = false;
  if (status && (keep || status == LUA_ERRMEM) && mp_shm_queue_return(q, g) == 0) return status;
  mp_shm_queue_done(g);
  return status;
}

/* 0 and one value pushed; a negative error; or LUA_ERR* with the error value pushed. */
static int get(lua_State *L, mp_shm_queue *q, const mp_shm_wait *w, bool keep) {
  mp_shm_incoming g;
  void *buf = buffer_busy ? lua_newuserdatauv(L, MP_INLINE_MAX, 0) : buffer;
  int err = mp_shm_queue_get(q, buf, &g, w);
  if (err) return err;
  if (g.extent < 0 && !g.nhandles && mp_codec_decode_scalar(L, g.data, g.len)) return 0;
  return decode(L, q, &g, keep);
}

int mp_lua_receive(lua_State *L, mp_shm_queue *q, mp_shm_handle holder, const mp_shm_queue_test *t,
                   const mp_shm_wait *w) {
  mp_shm_incoming g;
  void *buf = buffer_busy ? lua_newuserdatauv(L, MP_INLINE_MAX, 0) : buffer;
  int err = mp_shm_queue_get_if(q, buf, &g, t, w);
  if (err) return err;
  if (g.extent < 0 && !g.nhandles && mp_codec_decode_scalar(L, g.data, g.len)) return 0;
  mp_shm_object_use_held(holder);
  err = decode(L, q, &g, false);
  mp_shm_object_unuse(holder);
  return err;
}

int mp_lua_queue_push_no_message(lua_State *L, int err) {
  if (err > 0) return lua_error(L);
  if (err != -ETIMEDOUT && err != -EPIPE) return trouble(L, err);
  lua_pushnil(L);
  lua_pushstring(L, err == -EPIPE ? "closed" : "empty");
  return 2;
}

static int get_until(lua_State *L, mp_shm_queue *q, uint64_t deadline) {
  mp_shm_wait w = mp_lua_wait(L, deadline);
  int err = get(L, q, &w, false);
  return err ? mp_lua_queue_push_no_message(L, err) : 1;
}

static int queue_get(lua_State *L) {
  mp_shm_queue *q = check(L);
  return get_until(L, q, mp_lua_deadline(L, 2));
}

static int queue_get_nowait(lua_State *L) { return get_until(L, check(L), 0); }

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

/* Nothing that was taken is lost: the list has room before a message is, and what fails after others were taken,
 * a hook's error or memory, waits for the next call. */
static int queue_get_many(lua_State *L) {
  mp_shm_queue *q = check(L);
  lua_Integer max = luaL_checkinteger(L, 2), n = 0, room = 8;
  luaL_argcheck(L, max >= 1, 2, "max must be at least 1");
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  lua_settop(L, 3);
  lua_createtable(L, (int)room, 1);
  lua_pushinteger(L, 0);
  lua_setfield(L, 4, "n");
  int err = 0;
  while (n < max && (n < room || (grow(L, 4, room) && (room *= 2))) && (err = get(L, q, &w, n > 0)) == 0) {
    lua_rawseti(L, 4, ++n);
    lua_settop(L, 4);
    w.deadline = 0;
  }
  if (n == 0) return mp_lua_queue_push_no_message(L, err);
  lua_settop(L, 4);
  lua_pushinteger(L, n);
  lua_setfield(L, 4, "n");
  return 1;
}

/* upvalues: queue, how many there were */
static int next_item(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  mp_shm_queue *q = check(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = get(L, q, &w, false);
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

static int queue_items(lua_State *L) {
  check(L);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, next_item, 2);
  return 1;
}

/* --- the rest --- */

static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_shm_queue_size(check(L)));
  return 1;
}

static int queue_empty(lua_State *L) {
  lua_pushboolean(L, mp_shm_queue_size(check(L)) == 0);
  return 1;
}

static int queue_full(lua_State *L) {
  mp_shm_queue *q = check(L);
  lua_pushboolean(L, q->maxsize && mp_shm_queue_size(q) >= q->maxsize);
  return 1;
}

static int close_for_all(lua_State *L, mp_shm_queue *q) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_queue_close(q, &w);
  return err ? trouble(L, err) : 0;
}

static int queue_close(lua_State *L) { return close_for_all(L, check(L)); }

/* The end of a scope closes in the process whose scope it is, not in one that inherited it. */
static int queue_scope(lua_State *L) {
  mp_lua_box *b = lua_touserdata(L, 1);
  return mp_lua_box_is_makers(b) ? close_for_all(L, b->it) : 0;
}

static int queue_tostring(lua_State *L) {
  mp_lua_box *b = mp_lua_queue_box(L);
  mp_shm_queue *q = b->it;
  lua_pushfstring(L, "%s %d: %I messages%s", type_of(q->kind) + sizeof "mproc." - 1, (int)(b->handle & MP_SLOT_MASK),
                  (lua_Integer)mp_shm_queue_size(q), q->closed ? ", closed" : "");
  if (q->maxsize) {
    lua_pushfstring(L, ", at most %I", (lua_Integer)q->maxsize);
    lua_concat(L, 2);
  }
  return 1;
}

/* --- making --- */

static int make(lua_State *L, uint64_t maxsize, unsigned kind) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &family, type_of(kind));
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_queue_new(maxsize, kind, &w, &h);
  if (err) return trouble(L, err);
  mp_lua_box_fill(b, h);
  return 1;
}

/* queue([maxsize[, kind]]): maxsize 0: none; kind: "simple", "joinable", "reports". lua/mproc/queue.lua has checked. */
static int new_queue(lua_State *L) {
  static const char *const names[] = {"", "simple", "joinable", "reports", NULL};
  static const unsigned kinds[] = {0, MP_QUEUE_SIMPLE, MP_QUEUE_JOINABLE, MP_QUEUE_REPORTS};
  lua_Integer max = luaL_optinteger(L, 1, 0);
  luaL_argcheck(L, max >= 0, 1, "maxsize must be a positive count, or nil for no limit");
  return make(L, (uint64_t)max, kinds[luaL_checkoption(L, 2, "", names)]);
}

static mp_shm_wait_queue *data_bell(void *it) { return &((mp_shm_queue *)it)->data; }

static const luaL_Reg methods[] = {
    {"put", queue_put},
    {"get", queue_get},
    {"put_nowait", queue_put_nowait},
    {"get_nowait", queue_get_nowait},
    {"put_many", queue_put_many},
    {"get_many", queue_get_many},
    {"qsize", queue_qsize},
    {"empty", queue_empty},
    {"full", queue_full},
    {"close", queue_close},
    {"items", queue_items},
    {"fileno", mp_lua_box_fileno},
    {NULL, NULL},
};
static const luaL_Reg simple_methods[] = {
    {"put", queue_put},
    {"get", queue_get},
    {"empty", queue_empty},
    {"close", queue_close},
    {"fileno", mp_lua_box_fileno},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {
    {"__close", queue_scope},
    {"__tostring", queue_tostring},
    {NULL, NULL},
};
static const luaL_Reg makers[] = {{"queue", new_queue}, {NULL, NULL}};

static void add_methods(lua_State *L, const char *name, const luaL_Reg *more) {
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, more, 0);
  lua_pop(L, 2);
}

void mp_lua_open_queue(lua_State *L) {
  static const mp_lua_watchable watchable = {&family, data_bell, mp_shm_queue_ready};
  mp_lua_box_watchable(&watchable);
  mp_lua_box_class(L, MP_QUEUE_TYPE, &family, methods, metamethods);
  add_methods(L, MP_QUEUE_TYPE, mp_lua_lease_methods);
  mp_lua_box_class(L, MP_JOINABLE_QUEUE_TYPE, &family, methods, metamethods);
  add_methods(L, MP_JOINABLE_QUEUE_TYPE, mp_lua_lease_methods);
  add_methods(L, MP_JOINABLE_QUEUE_TYPE, mp_lua_joinable_methods);
  mp_lua_box_class(L, MP_SIMPLE_QUEUE_TYPE, &family, simple_methods, metamethods);
  mp_lua_open_lease(L);
  luaL_setfuncs(L, makers, 0);
}
