/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies between a manager and its callers (layer 3): messages with the header of a pool's, of which none is
 * kept once it is taken. Called by lua/mproc/manager/, whose protocol.lua says what the header's fields are there.
 */
#include <errno.h>

#include "bind/pool_message.h"
#include "codec/codec.h"

#define ANSWER_PATIENCE (5 * MP_MS)

static int no_message(lua_State *L, int err) {
  return err == -ETIMEDOUT || err == -EPIPE ? 0 : mp_lua_queue_push_no_message(L, err);
}

/* take(inbox[, timeout]): as receive, and done. */
static int inbox_take(lua_State *L) {
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  mp_lua_pool_header head;
  lua_settop(L, 1);
  int err = mp_lua_pool_take(L, 1, &w, &head);
  return err ? no_message(L, err) : lua_gettop(L) - 1;
}

/* What the codec has said of the values up to `top` stands above them: says it again of a list of them, which gives each its
 * place in the call. */
static int explain(lua_State *L, int top) {
  mp_codec_message m;
  lua_createtable(L, top - MP_POST_VALUES + 1, 0);
  for (int i = MP_POST_VALUES; i <= top; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i - MP_POST_VALUES + 1);
  }
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  int bad = mp_codec_encode(L, lua_gettop(L), "args", &m);
  if (bad)
    lua_remove(L, -2);
  else
    mp_codec_release(L, &m);
  lua_pushboolean(L, bad && mp_codec_refused());
  return 3;
}

/* exchange(queue, chunk, offset, kind, count, who, value, inbox, ...): posts the arguments, and takes what comes within
 * 5 ms, or until `value`, if that is a time on the monotonic clock:
 *   true, its kind, its values...    the answer: its offset is the same
 *   1, what take gives but for the generation    another message, or one that cannot be decoded
 *   0    none in time
 *   false, what the codec says of the arguments, whether they are what cannot travel (and no error of a hook's)
 *   nil, message, NAME */
static int exchange(lua_State *L) {
  enum { INBOX = MP_POST_WHAT, MESSAGE, FOUND = MESSAGE + 7, KIND_OR_OK };
  mp_shm_queue *q = mp_lua_queue_self(L);
  const mp_lua_pool_header head = mp_lua_pool_check_header(L);
  mp_lua_pool_header got;
  size_t bytes;
  int top = lua_gettop(L), n = mp_lua_pool_post(L, q, &head, "args", MP_POST_VALUES, &bytes);
  if (n) return n == 2 ? explain(L, top) : n;
  uint64_t until = mp_os_now() + ANSWER_PATIENCE;
  mp_shm_wait w = mp_lua_wait(L, head.value && (uint64_t)head.value < until ? (uint64_t)head.value : until);
  lua_settop(L, INBOX);
  int err = mp_lua_pool_take(L, INBOX, &w, &got);
  lua_pushinteger(L, err ? 0 : 1);
  if (err) return err == -ETIMEDOUT || err == -EPIPE ? 1 : mp_lua_queue_push_no_message(L, err);
  lua_replace(L, MESSAGE);
  if (got.offset != head.offset || !lua_toboolean(L, KIND_OR_OK)) return lua_gettop(L) - MESSAGE + 1;
  lua_pushboolean(L, 1);
  lua_replace(L, FOUND);
  lua_pushinteger(L, got.kind);
  lua_replace(L, KIND_OR_OK);
  return lua_gettop(L) - FOUND + 1;
}

/* discard(queue): drops all its messages, undecoded, so that a queue which carries its own handle can go. */
static int discard(lua_State *L) {
  static const mp_shm_wait now = {0, NULL, NULL};
  mp_shm_queue *q = mp_lua_queue_self(L);
  mp_shm_incoming g;
  mp_lua_queue_room room = mp_lua_queue_room_take(L);
  while (mp_shm_queue_get(q, room.bytes, &g, &now) == 0) mp_shm_queue_done(&g);
  mp_lua_queue_room_give(&room);
  return 0;
}

void mp_lua_open_pool_exchange(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"take", inbox_take}, {"exchange", exchange}, {"discard", discard}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
