/* SPDX-License-Identifier: MIT */
/*
 * What lua/mproc/socket.lua listens with: a socket that accepts, and beside it, in one set, the connections that still shake
 * hands, so that one descriptor tells of both. And the challenge.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bind/bind.h"
#include "bind/stream.h"
#include "os/event.h"
#include "os/process.h"
#include "os/socket.h"
#include "shm/arena/arena.h"
#include "wire/frame.h"

typedef struct listener {
  int fd, set;   /* -1: closed */
  uint64_t path; /* identity of the path that is removed with it, or 0 */
  pid_t maker;   /* who removes it */
  char address[MP_OS_ADDRESS];
} listener;

static listener *self(lua_State *L) { return luaL_checkudata(L, 1, MP_LISTENER_TYPE); }

static int listener_close(lua_State *L) {
  listener *l = self(L);
  if (l->fd >= 0 && l->maker == getpid()) mp_os_path_remove(l->address, l->path);
  if (l->fd >= 0) mp_os_close(l->fd);
  if (l->set >= 0) mp_os_close(l->set);
  l->fd = l->set = -1;
  return 0;
}

static int open_all(listener *l, const char *name, int backlog, const mp_shm_wait *w) {
  char address[MP_OS_ADDRESS];
  int err = mp_lua_resolve(name, address, w);
  if (err) return err;
  l->fd = mp_os_socket_listen(address, backlog);
  if (l->fd < 0) return l->fd;
  if (*address != '@' && strchr(address, '/')) l->path = mp_os_path_identity(address);
  err = l->path ? mp_os_path_keep(address, l->path) : 0;
  if (err) return err;
  mp_os_socket_name(l->fd, false, l->address);
  l->set = mp_os_set_open();
  return l->set < 0 ? l->set : mp_os_set_add(l->set, l->fd);
}

