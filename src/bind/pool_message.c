/* SPDX-License-Identifier: MIT */
/* A pool's messages: made, read, sent. Called by lua/mproc/pool/, to which core.pool is this and what belongs to it. */
#include "bind/pool_message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"
#include "shm/arena/monitor.h"

#define NS_PER_S 1e9

enum { PIECES = 8 /* more than these need memory */ };

/* A message whose only value is a number, a boolean or nil: 0 when the value at idx is something else; else its bytes, and
 * what became of it in *err. */
static size_t send_scalar(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, int idx, int *err) {
  struct {
    mp_lua_pool_header head;
    unsigned char value[MP_CODEC_SCALAR];
  } message;
  size_t n = mp_codec_encode_scalar(L, idx, message.value);
  if (n == 0) return 0;
  message.head = *head;
  const mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  const mp_shm_iovec iovec = {&message, sizeof *head + n};
  *err = mp_shm_queue_put(q, &(mp_shm_outgoing){&iovec, 1, iovec.len, NULL, 0}, &w);
  return n;
}

static int send(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, const mp_codec_message *m) {
  const mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  mp_shm_iovec few[PIECES + 1], *iovecs = m->niov > PIECES ? malloc((m->niov + 1) * sizeof *iovecs) : few;
  if (!iovecs) return -ENOMEM; /* raised, it would leave the codec's message unreleased */
  iovecs[0] = (mp_shm_iovec){head, sizeof *head};
  for (size_t i = 0; i < m->niov; i++) iovecs[i + 1] = (mp_shm_iovec){m->iov[i].base, m->iov[i].len};
  mp_shm_outgoing p = {iovecs, m->niov + 1, m->len + sizeof *head, m->handles, m->nhandles};
  int err = mp_shm_queue_put(q, &p, &w);
  if (iovecs != few) free(iovecs);
  return err;
}

/* The error of an encoding stands at the top. */
static int unsendable(lua_State *L) {
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int not_sent(lua_State *L, int err) {
  if (err == -EPIPE) return mp_lua_fail(L, err, "the queue is closed");
  return err ? mp_lua_push_failure(L, err, "queue") : 0;
}

lua_Number mp_lua_pool_now(void) { return (lua_Number)mp_os_now() / NS_PER_S; }

int mp_lua_pool_send(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, mp_codec_message *m) {
  int err = send(L, q, head, m);
  mp_codec_release(L, m);
  return not_sent(L, err);
}

int mp_lua_pool_post(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *head, const char *what, int first,
                     size_t *bytes) {
  int n = lua_gettop(L) - first + 1, err;
  mp_codec_message m;
  luaL_checkstack(L, 4, NULL);
  if (n == 1 && (*bytes = send_scalar(L, q, head, first, &err)) > 0) return not_sent(L, err);
  lua_Hook hook = lua_gethook(L);
  int bad = n == 1 ? mp_codec_encode(L, first, what, &m) : mp_codec_encode_many(L, first, n, what, &m);
  mp_lua_drop_hook(L, hook);
  if (bad) return unsendable(L);
  *bytes = m.len;
  return mp_lua_pool_send(L, q, head, &m);
}

static uint32_t check_field(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0 && n <= UINT32_MAX, arg, "a field of a pool's message is out of range");
  return (uint32_t)n;
}

/* For viewers: what a worker has come to. Items of a chunk are told many at once, failures one by one. */
static void note_work(const mp_lua_pool_header *head) {
  bool failed = head->kind == MP_POOL_FAILED;
  if ((head->count || failed) && head->kind <= MP_POOL_FAILED)
    mp_shm_monitor_work(head->count, failed, (uint64_t)head->value);
}

mp_lua_pool_header mp_lua_pool_check_header(lua_State *L) {
  return (mp_lua_pool_header){luaL_checkinteger(L, MP_POST_CHUNK), check_field(L, MP_POST_OFFSET),
                              check_field(L, MP_POST_COUNT),       check_field(L, MP_POST_KIND),
                              check_field(L, MP_POST_WHO),         luaL_checkinteger(L, MP_POST_VALUE)};
}

static int post(lua_State *L, bool is_report) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  const mp_lua_pool_header head = mp_lua_pool_check_header(L);
  size_t bytes;
  int n = mp_lua_pool_post(L, q, &head, luaL_checkstring(L, MP_POST_WHAT), MP_POST_VALUES, &bytes);
  if (n) return n;
  if (is_report) note_work(&head);
  lua_pushnumber(L, mp_lua_pool_now());
  lua_pushinteger(L, (lua_Integer)bytes);
  return 2;
}

/* post(queue, chunk, offset, kind, count, who, value, what, ...) -> the time, bytes; or false, what the codec says of the
 * values (`what` names them); or nil, message, NAME */
static int message_post(lua_State *L) { return post(L, false); }

/* report(…): as post, once what this process, a worker, has written is out. */
static int message_report(lua_State *L) {
  mp_os_flush();
  return post(L, true);
}

