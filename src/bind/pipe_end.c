/* SPDX-License-Identifier: MIT */
/*
 * Connection, an end of a pipe, for Lua. A box is one use of the end, as a descriptor is of a file: each copy is closed by
 * itself, and empties its box then. What may be read of a connection (closed, readable, writable) is constant while it is
 * open, so it stands in the metatable's __index: one metatable for each kind of end, and one for each kind once closed.
 */
#include <errno.h>

#include "bind/check.h"
#include "bind/object.h"
#include "bind/queue.h"
#include "bind/wait_set.h"
#include "codec/codec.h"
#include "shm/queue/pipe_end.h"

#define CLOSE_PATIENCE (2000 * MP_MS)

static const char *const open_names[MP_PIPE_END_KINDS] = {
    [MP_PIPE_END_DUPLEX] = MP_CONNECTION_TYPE,
    [MP_PIPE_END_RECEIVES] = MP_CONNECTION_TYPE ", receives",
    [MP_PIPE_END_SENDS] = MP_CONNECTION_TYPE ", sends",
};
static const char *const closed_names[MP_PIPE_END_KINDS] = {
    [MP_PIPE_END_DUPLEX] = MP_CONNECTION_TYPE ", closed",
    [MP_PIPE_END_RECEIVES] = MP_CONNECTION_TYPE ", receives, closed",
    [MP_PIPE_END_SENDS] = MP_CONNECTION_TYPE ", sends, closed",
};

/* The block may be another's by now, as nobody holds it yet: then its name is not used. */
static const char *name_of(const void *block) {
  uint32_t kind = ((const mp_shm_pipe_end *)block)->kind;
  return open_names[kind < MP_PIPE_END_KINDS ? kind : MP_PIPE_END_DUPLEX];
}

static const mp_lua_object_class class = {MP_TYPE_PIPE_END, 0, name_of, NULL, NULL};

static mp_lua_box *check(lua_State *L) { return mp_lua_box_self(L, &class, "connection"); }

static mp_lua_box *check_sends(lua_State *L) {
  mp_lua_box *b = check(L);
  if (!mp_shm_pipe_end_out(b->object))
    mp_lua_misuse(
        L, "this end of the pipe only receives; send from the other one, the second that mproc.Pipe(false) gave");
  return b;
}

static mp_lua_box *check_receives(lua_State *L) {
  mp_lua_box *b = check(L);
  if (!mp_shm_pipe_end_in(b->object))
    mp_lua_misuse(L,
                  "this end of the pipe only sends; receive from the other one, the first that mproc.Pipe(false) gave");
  return b;
}

/* --- sending --- */

/* A hook that ran meanwhile may have closed this very end. */
static int put(mp_lua_box *b, const mp_codec_message *m, const mp_shm_wait *w) {
  mp_shm_outgoing p = mp_lua_outgoing(m);
  return b->object ? mp_shm_pipe_end_send(b->object, &p, w) : -EBADF;
}

static int send_failed(lua_State *L, int err) {
  if (err == -EPIPE)
    return mp_lua_misuse(L, "cannot send: the other end of the pipe is closed, nobody can receive any more");
  if (err == -EBADF)
    return mp_lua_misuse(L, "cannot send: this end of the pipe was closed while the value was encoded");
  if (err != -ETIMEDOUT) return mp_lua_push_failure(L, err, "pipe");
  lua_pushboolean(L, 0);
  lua_pushliteral(L, "timeout");
  return 2;
}

