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

static const mp_lua_object_class class = {MP_TYPE_QUEUE, 0, name_of, NULL, NULL};

mp_lua_box *mp_lua_queue_box(lua_State *L) { return mp_lua_box_self(L, &class, "queue"); }

mp_lua_box *mp_lua_queue_box_at(lua_State *L, int idx) {
  mp_lua_box *b = mp_lua_box_test(L, idx, &class);
  if (!b || !b->object) mp_lua_box_refuse(L, idx, "queue");
  return b;
}

static inline mp_shm_queue *check(lua_State *L) { return mp_lua_box_self(L, &class, "queue")->object; }

/* Any failure but the expected outcomes of put and get. */
int mp_lua_queue_failed(lua_State *L, int err) {
  if (err == -EPIPE) return mp_lua_misuse(L, "cannot put: the queue is closed");
  return mp_lua_push_failure(L, err, "queue");
}

/* --- put --- */

mp_shm_outgoing mp_lua_outgoing(const mp_codec_message *m) {
  return (mp_shm_outgoing){(const mp_shm_iovec *)m->iov, m->niov, m->len, m->handles, m->nhandles};
}

/* Where the value at idx is written before it is put. */
typedef struct envelope {
  mp_shm_outgoing out;
  mp_shm_iovec iovec;
  unsigned char bytes[MP_CODEC_SCALAR];
  mp_codec_message m;
} envelope;

static inline void fill(lua_State *L, int idx, envelope *e) {
  e->m.block = NULL;
  size_t n = mp_codec_encode_scalar(L, idx, e->bytes);
  if (n == 0) {
    mp_lua_encode(L, idx, "value", &e->m);
    e->out = mp_lua_outgoing(&e->m);
  } else {
    e->iovec = (mp_shm_iovec){e->bytes, n};
    e->out = (mp_shm_outgoing){&e->iovec, 1, n, NULL, 0};
  }
}

static int not_put(lua_State *L, int err) {
  if (err != -ETIMEDOUT) return mp_lua_queue_failed(L, err);
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "full");
  return 2;
}