static int decode(lua_State *L) {
  const mp_shm_incoming *g = lua_touserdata(L, 1);
  unsigned flags = (unsigned)lua_tointeger(L, 2);
  lua_settop(L, 0);
  int n = mp_codec_decode(L, (const char *)g->data + sizeof(mp_lua_pool_header), g->len - sizeof(mp_lua_pool_header),
                          flags);
  return n < 0 ? lua_error(L) : n;
}

static int decode_packed(lua_State *L) {
  int n = decode(L);
  lua_createtable(L, n, 1);
  lua_insert(L, 1);
  for (int i = n; i >= 1; i--) lua_rawseti(L, 1, i);
  lua_pushinteger(L, n);
  lua_setfield(L, 1, "n");
  return 1;
}

/* Pushes true and what f gives for the message, or false and the error. */
static void push_protected(lua_State *L, const mp_shm_incoming *g, lua_CFunction f, unsigned flags) {
  lua_Hook hook = lua_gethook(L);
  lua_pushboolean(L, 1);
  int ok = lua_gettop(L);
  lua_pushcfunction(L, f);
  lua_pushlightuserdata(L, (void *)g);
  lua_pushinteger(L, flags);
  int status = lua_pcall(L, 2, LUA_MULTRET, 0);
  mp_lua_drop_hook(L, hook);
  if (status == LUA_OK) return;
  lua_pushboolean(L, 0);
  lua_replace(L, ok);
}

void mp_lua_pool_push_packed(lua_State *L, const mp_shm_incoming *g, unsigned flags) {
  push_protected(L, g, decode_packed, flags);
}

void mp_lua_pool_push_values(lua_State *L, const mp_shm_incoming *g, unsigned flags) {
  const size_t head = sizeof(mp_lua_pool_header);
  if (g->large >= 0 || g->nhandles || g->len <= head ||
      !mp_codec_decode_scalar(L, (const char *)g->data + head, g->len - head)) {
    push_protected(L, g, decode, flags);
    return;
  }
  lua_pushboolean(L, 1);
  lua_insert(L, -2);
}

mp_lua_pool_header mp_lua_pool_header_of(const mp_shm_incoming *g) {
  mp_lua_pool_header head = {0, 0, 0, 0, 0, 0};
  if (g->len >= sizeof head) memcpy(&head, g->data, sizeof head);
  return head;
}

void mp_lua_pool_push_header(lua_State *L, const mp_lua_pool_header *head) {
  lua_pushinteger(L, head->chunk);
  lua_pushinteger(L, head->offset);
  lua_pushinteger(L, head->kind);
  lua_pushinteger(L, head->count);
  lua_pushinteger(L, head->who);
  lua_pushinteger(L, head->value);
}

/* leased(queue, pid): whether that process has messages of it leased, or is dead and they are not orphans yet: others
 * may be seeing to that. */
static int message_leased(lua_State *L) {
  lua_pushboolean(L, mp_shm_queue_leased_by(mp_lua_queue_self(L), (pid_t)luaL_checkinteger(L, 2)));
  return 1;
}

static const struct {
  const char *name;
  lua_Integer value;
} constants[] = {
    {"MAP", MP_POOL_MAP},
    {"STAR", MP_POOL_STAR},
    {"CALL", MP_POOL_CALL},
    {"RETIRE", MP_POOL_RETIRE},
    {"VERB_MASK", MP_POOL_VERB_MASK},
    {"NO_RESULT", MP_POOL_NO_RESULT},
    {"TEST", MP_POOL_TEST},
    {"WHOLE", MP_POOL_WHOLE},
    {"TIMED", MP_POOL_TIMED},
    {"DONE", MP_POOL_DONE},
    {"RETURNED", MP_POOL_RETURNED},
    {"FAILED", MP_POOL_FAILED},
    {"SKIPPED", MP_POOL_SKIPPED},
    {"CUT", MP_POOL_CUT},
    {"READY", MP_POOL_READY},
    {"BROKEN", MP_POOL_BROKEN},
    {"LEAVING", MP_POOL_LEAVING},
    {"FLEET", MP_POOL_FLEET},
    {"FUNCTION", MP_POOL_FUNCTION},
    {"FORGET", MP_POOL_FORGET},
    {"PATHS", MP_POOL_PATHS},
    {"CANCEL", MP_POOL_CANCEL},
    {"COUNT_MAX", UINT32_MAX},
    {"RESULTS_MAX", MP_POOL_RESULTS_MAX},
};

static const luaL_Reg functions[] = {
    {"post", message_post}, {"report", message_report}, {"leased", message_leased}, {NULL, NULL}};

/* Adds the table `pool`. */
void mp_lua_open_pool(lua_State *L) {
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
    lua_pushinteger(L, constants[i].value);
    lua_setfield(L, -2, constants[i].name);
  }
  mp_lua_open_pool_far(L);
  mp_lua_open_pool_exchange(L);
  mp_lua_open_pool_inbox(L);
  mp_lua_open_pool_items(L);
  mp_lua_open_pool_stream(L);
  mp_lua_open_pool_worker(L);
  lua_setfield(L, -2, "pool");
}