/* The value at index 2. */
static int send_value(lua_State *L, mp_lua_box *b, uint64_t deadline) {
  mp_codec_message m;
  mp_shm_wait w = mp_lua_wait(L, deadline);
  mp_lua_encode(L, 2, "value", &m);
  int err = put(b, &m, &w);
  mp_codec_release(L, &m);
  if (err) return send_failed(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

/* send(value[, timeout]) -> true | false, "timeout" */
static int connection_send(lua_State *L) {
  mp_lua_box *b = check_sends(L);
  luaL_checkany(L, 2);
  return send_value(L, b, mp_lua_deadline(L, 3));
}

/* send_bytes(s[, i[, j[, timeout]]]) -> true | false, "timeout" */
static int connection_send_bytes(lua_State *L) {
  mp_lua_box *b = check_sends(L);
  uint64_t deadline = mp_lua_deadline(L, 5);
  mp_lua_take_part(L);
  return send_value(L, b, deadline);
}

/* --- receiving --- */

static int receive_failed(lua_State *L, int err) {
  if (err > 0) return lua_error(L);
  if (err != -ETIMEDOUT && err != -EPIPE) return mp_lua_push_failure(L, err, "pipe");
  lua_pushnil(L);
  lua_pushstring(L, err == -EPIPE ? "closed" : "timeout");
  return 2;
}

/* recv([timeout]) -> value | nil, "timeout" | nil, "closed" */
static int connection_recv(lua_State *L) {
  mp_lua_box *b = check_receives(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  int err = mp_lua_receive(L, mp_shm_pipe_end_in(b->object), b->handle, NULL, &w);
  return err ? receive_failed(L, err) : 1;
}

typedef struct bytes_wanted {
  size_t most, len; /* len: of the message that did not pass */
  bool is_string;
} bytes_wanted;

static bool is_wanted(void *arg, const void *data, size_t n) {
  bytes_wanted *wanted = arg;
  wanted->is_string = mp_codec_whole_string(data, n, &wanted->len) != NULL;
  return wanted->is_string && wanted->len <= wanted->most;
}

static int refuse_message(lua_State *L, const bytes_wanted *wanted) {
  if (!wanted->is_string) return mp_lua_misuse(L, "the next message is no string; it stays, take it with recv()");
  return mp_lua_misuse(
      L, lua_pushfstring(L, "the next message has %I bytes, more than maxlength (%I); it stays, ask for more",
                         (lua_Integer)wanted->len, (lua_Integer)wanted->most));
}

/* recv_bytes([maxlength[, timeout]]) -> string | nil, "timeout" | nil, "closed" */
static int connection_recv_bytes(lua_State *L) {
  mp_lua_box *b = check_receives(L);
  lua_Integer most = mp_lua_opt_count(L, 2, "maxlength", 0, "a count of bytes, or nil for no limit", LUA_MAXINTEGER);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  bytes_wanted wanted = {.most = (size_t)most};
  mp_shm_queue_test test = {is_wanted, &wanted};
  int err = mp_lua_receive(L, mp_shm_pipe_end_in(b->object), b->handle, &test, &w);
  if (err == -EMSGSIZE) return refuse_message(L, &wanted);
  return err ? receive_failed(L, err) : 1;
}

static bool takes_none(void *arg, const void *data, size_t n) {
  (void)arg, (void)data, (void)n;
  return false;
}

/* poll([timeout = 0]) -> true | false, "timeout": whether recv would not wait, at the end of the stream as well */
static int connection_poll(lua_State *L) {
  static const mp_shm_queue_test test = {takes_none, NULL};
  mp_lua_box *b = check_receives(L);
  mp_shm_wait w = mp_lua_wait(L, lua_isnoneornil(L, 2) ? 0 : mp_lua_deadline(L, 2));
  mp_shm_incoming g;
  int err = mp_shm_queue_get_if(mp_shm_pipe_end_in(b->object), NULL, &g, &test, &w);
  if (err != -EMSGSIZE && err != -EPIPE && err != -ETIMEDOUT) return mp_lua_push_failure(L, err, "pipe");
  lua_pushboolean(L, err != -ETIMEDOUT);
  if (err != -ETIMEDOUT) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

/* --- the rest --- */

/* Empties the open box at index 1. Where the arena lock is not to be had, the end is let go a little later. */
static void close_box(lua_State *L, mp_lua_box *b) {
  lua_settop(L, 1);
  luaL_setmetatable(L, closed_names[((mp_shm_pipe_end *)b->object)->kind]);
  b->object = NULL;
  mp_shm_wait w = {mp_os_now() + CLOSE_PATIENCE, NULL, NULL};
  mp_shm_object_release(b->handle, &w);
}

/* close(): harmless when repeated. */
static int connection_close(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (!b || b->object) close_box(L, check(L));
  return 0;
}

/* The end of a scope. What is closed is this process's, whoever made it. */
static int connection_scope(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (b && b->object && mp_shm_usable()) close_box(L, b);
  return 0;
}

static int connection_tostring(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (!b || !b->object) {
    lua_pushliteral(L, "Connection: closed");
    return 1;
  }
  static const char *const kinds[] = {"sends and receives", "receives", "sends"};
  mp_shm_pipe_end *e = check(L)->object;
  mp_shm_queue *in = mp_shm_pipe_end_in(e), *any = in ? in : mp_shm_pipe_end_out(e);
  lua_pushfstring(L, "Connection %d: %s", (int)(b->handle & MP_SLOT_MASK), kinds[e->kind]);
  if (in) lua_pushfstring(L, ", %I messages to receive", (lua_Integer)mp_shm_queue_size(in));
  if (any->closed) lua_pushliteral(L, ", the other end is closed");
  lua_concat(L, lua_gettop(L) - 1);
  return 1;
}

/* pipe(duplex) -> two connections | nil, message, NAME. Without duplex the first receives and the second sends. */
static int new_pipe(lua_State *L) {
  mp_shm_handle h[2];
  bool duplex = lua_toboolean(L, 1);
  mp_lua_enter(L);
  mp_lua_box *a = mp_lua_box_push(L, &class, open_names[duplex ? MP_PIPE_END_DUPLEX : MP_PIPE_END_RECEIVES]);
  mp_lua_box *b = mp_lua_box_push(L, &class, open_names[duplex ? MP_PIPE_END_DUPLEX : MP_PIPE_END_SENDS]);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_pipe_new(duplex, &w, h);
  if (err) return mp_lua_push_failure(L, err, "pipe");
  mp_lua_box_fill(a, h[0]);
  mp_lua_box_fill(b, h[1]);
  mp_lua_box_remember(L, -2);
  mp_lua_box_remember(L, -1);
  return 2;
}

static mp_shm_wait_queue *arrivals(void *object) {
  mp_shm_queue *in = mp_shm_pipe_end_in(object);
  return in ? &in->data : NULL;
}

static bool has_arrived(void *object) { return mp_shm_queue_ready(mp_shm_pipe_end_in(object)); }

static const luaL_Reg methods[] = {
    {"send", connection_send},
    {"recv", connection_recv},
    {"poll", connection_poll},
    {"send_bytes", connection_send_bytes},
    {"recv_bytes", connection_recv_bytes},
    {"close", connection_close},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {
    {"__close", connection_scope},
    {"__tostring", connection_tostring},
    {NULL, NULL},
};

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

static void make_class(lua_State *L, const char *name, int kind, bool closed) {
  mp_lua_box_class(L, name, &class, methods, metamethods);
  mp_lua_box_for_loops(L, name);
  luaL_getmetatable(L, name);
  lua_pushliteral(L, MP_CONNECTION_TYPE);
  lua_setfield(L, -2, "__name");
  lua_getfield(L, -1, "__index");
  set_flag(L, "closed", closed);
  set_flag(L, "readable", kind != MP_PIPE_END_SENDS);
  set_flag(L, "writable", kind != MP_PIPE_END_RECEIVES);
  lua_pop(L, 2);
}

void mp_lua_open_end(lua_State *L) {
  for (int kind = 0; kind < MP_PIPE_END_KINDS; kind++) {
    make_class(L, open_names[kind], kind, false);
    make_class(L, closed_names[kind], kind, true);
  }
  static const mp_lua_watchable watchable = {&class, arrivals, has_arrived};
  mp_lua_box_watchable(&watchable);
  mp_lua_box_can_close(&class, "this end of the pipe is closed");
  lua_pushcfunction(L, new_pipe);
  lua_setfield(L, -2, "pipe");
}
