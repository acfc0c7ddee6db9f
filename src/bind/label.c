/* SPDX-License-Identifier: MIT */
/* Labelled messages by themselves: sent, fetched, and those that a dead worker has left. Called by lua/mproc/pool_*.lua. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "bind/label.h"
#include "codec/codec.h"

#define DECODE_ALL (MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE)
#define NS_PER_S 1e9

enum { PIECES = 8 /* more than these need memory */ };

static int send(lua_State *L, mp_shm_queue *q, const mp_lua_message_header *head, const mp_codec_message *m,
                const mp_shm_wait *w) {
  mp_shm_iovec few[PIECES + 1], *pieces = few;
  if (m->niov > PIECES) pieces = lua_newuserdatauv(L, (m->niov + 1) * sizeof *pieces, 0);
  pieces[0] = (mp_shm_iovec){head, sizeof *head};
  for (size_t i = 0; i < m->niov; i++) pieces[i + 1] = (mp_shm_iovec){m->iov[i].base, m->iov[i].len};
  mp_shm_outgoing p = {pieces, m->niov + 1, m->len + sizeof *head, m->handles, m->nhandles};
  return mp_shm_queue_put(q, &p, w);
}

/* The error of an encoding stands at the top. */
static int unsendable(lua_State *L) {
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

lua_Number mp_lua_label_now(void) { return (lua_Number)mp_os_now() / NS_PER_S; }

int mp_lua_label_post(lua_State *L, mp_shm_queue *q, const mp_lua_message_header *head, const char *what, int first,
                      size_t *bytes) {
  int n = lua_gettop(L) - first + 1;
  mp_codec_message m;
  luaL_checkstack(L, 4, NULL);
  int bad = n == 1 ? mp_codec_encode(L, first, what, &m) : mp_codec_encode_many(L, first, n, what, &m);
  if (bad) return unsendable(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = send(L, q, head, &m, &w);
  *bytes = m.len;
  mp_codec_release(L, &m);
  if (err == -EPIPE) return mp_lua_fail(L, err, "the queue is closed");
  return err ? mp_lua_push_failure(L, err, "queue") : 0;
}

/* post(queue, a, b, c, what, ...) -> the time, bytes; or false, what the codec says of the values (`what` names them);
 * or nil, message, NAME. For queues without a maxsize: it waits for nobody. */
static int label_post(lua_State *L) {
  mp_lua_message_header head = {luaL_checkinteger(L, 2), luaL_checkinteger(L, 3), luaL_checkinteger(L, 4), 0};
  size_t bytes;
  int n = mp_lua_label_post(L, mp_lua_queue_self(L), &head, luaL_checkstring(L, 5), 6, &bytes);
  if (n) return n;
  lua_pushnumber(L, mp_lua_label_now());
  lua_pushinteger(L, (lua_Integer)bytes);
  return 2;
}

static int decode_protected(lua_State *L) {
  const mp_shm_incoming *g = lua_touserdata(L, 1);
  lua_settop(L, 0);
  int n = mp_codec_decode(L, (const char *)g->data + sizeof(mp_lua_message_header),
                          g->len - sizeof(mp_lua_message_header), DECODE_ALL);
  return n < 0 ? lua_error(L) : n;
}

void mp_lua_label_push_values(lua_State *L, const mp_shm_incoming *g) {
  lua_pushboolean(L, 1);
  if (g->extent < 0 && !g->nhandles &&
      mp_codec_decode_scalar(L, (const char *)g->data + sizeof(mp_lua_message_header),
                             g->len - sizeof(mp_lua_message_header)))
    return;
  int ok = lua_gettop(L);
  lua_pushcfunction(L, decode_protected);
  lua_pushlightuserdata(L, (void *)g);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK) return;
  lua_pushboolean(L, 0);
  lua_replace(L, ok);
}

mp_lua_message_header mp_lua_message_header_of(const mp_shm_incoming *g) {
  mp_lua_message_header head = {0, 0, 0, 0};
  if (g->len >= sizeof head) memcpy(&head, g->data, sizeof head);
  return head;
}

static void push_head(lua_State *L, const mp_lua_message_header *head) {
  lua_pushinteger(L, head->a);
  lua_pushinteger(L, head->b);
  lua_pushinteger(L, head->c);
}

static _Alignas(16) char buffer[MP_INLINE_MAX];
static bool buffer_busy; /* a finalizer that fetches while a message is decoded has a buffer of its own */

static int fetch_into(lua_State *L, mp_shm_queue *q, void *buf, mp_lua_message_header *head, const mp_shm_wait *w) {
  mp_shm_incoming g;
  int err = mp_shm_queue_get(q, buf, &g, w);
  if (err) return err;
  /* Ctrl-C raises as soon as Lua goes on: this message would be nobody's then. */
  if (w->interrupted && w->interrupted(w->arg) && mp_shm_queue_return(q, &g) == 0) return -EINTR;
  *head = mp_lua_message_header_of(&g);
  push_head(L, head);
  lua_pushinteger(L, (lua_Integer)g.len);
  bool outermost = !buffer_busy;
  buffer_busy = true;
  mp_lua_label_push_values(L, &g);
  if (outermost) buffer_busy = false;
  mp_shm_queue_done(&g);
  return 0;
}

int mp_lua_label_fetch(lua_State *L, mp_shm_queue *q, mp_lua_message_header *head, const mp_shm_wait *w) {
  if (!buffer_busy) return fetch_into(L, q, buffer, head, w);
  int own = lua_gettop(L) + 1;
  int err = fetch_into(L, q, lua_newuserdatauv(L, MP_INLINE_MAX, 0), head, w);
  lua_remove(L, own);
  return err;
}

/* fetch(queue[, timeout]) -> a, b, c, bytes, true, values... | a, b, c, bytes, false, error | nil, "empty" | nil, "closed" */
static int label_fetch(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  mp_lua_message_header head;
  lua_settop(L, 2);
  int err = mp_lua_label_fetch(L, q, &head, &w);
  return err ? mp_lua_queue_push_no_message(L, err) : lua_gettop(L) - 2;
}

/* orphan(queue) -> pid of the dead lessee, a, b, c, true, values... | pid, a, b, c, false, error | nil when there is none
 * | false when that cannot be told now */
static int label_orphan(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  const mp_shm_wait now = {0, NULL, NULL};
  mp_shm_incoming g;
  lua_settop(L, 1);
  mp_shm_sweep();
  int err = mp_shm_queue_orphan(q, &g, &now);
  if (err) return err == -EAGAIN ? 0 : (lua_pushboolean(L, 0), 1);
  lua_pushinteger(L, mp_shm_orphan_lessee(&g));
  const mp_lua_message_header head = mp_lua_message_header_of(&g);
  push_head(L, &head);
  mp_lua_label_push_values(L, &g);
  mp_shm_queue_done(&g);
  return lua_gettop(L) - 1;
}

/* leased(queue, pid): whether that process has messages of it leased, or is dead and they are not orphans yet: others
 * may be seeing to that. */
static int label_leased(lua_State *L) {
  lua_pushboolean(L, mp_shm_queue_leased_by(mp_lua_queue_self(L), (pid_t)luaL_checkinteger(L, 2)));
  return 1;
}

static const luaL_Reg functions[] = {
    {"post", label_post}, {"fetch", label_fetch}, {"orphan", label_orphan}, {"leased", label_leased}, {NULL, NULL},
};

void mp_lua_open_pool_message(lua_State *L) { luaL_setfuncs(L, functions, 0); }