static inline int put(lua_State *L, uint64_t deadline) {
  mp_shm_queue *q = check(L);
  envelope e;
  mp_shm_wait w = mp_lua_wait(L, deadline);
  fill(L, 2, &e);
  int err = mp_shm_queue_put(q, &e.out, &w);
  if (e.m.block) mp_codec_release(L, &e.m);
  if (err) return not_put(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* put(value[, timeout]) -> true | false, "full" */
static int queue_put(lua_State *L) {
  if (lua_gettop(L) == 2) return put(L, MP_FOREVER);
  check(L);
  luaL_checkany(L, 2);
  return put(L, mp_lua_deadline(L, 3));
}

static int queue_put_nowait(lua_State *L) {
  check(L);
  luaL_checkany(L, 2);
  return put(L, 0);
}

/* send(queue, value, what) -> true, or nil and what the codec says: `what` names the value in it; or nil, message, NAME */
static int send_named(lua_State *L) {
  mp_codec_message m;
  mp_lua_box *b = mp_lua_queue_box_at(L, 1);
  const char *what = luaL_checkstring(L, 3);
  lua_settop(L, 3);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (mp_codec_encode(L, 2, what, &m) != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  mp_shm_outgoing out = mp_lua_outgoing(&m);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_queue_put(b->object, &out, &w);
  mp_codec_release(L, &m);
  if (err) return mp_lua_queue_failed(L, err);
  lua_pushboolean(L, 1);
  return 1;
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

MP_BSS_TAIL char mp_lua_queue_buffer[MP_INLINE_MAX];
bool mp_lua_queue_buffer_busy;

int mp_lua_queue_use(lua_State *L, mp_shm_queue *q, mp_shm_incoming *g, bool keep) {
  if (mp_lua_queue_scalar(L, g)) return 0;
  int status = mp_lua_queue_decode(L, g);
  if (status && (keep || status == LUA_ERRMEM) && mp_shm_queue_return(q, g) == 0) return status;
  mp_shm_queue_done(g);
  return status;
}

int mp_lua_queue_get(lua_State *L, mp_shm_queue *q, const mp_shm_wait *w) {
  mp_shm_incoming g;
  mp_lua_queue_room room = mp_lua_queue_room_take(L);
  int err = mp_shm_queue_get(q, room.bytes, &g, w);
  if (!err) err = mp_lua_queue_use(L, q, &g, false);
  mp_lua_queue_room_give(&room);
  return err;
}

int mp_lua_receive(lua_State *L, mp_shm_queue *q, mp_shm_handle holder, const mp_shm_queue_test *t,
                   const mp_shm_wait *w) {
  mp_shm_incoming g;
  mp_lua_queue_room room = mp_lua_queue_room_take(L);
  int err = mp_shm_queue_get_if(q, room.bytes, &g, t, w);
  if (!err) {
    mp_shm_object_use_held(holder);
    err = mp_lua_queue_use(L, q, &g, false);
    mp_shm_object_unuse(holder);
  }
  mp_lua_queue_room_give(&room);
  return err;
}

int mp_lua_queue_push_no_message(lua_State *L, int err) {
  if (err > 0) return lua_error(L);
  if (err != -ETIMEDOUT && err != -EPIPE) return mp_lua_queue_failed(L, err);
  lua_pushnil(L);
  lua_pushstring(L, err == -EPIPE ? "closed" : "empty");
  return 2;
}

static int get_until(lua_State *L, mp_shm_queue *q, uint64_t deadline) {
  mp_shm_wait w = mp_lua_wait(L, deadline);
  int err = mp_lua_queue_get(L, q, &w);
  return err ? mp_lua_queue_push_no_message(L, err) : 1;
}

static int queue_get(lua_State *L) {
  mp_shm_queue *q = check(L);
  return get_until(L, q, mp_lua_deadline(L, 2));
}

static int queue_get_nowait(lua_State *L) { return get_until(L, check(L), 0); }

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

/* is_closed(queue): for debug mode */
static int is_closed(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_box_at(L, 1)->object;
  lua_pushboolean(L, q->closed != 0);
  return 1;
}

static int close_for_all(lua_State *L, mp_shm_queue *q) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_queue_close(q, &w);
  return err ? mp_lua_queue_failed(L, err) : 0;
}

static int queue_close(lua_State *L) { return close_for_all(L, check(L)); }

/* The end of a scope closes in the process whose scope it is, not in one that inherited it. */
static int queue_scope(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  return b && mp_lua_box_is_makers(b) ? close_for_all(L, b->object) : 0;
}

static int queue_tostring(lua_State *L) {
  mp_lua_box *b = mp_lua_queue_box(L);
  mp_shm_queue *q = b->object;
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
  mp_lua_box *b = mp_lua_box_push(L, &class, type_of(kind));
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_queue_new(maxsize, kind, &w, &h);
  if (err) return mp_lua_queue_failed(L, err);
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

static mp_shm_wait_queue *data_wait_queue(void *object) { return &((mp_shm_queue *)object)->data; }

static const luaL_Reg methods[] = {
    {"put", queue_put},
    {"get", queue_get},
    {"put_nowait", queue_put_nowait},
    {"get_nowait", queue_get_nowait},
    {"put_many", mp_lua_queue_put_many},
    {"get_many", mp_lua_queue_get_many},
    {"qsize", queue_qsize},
    {"empty", queue_empty},
    {"full", queue_full},
    {"close", queue_close},
    {"items", mp_lua_queue_items},
    {NULL, NULL},
};
static const luaL_Reg simple_methods[] = {
    {"put", queue_put}, {"get", queue_get}, {"empty", queue_empty}, {"close", queue_close}, {NULL, NULL},
};
static const luaL_Reg metamethods[] = {
    {"__close", queue_scope},
    {"__tostring", queue_tostring},
    {NULL, NULL},
};
static const luaL_Reg makers[] = {{"queue", new_queue}, {"send", send_named}, {"is_closed", is_closed}, {NULL, NULL}};

static void add_methods(lua_State *L, const char *name, const luaL_Reg *more) {
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, more, 0);
  lua_pop(L, 2);
}

void mp_lua_open_queue(lua_State *L) {
  static const mp_lua_watchable watchable = {&class, data_wait_queue, mp_shm_queue_ready};
  mp_lua_box_watchable(&watchable);
  mp_lua_box_class(L, MP_QUEUE_TYPE, &class, methods, metamethods);
  add_methods(L, MP_QUEUE_TYPE, mp_lua_lease_methods);
  mp_lua_box_class(L, MP_JOINABLE_QUEUE_TYPE, &class, methods, metamethods);
  add_methods(L, MP_JOINABLE_QUEUE_TYPE, mp_lua_lease_methods);
  add_methods(L, MP_JOINABLE_QUEUE_TYPE, mp_lua_joinable_methods);
  mp_lua_box_class(L, MP_SIMPLE_QUEUE_TYPE, &class, simple_methods, metamethods);
  mp_lua_box_for_loops(L, MP_QUEUE_TYPE);
  mp_lua_box_for_loops(L, MP_JOINABLE_QUEUE_TYPE);
  mp_lua_box_for_loops(L, MP_SIMPLE_QUEUE_TYPE);
  mp_lua_open_lease(L);
  mp_lua_open_batch(L);
  luaL_setfuncs(L, makers, 0);
}
