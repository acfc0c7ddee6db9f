/* SPDX-License-Identifier: MIT */
/*
 * A connection of sockets for Lua: a pipe's methods over frames. lua/mproc/socket.lua makes it. What may be read of one (closed,
 * readable, writable) stands in the metatable's __index: one metatable while it is open, one once it is closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bind/check.h"
#include "bind/stream.h"
#include "os/local.h"
#include "os/process.h"

#define CLOSED "the connection is closed"
#define CLOSED_TYPE MP_SOCKET_CONNECTION_TYPE ", closed"
#define CLOSE_PATIENCE (2000 * MP_MS)
#define DEFAULT_MOST (UINT64_C(64) << 20)
enum { ON_STACK = 1024 };

_Static_assert(sizeof(mp_codec_iov) == sizeof(struct iovec) &&
                   offsetof(mp_codec_iov, len) == offsetof(struct iovec, iov_len),
               "the codec's pieces are sent as they are");

static mp_lua_stream *test(lua_State *L, int idx) {
  mp_lua_stream *s = luaL_testudata(L, idx, MP_SOCKET_CONNECTION_TYPE);
  return s ? s : luaL_testudata(L, idx, CLOSED_TYPE);
}

static mp_lua_stream *check(lua_State *L) {
  mp_lua_stream *s = test(L, 1);
  if (!s) mp_lua_refuse(L, "connection expected, got %s; call its methods with a colon", mp_lua_show(L, 1));
  if (s->fd < 0) mp_lua_misuse(L, CLOSED);
  return s;
}

/* --- sending --- */

/* Its memory is not the arena's. */
static int failed(lua_State *L, int err, const char *what) {
  return err == -EINTR ? mp_lua_interrupted(L) : mp_lua_fail(L, err, what);
}

static int send_failed(lua_State *L, int err) {
  if (err == -EPIPE) return mp_lua_misuse(L, "cannot send: the connection is closed, the other side is gone");
  if (err != -ETIMEDOUT) return failed(L, err, "connection");
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "timeout");
  return 2;
}

