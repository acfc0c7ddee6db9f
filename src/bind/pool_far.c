/* SPDX-License-Identifier: MIT */
/*
 * A pool's messages to and from other machines (layer 3): as bytes that nobody on the way decodes. A pool's keeper, the one
 * process of a pool over several machines, takes tasks under lease and puts results, both as they came; the owner posts and
 * the machines pack nothing that has a meaning in one machine's memory only. Called by lua/mproc/pool/owner/ and the rock that
 * brings the engine.
 * Invariant: bytes from outside are measured before they are believed; what they hold is decoded as MP_POOL_ABROAD alone.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bind/pool_message.h"

enum { MIB = 1 << 20 };
enum { BATCH = 64 /* results put under one lock */ };

/* --- tasks --- */

/* lease_task(tasks, timeout[, ended lease]) -> lease, chunk, offset, kind, count, who, value, bytes: the next task, under lease, and
 * how long its values are | nil, "empty" | nil, "closed" | nil, message, NAME */
static int far_take(lua_State *L) {
  mp_lua_box *tasks = mp_lua_queue_box(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  const mp_shm_incoming *g;
  lua_settop(L, 3);
  int err = mp_lua_lease_push(L, tasks, 3, &g, &w);
  if (err) return mp_lua_queue_push_no_message(L, err);
  const mp_lua_pool_header head = mp_lua_pool_header_of(g);
  luaL_checkstack(L, 7, NULL);
  mp_lua_pool_push_header(L, &head);
  lua_pushinteger(L, (lua_Integer)(g->len - sizeof head));
  return 8;
}

/* task_bytes(lease) -> the values' bytes of a task that was taken */
static int far_payload(lua_State *L) {
  const mp_shm_incoming *g = mp_lua_lease_incoming(L, 1);
  lua_pushlstring(L, (const char *)g->data + sizeof(mp_lua_pool_header), g->len - sizeof(mp_lua_pool_header));
  return 1;
}

/* --- results --- */

/* A result in bytes: status, nanoseconds and length as little-endian numbers of RECORD_HEAD bytes, then its values. */
enum { RECORD_STATUS = 0, RECORD_TIME = 1, RECORD_LENGTH = 9, RECORD_HEAD = 13 };

typedef struct results {
  const unsigned char *begin, *at; /* the next record */
  size_t left;                     /* bytes from there on */
  mp_lua_pool_header head;         /* of the next message */
  lua_Integer count;               /* items that are still wanted */
  int64_t time;                    /* nanoseconds of those before */
} results;

static uint64_t number_at(const unsigned char *p, int bytes) {
  uint64_t n = 0;
  while (bytes > 0) n = n << 8 | p[--bytes];
  return n;
}

/* Reads the next record into a header and what goes out. False when the bytes are none. The last item tells the time of all:
 * those before are only to be noted. */
static bool read_record(results *r, mp_lua_pool_header *head, mp_shm_iovec *iovecs, mp_shm_outgoing *out) {
  if (r->left < RECORD_HEAD) return false;
  size_t length = number_at(r->at + RECORD_LENGTH, 4);
  uint32_t status = r->at[RECORD_STATUS];
  if (r->left - RECORD_HEAD < length || status > MP_POOL_SKIPPED) return false;
  bool last = r->count == 1;
  r->time += (int64_t)(number_at(r->at + RECORD_TIME, 8) & UINT32_MAX);
  r->head.count++;
  *head = r->head;
  head->kind = status;
  head->value = last ? r->time : 0;
  if (!last) head->count = 1;
  iovecs[0] = (mp_shm_iovec){head, sizeof *head};
  iovecs[1] = (mp_shm_iovec){r->at + RECORD_HEAD, length};
  *out = (mp_shm_outgoing){iovecs, 2, sizeof *head + length, NULL, 0};
  r->at += RECORD_HEAD + length;
  r->left -= RECORD_HEAD + length;
  r->head.offset++;
  r->count--;
  return true;
}

/* Puts some results: 0, and how many are put; or an error, and the next record is the first that is not put. */
static int put_some(mp_shm_queue *q, results *r, size_t *done, const mp_shm_wait *w) {
  mp_lua_pool_header heads[BATCH];
  mp_shm_iovec iovecs[2 * BATCH];
  mp_shm_outgoing out[BATCH];
  results before[BATCH];
  size_t n = 0;
  *done = 0;
  while (r->count > 0 && n < BATCH) {
    before[n] = *r;
    if (!read_record(r, heads + n, iovecs + 2 * n, out + n)) break;
    n++;
  }
  int err = n ? mp_shm_queue_put_many(q, out, n, done, w) : 0;
  if (err) *r = before[*done];
  return err;
}

/* put_results(queue, chunk, offset, who, count, bytes[, at]) -> items: puts the results of up to `count` items of a chunk, from
 * that offset on, each as one message; bytes from `at` on hold them, or fewer when they are cut or bad
 * | nil, message, NAME, items, at: there was no room for more than so many */
static int far_put_results(lua_State *L) {
  enum { QUEUE = 1, CHUNK, OFFSET, WHO, COUNT, BYTES, AT };
  mp_shm_queue *q = mp_lua_queue_self(L);
  results r = {.count = luaL_checkinteger(L, COUNT)};
  size_t len, done;
  lua_Integer put = 0, at = luaL_optinteger(L, AT, 1) - 1;
  r.head.chunk = luaL_checkinteger(L, CHUNK);
  r.head.offset = (uint32_t)luaL_checkinteger(L, OFFSET);
  r.head.who = (uint32_t)luaL_checkinteger(L, WHO);
  r.begin = (const unsigned char *)luaL_checklstring(L, BYTES, &len);
  luaL_argcheck(L, at >= 0 && (size_t)at <= len, AT, "out of range");
  r.at = r.begin + at;
  r.left = len - (size_t)at;
  const mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err;
  do {
    err = put_some(q, &r, &done, &w);
    put += (lua_Integer)done;
  } while (!err && done > 0);
  if (!err) return lua_pushinteger(L, put), 1;
  int n = mp_lua_push_failure(L, err, "queue");
  lua_pushinteger(L, put);
  lua_pushinteger(L, r.at - r.begin + 1);
  return n + 2;
}

/* --- what may travel --- */

static int encode_abroad(lua_State *L, int first, int n, const char *what, mp_codec_message *m) {
  return n == 1 ? mp_codec_encode_abroad(L, first, what, m) : mp_codec_encode_many_abroad(L, first, n, what, m);
}

/* The error of an encoding stands at the top. */
static int unsendable(lua_State *L) {
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int too_large(lua_State *L, size_t len, lua_Integer most) {
  char text[96];
  snprintf(text, sizeof text, "%.3g MiB, and a message may have %.3g; store it, send its name", (double)len / MIB,
           (double)most / MIB);
  lua_pushnil(L);
  lua_pushstring(L, text);
  lua_pushliteral(L, "E2BIG");
  return 3;
}

/* As post; and nil, message, "E2BIG" for values of more bytes than upvalue 1. */
static int far_post(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  const mp_lua_pool_header head = mp_lua_pool_check_header(L);
  const char *what = luaL_checkstring(L, MP_POST_WHAT);
  lua_Integer most = lua_tointeger(L, lua_upvalueindex(1));
  mp_codec_message m;
  luaL_checkstack(L, 4, NULL);
  lua_Hook hook = lua_gethook(L);
  int bad = encode_abroad(L, MP_POST_VALUES, lua_gettop(L) - MP_POST_VALUES + 1, what, &m);
  mp_lua_drop_hook(L, hook);
  if (bad) return unsendable(L);
  size_t len = m.len;
  if (len > (size_t)most) {
    mp_codec_release(L, &m);
    return too_large(L, len, most);
  }
  int n = mp_lua_pool_send(L, q, &head, &m);
  if (n) return n;
  lua_pushnumber(L, mp_lua_pool_now());
  lua_pushinteger(L, (lua_Integer)len);
  return 2;
}

/* poster(most) -> post, for tasks that go to other machines, of at most so many bytes */
static int far_poster(lua_State *L) {
  luaL_checkinteger(L, 1);
  lua_settop(L, 1);
  lua_pushcclosure(L, far_post, 1);
  return 1;
}

/* (message) -> its bytes as one string */
static int join(lua_State *L) {
  const mp_codec_message *m = lua_touserdata(L, 1);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, m->len);
  for (size_t i = 0; i < m->niov; i++) {
    memcpy(to, m->iov[i].base, m->iov[i].len);
    to += m->iov[i].len;
  }
  luaL_pushresultsize(&b, m->len);
  return 1;
}

/* pack_abroad(what, ...) -> the values' bytes, as a task or a result has them | nil, what the codec says, whether it is a value
 * that cannot travel, and no error of a hook's */
static int far_pack(lua_State *L) {
  const char *what = luaL_checkstring(L, 1);
  mp_codec_message m;
  luaL_checkstack(L, 4, NULL);
  if (encode_abroad(L, 2, lua_gettop(L) - 1, what, &m)) {
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushboolean(L, mp_codec_refused());
    return 3;
  }
  lua_pushcfunction(L, join);
  lua_pushlightuserdata(L, &m);
  int status = lua_pcall(L, 1, 1, 0);
  mp_codec_release(L, &m);
  return status == LUA_OK ? 1 : lua_error(L);
}

/* unpack_abroad(bytes) -> the values. Raises what is wrong with them. */
static int far_unpack(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  int values = mp_codec_decode(L, bytes, n, MP_POOL_ABROAD);
  return values < 0 ? lua_error(L) : values;
}

void mp_lua_open_pool_far(lua_State *L) {
  static const luaL_Reg functions[] = {{"lease_task", far_take},
                                       {"task_bytes", far_payload},
                                       {"put_results", far_put_results},
                                       {"poster", far_poster},
                                       {"pack_abroad", far_pack},
                                       {"unpack_abroad", far_unpack},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