/* listen(address, backlog) -> listener | nil, message, NAME */
static int new_listener(lua_State *L) {
  const char *address = luaL_checkstring(L, 1);
  int backlog = (int)luaL_checkinteger(L, 2);
  listener *l = lua_newuserdatauv(L, sizeof *l, 0);
  *l = (listener){.fd = -1, .set = -1, .maker = getpid()};
  luaL_setmetatable(L, MP_LISTENER_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = open_all(l, address, backlog, &w);
  if (err == -EINTR) return mp_lua_interrupted(L);
  return err ? mp_lua_fail(L, err, address) : 1;
}

/* accept(max_bytes, trusted) -> connection, the other side's address or nil | nil: nobody waits | nil, message, NAME */
static int listener_accept(lua_State *L) {
  char peer[MP_OS_ADDRESS];
  lua_settop(L, 3);
  mp_lua_stream *s = mp_lua_stream_push(L, 2);
  int fd = mp_os_socket_accept(self(L)->fd);
  if (fd == -EAGAIN) return 0;
  if (fd < 0) return mp_lua_fail(L, fd, "cannot accept");
  s->fd = fd;
  mp_os_socket_name(fd, true, peer);
  lua_pushstring(L, *peer ? peer : NULL);
  return 2;
}

/* wait(deadline's seconds or nil) -> whether there is something to do */
static int listener_wait(lua_State *L) {
  const listener *l = self(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  int r, err = 0;
  while ((r = mp_os_socket_wait(l->set, MP_OS_READ, w.deadline ? mp_shm_wait_slice(&w) : 0)) != 1 && !err)
    err = mp_shm_wait_check(&w);
  if (err == -EINTR) return mp_lua_interrupted(L);
  lua_pushboolean(L, r == 1);
  return 1;
}

/* watch(fd) -> true | nil, message, NAME: from now on wait and fileno tell of it too. */
static int listener_watch(lua_State *L) {
  int err = mp_os_set_add(self(L)->set, (int)luaL_checkinteger(L, 2));
  if (err) return mp_lua_fail(L, err, "cannot watch a connection");
  lua_pushboolean(L, 1);
  return 1;
}

static int listener_unwatch(lua_State *L) {
  mp_os_set_remove(self(L)->set, (int)luaL_checkinteger(L, 2));
  return 0;
}

/* renew() -> true | nil, message, NAME: in a child, whose set is not its parent's. */
static int listener_renew(lua_State *L) {
  listener *l = self(L);
  int set = mp_os_set_open(), err = set < 0 ? set : mp_os_set_add(set, l->fd);
  if (err) {
    if (set >= 0) mp_os_close(set);
    return mp_lua_fail(L, err, "cannot listen here");
  }
  if (l->set >= 0) mp_os_close(l->set);
  l->set = set;
  lua_pushboolean(L, 1);
  return 1;
}

static int listener_fileno(lua_State *L) {
  lua_pushinteger(L, self(L)->set);
  return 1;
}

static int listener_address(lua_State *L) {
  lua_pushstring(L, self(L)->address);
  return 1;
}

/* path_identity(address) -> an integer, when a path is there, or nil: for remove_path, of another process's listener */
static int path_identity(lua_State *L) {
  const char *address = luaL_checkstring(L, 1);
  uint64_t identity = *address != '@' && strchr(address, '/') ? mp_os_path_identity(address) : 0;
  if (!identity) return 0;
  lua_pushinteger(L, (lua_Integer)identity);
  return 1;
}

/* keep_path(path, identity) -> true | nil, message, NAME: it is removed at this process's orderly end, if it is the same still */
static int keep_path(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int err = mp_os_path_keep(path, (uint64_t)luaL_checkinteger(L, 2));
  if (err) return mp_lua_fail(L, err, path);
  lua_pushboolean(L, 1);
  return 1;
}

/* remove_path(path, identity): if it is the same still */
static int remove_path(lua_State *L) {
  mp_os_path_remove(luaL_checkstring(L, 1), (uint64_t)luaL_checkinteger(L, 2));
  return 0;
}

/* --- the challenge --- */

/* is_tcp(address) -> boolean | nil: it is no address */
static int is_tcp(lua_State *L) {
  int tcp = mp_os_address_is_tcp(luaL_checkstring(L, 1));
  if (tcp < 0 || strlen(lua_tostring(L, 1)) != lua_rawlen(L, 1)) return 0;
  lua_pushboolean(L, tcp);
  return 1;
}

/* tree_key() -> the random bytes that all processes of the tree share */
static int tree_key(lua_State *L) {
  lua_pushlstring(L, (const char *)mp_shm_tree_key(), MP_TREE_KEY);
  return 1;
}

/* random_name() -> hexadecimal digits that nobody can guess */
static int random_name(lua_State *L) {
  uint8_t bytes[16];
  char text[2 * sizeof bytes];
  int err = mp_os_random(bytes, sizeof bytes);
  if (err) return mp_lua_fail(L, err, "no randomness");
  for (size_t i = 0; i < sizeof text; i++) text[i] = "0123456789abcdef"[bytes[i / 2] >> 4 * (i % 2) & 15];
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

/* challenge() -> string | nil, message, NAME */
static int challenge(lua_State *L) {
  uint8_t random[MP_WIRE_RANDOM], text[MP_WIRE_CHALLENGE_MOST];
  int err = mp_os_random(random, sizeof random);
  if (err) return mp_lua_fail(L, err, "no randomness");
  lua_pushlstring(L, (char *)text, mp_wire_challenge(random, text));
  return 1;
}

/* answer(key, challenge, allow_md5) -> string | nil, "EBADMSG" or "ENOTSUP" */
static int answer(lua_State *L) {
  size_t nkey, n;
  uint8_t text[MP_WIRE_CHALLENGE_MOST];
  const char *key = luaL_checklstring(L, 1, &nkey), *c = luaL_checklstring(L, 2, &n);
  int r = mp_wire_answer(key, nkey, (const uint8_t *)c, n, lua_toboolean(L, 3), text);
  if (r >= 0) {
    lua_pushlstring(L, (char *)text, (size_t)r);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, r == -ENOTSUP ? "ENOTSUP" : "EBADMSG");
  return 2;
}

/* judge(key, challenge, answer, allow_md5) -> true | false, "EACCES" or "ENOTSUP" */
static int judge(lua_State *L) {
  size_t nkey, n, nanswer;
  const char *key = luaL_checklstring(L, 1, &nkey), *c = luaL_checklstring(L, 2, &n),
             *a = luaL_checklstring(L, 3, &nanswer);
  int r = mp_wire_judge(key, nkey, (const uint8_t *)c, n, (const uint8_t *)a, nanswer, lua_toboolean(L, 4));
  lua_pushboolean(L, r == 0);
  lua_pushstring(L, r == -ENOTSUP ? "ENOTSUP" : "EACCES");
  return 2;
}

static const luaL_Reg methods[] = {
    {"accept", listener_accept},   {"wait", listener_wait},     {"watch", listener_watch},
    {"unwatch", listener_unwatch}, {"fileno", listener_fileno}, {"address", listener_address},
    {"close", listener_close},     {"renew", listener_renew},   {NULL, NULL},
};
static const luaL_Reg functions[] = {
    {"path_identity", path_identity},
    {"remove_path", remove_path},
    {"keep_path", keep_path},
    {"listen", new_listener},
    {"is_tcp", is_tcp},
    {"tree_key", tree_key},
    {"challenge", challenge},
    {"answer", answer},
    {"judge", judge},
    {"random_name", random_name},
    {NULL, NULL},
};

void mp_lua_open_listener(lua_State *L) {
  luaL_newmetatable(L, MP_LISTENER_TYPE);
  lua_pushcfunction(L, listener_close);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