static int sent(lua_State *L, int err) {
  if (err) return send_failed(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* Without a word on both sides, nothing that runs, and nothing of this tree. */
static const char *refusal(const mp_lua_stream *s, const mp_codec_message *m) {
  if (s->fd < 0) return "cannot send: this connection was closed while the value was encoded";
  if (s->trusted) return NULL;
  if (m->nhandles) return "cannot send: an mproc object reaches the processes of its own tree; see trusted = true";
  if (m->code) return "cannot send: functions, and objects with hooks, need trusted = true at both ends";
  return NULL;
}

/* send(value[, timeout]) -> true | false, "timeout" */
static int connection_send(lua_State *L) {
  mp_codec_message m;
  mp_lua_stream *s = check(L);
  luaL_checkany(L, 2);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  mp_lua_encode(L, 2, "value", &m);
  const char *why = refusal(s, &m);
  int err = why ? 0 : mp_lua_stream_send(s, (const struct iovec *)m.iov, m.niov, m.len, &w);
  mp_codec_release(L, &m);
  return why ? mp_lua_misuse(L, why) : sent(L, err);
}

/* send_bytes(s[, i[, j[, timeout]]]) -> true | false, "timeout" */
static int connection_send_bytes(lua_State *L) {
  size_t n;
  mp_lua_stream *s = check(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 5));
  mp_lua_take_part(L);
  const char *p = lua_tolstring(L, 2, &n);
  struct iovec piece = {(void *)(uintptr_t)p, n};
  return sent(L, mp_lua_stream_send(s, &piece, 1, n, &w));
}

/* --- receiving --- */

static int receive_failed(lua_State *L, const mp_lua_stream *s, int err) {
  if (err == -EMSGSIZE)
    return mp_lua_fail(L, err,
                       lua_pushfstring(L, "a message of %I bytes is more than max_bytes (%I)", (lua_Integer)s->want,
                                       (lua_Integer)s->max_bytes));
  if (err == -EBADMSG) return mp_lua_fail(L, err, "what has come is no frame");
  if (err != -ETIMEDOUT && err != -EPIPE) return failed(L, err, "connection");
  lua_pushnil(L);
  lua_pushstring(L, err == -EPIPE ? "closed" : "timeout");
  return 2;
}

static int undecodable(lua_State *L, int count) {
  if (count >= 0) lua_pushfstring(L, "the message has %d values", count);
  lua_pushnil(L);
  lua_insert(L, -2);
  lua_pushliteral(L, "EBADMSG");
  return 3;
}

/* Makes a message's values of its bytes. */
typedef int maker(lua_State *L, const void *p, size_t n, unsigned flags);

static int string(lua_State *L, const void *p, size_t n, unsigned flags) {
  (void)flags;
  lua_pushlstring(L, p, n);
  return 1;
}

static int decode(lua_State *L, const void *p, size_t n, unsigned flags) {
  int count = mp_codec_decode(L, p, n, flags);
  return count == 1 ? 1 : undecodable(L, count);
}

static int bytes_gc(lua_State *L) {
  char **bytes = lua_touserdata(L, 1);
  free(*bytes);
  *bytes = NULL;
  return 0;
}

static char **push_bytes(lua_State *L) {
  char **bytes = lua_newuserdatauv(L, sizeof *bytes, 0);
  *bytes = NULL;
  luaL_setmetatable(L, MP_BYTES_TYPE);
  return bytes;
}

/* Waits for a message; for a large one it pushes what will have its bytes, else NULL. Finalizers run at that: they may close
 * the connection, or take the message, and then this waits for the next one. */
static int await_message(lua_State *L, mp_lua_stream *s, char ***bytes, const mp_shm_wait *w) {
  int err = mp_lua_stream_receive(s, w);
  *bytes = NULL;
  if (err || s->want <= ON_STACK) return err;
  *bytes = push_bytes(L);
  if (s->fd < 0) mp_lua_misuse(L, CLOSED);
  return mp_lua_stream_receive(s, w);
}

/* Code that runs meanwhile may use the same connection: the bytes are not its any more. They come back if it has no others. */
static int take_large(lua_State *L, mp_lua_stream *s, char **bytes, maker *make, unsigned flags) {
  uint64_t n = s->want, room = s->room;
  *bytes = s->in;
  s->in = NULL;
  s->room = 0;
  mp_lua_stream_taken(s);
  int results = make(L, *bytes, n, flags);
  if (!s->in && s->fd >= 0) {
    s->in = *bytes;
    s->room = room;
    *bytes = NULL;
    if (!s->nhead) mp_lua_stream_taken(s);
  }
  return results;
}

/* bytes: what await_message gave. */
static int take(lua_State *L, mp_lua_stream *s, char **bytes, maker *make) {
  char few[ON_STACK];
  unsigned flags = s->trusted ? MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE : MP_CODEC_PEER;
  size_t n = s->want;
  if (n > sizeof few) return take_large(L, s, bytes, make, flags);
  if (n) memcpy(few, s->in, n);
  mp_lua_stream_taken(s);
  return make(L, few, n, flags);
}

/* recv([timeout]) -> value | nil, "timeout" | nil, "closed" | nil, message, NAME */
static int connection_recv(lua_State *L) {
  mp_lua_stream *s = check(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  char **bytes;
  int err = await_message(L, s, &bytes, &w);
  return err ? receive_failed(L, s, err) : take(L, s, bytes, decode);
}

/* recv_bytes([maxlength[, timeout]]) -> string | nil, "timeout" | nil, "closed" | nil, message, NAME */
static int connection_recv_bytes(lua_State *L) {
  mp_lua_stream *s = check(L);
  lua_Integer most = mp_lua_opt_count(L, 2, "maxlength", 0, "a count of bytes, or nil for no limit", LUA_MAXINTEGER);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  char **bytes;
  int err = await_message(L, s, &bytes, &w);
  if (err) return receive_failed(L, s, err);
  if (s->want > (uint64_t)most)
    return mp_lua_refuse(L, "the next message has %I bytes, more than maxlength (%I); it stays, ask for more",
                         (lua_Integer)s->want, most);
  return take(L, s, bytes, string);
}

/* poll([timeout = 0]) -> true | false, "timeout" */
static int connection_poll(lua_State *L) {
  mp_lua_stream *s = check(L);
  mp_shm_wait w = mp_lua_wait(L, lua_isnoneornil(L, 2) ? 0 : mp_lua_deadline(L, 2));
  int err = mp_lua_stream_receive(s, &w);
  if (err == -EINTR) return mp_lua_interrupted(L);
  lua_pushboolean(L, err != -ETIMEDOUT);
  if (err != -ETIMEDOUT) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

/* --- for loops --- */

static int connection_fileno(lua_State *L) {
  lua_pushinteger(L, check(L)->fd);
  return 1;
}

/* What is left of a frame goes out when there is room. */
static int connection_events(lua_State *L) {
  lua_pushstring(L, check(L)->out ? "rw" : "r");
  return 1;
}

/* A message that is there already is none that the descriptor tells of. */
static int connection_timeout(lua_State *L) {
  if (!check(L)->whole) return 0;
  lua_pushinteger(L, 0);
  return 1;
}

static int connection_dirty(lua_State *L) {
  lua_pushboolean(L, check(L)->whole);
  return 1;
}

/* --- the rest --- */

static void close_stream(lua_State *L, mp_lua_stream *s, uint64_t until) {
  lua_settop(L, 1);
  luaL_setmetatable(L, CLOSED_TYPE);
  mp_lua_stream_close(s, until);
}

/* close(): harmless when repeated. */
static int connection_close(lua_State *L) {
  mp_lua_stream *s = test(L, 1);
  if (!s || s->fd >= 0) close_stream(L, check(L), mp_os_now() + CLOSE_PATIENCE);
  return 0;
}

static int connection_scope(lua_State *L) {
  mp_lua_stream *s = test(L, 1);
  if (s && s->fd >= 0) close_stream(L, s, mp_os_now() + CLOSE_PATIENCE);
  return 0;
}

static int connection_gc(lua_State *L) {
  mp_lua_stream *s = test(L, 1);
  if (s) mp_lua_stream_close(s, 0);
  return 0;
}

static int connection_tostring(lua_State *L) {
  char peer[MP_OS_ADDRESS];
  const mp_lua_stream *s = test(L, 1);
  if (!s || s->fd < 0) {
    lua_pushliteral(L, "SocketConnection: closed");
    return 1;
  }
  mp_os_socket_name(s->fd, true, peer);
  lua_pushfstring(L, "SocketConnection: %s%s", *peer ? "with " : "open", peer);
  return 1;
}

mp_lua_stream *mp_lua_stream_push(lua_State *L, int idx) {
  lua_Integer most = luaL_optinteger(L, idx, (lua_Integer)DEFAULT_MOST);
  bool trusted = lua_toboolean(L, idx + 1);
  mp_lua_stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  mp_lua_stream_init(s, -1, (uint64_t)most, trusted);
  luaL_setmetatable(L, MP_SOCKET_CONNECTION_TYPE);
  return s;
}

/* limit_frames(connection, max_bytes): while it shakes hands, and after that. */
static int limit_frames(lua_State *L) {
  check(L)->max_bytes = (uint64_t)luaL_checkinteger(L, 2);
  return 0;
}

int mp_lua_resolve(const char *address, char to[MP_OS_ADDRESS], const mp_shm_wait *w) {
  int err = 0, fd = mp_os_resolve(address, to);
  if (fd <= 0) return fd;
  while (!err && mp_os_socket_wait(fd, MP_OS_READ, mp_shm_wait_slice(w)) != 1) err = mp_shm_wait_check(w);
  if (!err) return mp_os_resolved(fd, to);
  mp_os_close(fd);
  return err;
}

static int begin_connect(const char *name, const mp_shm_wait *w) {
  char address[MP_OS_ADDRESS];
  int resolved = mp_lua_resolve(name, address, w);
  if (resolved) return resolved;
  for (;;) {
    int fd = mp_os_socket_connect(address), err = mp_shm_wait_check(w);
    if (fd != -EAGAIN || err) return fd;
    mp_os_sleep(mp_os_now() + MP_MS);
  }
}

static int finish_connect(int fd, const mp_shm_wait *w) {
  int err = 0;
  while (!err && mp_os_socket_wait(fd, MP_OS_WRITE, mp_shm_wait_slice(w)) != 1) err = mp_shm_wait_check(w);
  if (!err) err = mp_os_socket_error(fd);
  if (!err) return fd;
  mp_os_close(fd);
  return err;
}

/* connect(address, timeout, max_bytes, trusted) -> connection | nil, message, NAME */
static int connect_to(lua_State *L) {
  const char *address = luaL_checkstring(L, 1);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  lua_settop(L, 4);
  mp_lua_stream *s = mp_lua_stream_push(L, 3);
  int fd = begin_connect(address, &w);
  if (fd >= 0) fd = finish_connect(fd, &w);
  if (fd < 0) return failed(L, fd, address);
  s->fd = fd;
  return 1;
}

static const luaL_Reg methods[] = {
    {"send", connection_send},
    {"recv", connection_recv},
    {"poll", connection_poll},
    {"send_bytes", connection_send_bytes},
    {"recv_bytes", connection_recv_bytes},
    {"close", connection_close},
    {"fileno", connection_fileno},
    {"getfd", connection_fileno},
    {"pollfd", connection_fileno},
    {"events", connection_events},
    {"timeout", connection_timeout},
    {"dirty", connection_dirty},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {
    {"__close", connection_scope}, {"__gc", connection_gc}, {"__tostring", connection_tostring}, {NULL, NULL}};
static const luaL_Reg makers[] = {{"limit_frames", limit_frames}, {"connect", connect_to}, {NULL, NULL}};

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

static void make_class(lua_State *L, const char *name, bool closed) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushliteral(L, MP_SOCKET_CONNECTION_TYPE);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  set_flag(L, "closed", closed);
  set_flag(L, "readable", !closed);
  set_flag(L, "writable", !closed);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void mp_lua_open_socket(lua_State *L) {
  make_class(L, MP_SOCKET_CONNECTION_TYPE, false);
  make_class(L, CLOSED_TYPE, true);
  luaL_newmetatable(L, MP_BYTES_TYPE);
  lua_pushcfunction(L, bytes_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_setfuncs(L, makers, 0);
}
