/* SPDX-License-Identifier: MIT */
/*
 * Descriptor, an open file that travels, for Lua. lua/mproc/fd.lua makes it. Its box has two user values: the descriptor
 * that this process has of the file, once it was asked for, and what tells that file from another by the same number, for
 * a program may close what it does not know (close_fds). Invariant: a descriptor in the box is closed with the box.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "bind/check.h"
#include "bind/object.h"
#include "os/local.h"
#include "process/store.h"

#define CLOSED "the descriptor is closed"
#define LOST                                                                                                           \
  "the descriptor is lost: the process that kept it for the others was killed; make a new one with mproc.fd where "    \
  "the file is open"

enum { FD = 1, IDENTITY, VALUES = IDENTITY };

static const char *name_of(const void *block) {
  (void)block;
  return MP_DESCRIPTOR_TYPE;
}

static int push_again(lua_State *L, mp_shm_handle h);
static const mp_lua_object_class class = {MP_TYPE_DESCRIPTOR, 0, name_of, NULL, push_again};

static mp_lua_box *push_box(lua_State *L) { return mp_lua_box_push_values(L, &class, MP_DESCRIPTOR_TYPE, VALUES); }

/* Takes the place of the box that a handle would become: 1; 0, nothing pushed: no such object lives. */
static int push_again(lua_State *L, mp_shm_handle h) {
  mp_lua_box *b = push_box(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  w.interrupted = NULL;
  mp_lua_box_remember_as(L, -1, h);
  if (mp_shm_object_use(h, MP_TYPE_DESCRIPTOR, &w) != 0) {
    lua_pop(L, 1);
    return 0;
  }
  mp_lua_box_fill(b, h);
  return 1;
}

/* --- the descriptor in a box --- */

/* The one that is there and still is that file, or -1. */
static int fd_in(lua_State *L, int idx) {
  int fd = -1;
  if (lua_getiuservalue(L, idx, FD) == LUA_TNUMBER) {
    fd = (int)lua_tointeger(L, -1);
    lua_getiuservalue(L, idx, IDENTITY);
    if ((uint64_t)lua_tointeger(L, -1) != mp_os_file_identity(fd)) fd = -1;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return fd;
}

static void set_fd(lua_State *L, int idx, int fd) {
  idx = lua_absindex(L, idx);
  lua_pushinteger(L, (lua_Integer)mp_os_file_identity(fd));
  lua_setiuservalue(L, idx, IDENTITY);
  lua_pushinteger(L, fd);
  lua_setiuservalue(L, idx, FD);
}

static void forget_fd(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_pushnil(L);
  lua_setiuservalue(L, idx, FD);
}

/* The box at 1, and nothing above it. */
static mp_lua_box *self(lua_State *L) {
  mp_lua_box *b = mp_lua_box_self(L, &class, "descriptor");
  luaL_checkstack(L, 4, NULL);
  return b;
}

/* A descriptor here, which is the box's; or -errno, for which fetch_failed has the words. */
static int fetch(lua_State *L, const mp_lua_box *b) {
  int fd = fd_in(L, 1);
  if (fd >= 0) return fd;
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  fd = mp_process_store_fetch(b->handle, &w);
  if (fd >= 0) set_fd(L, 1, fd);
  return fd;
}

static int fetch_failed(lua_State *L, int err) {
  if (err == -EOWNERDEAD) return mp_lua_misuse(L, LOST);
  return mp_lua_push_failure(L, err, "cannot fetch the descriptor");
}

/* fileno() -> integer | nil, message, NAME */
static int descriptor_fileno(lua_State *L) {
  int fd = fetch(L, self(L));
  if (fd < 0) return fetch_failed(L, fd);
  lua_pushinteger(L, fd);
  return 1;
}

/* For the loops of others, as the methods that mp_lua_box_for_loops adds. */
static int descriptor_events(lua_State *L) {
  lua_pushliteral(L, "r");
  return 1;
}

static int descriptor_timeout(lua_State *L) {
  (void)L;
  return 0;
}

static int descriptor_dirty(lua_State *L) {
  lua_pushboolean(L, false);
  return 1;
}

/* detach() -> integer, the caller's from now on | nil, message, NAME */
static int descriptor_detach(lua_State *L) {
  mp_lua_box *b = self(L);
  int fd = fetch(L, b);
  if (fd < 0) return fetch_failed(L, fd);
  forget_fd(L, 1);
  mp_lua_box_empty(b);
  lua_pushinteger(L, fd);
  return 1;
}

static void close_box(lua_State *L, int idx) {
  int fd = fd_in(L, idx);
  forget_fd(L, idx);
  if (fd >= 0) mp_os_close(fd);
  mp_lua_box_empty(lua_touserdata(L, idx));
}

/* close(): harmless when repeated. */
static int descriptor_close(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (!b || b->object) self(L), close_box(L, 1);
  return 0;
}

static int descriptor_scope(lua_State *L) {
  mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  if (b && b->object && mp_shm_usable()) close_box(L, 1);
  return 0;
}

static int descriptor_gc(lua_State *L) {
  if (mp_lua_box_test(L, 1, &class)) close_box(L, 1);
  return 0;
}

/* --- Lua files --- */

static const char *mode_of(int fd) {
  int flags = fcntl(fd, F_GETFL);
  bool appends = flags & O_APPEND;
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return "r";
    case O_WRONLY:
      return appends ? "a" : "w";
    default:
      return appends ? "a+" : "r+";
  }
}

static bool is_mode(const char *m) {
  if (!*m || !strchr("rwa", *m++)) return false;
  if (*m == '+') m++;
  return strspn(m, "b") == strlen(m) && strlen(m) <= 1;
}

/* Lua's files take EAGAIN for an end or an error. */
static void make_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && flags & O_NONBLOCK) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* Not every C library asks whether the descriptor can do what the mode says. */
static FILE *open_as(int fd, const char *mode) {
  bool both = strchr(mode, '+'), reads = *mode == 'r' || both, writes = *mode != 'r' || both;
  int can = fcntl(fd, F_GETFL) & O_ACCMODE;
  if ((writes && can == O_RDONLY) || (reads && can == O_WRONLY)) {
    errno = EINVAL;
    return NULL;
  }
  return fdopen(fd, mode);
}

static int close_file(lua_State *L) {
  luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  return luaL_fileresult(L, fclose(s->f) == 0, NULL);
}

/* file([mode]) -> a Lua file with a descriptor of its own | nil, message, NAME */
static int descriptor_file(lua_State *L) {
  lua_settop(L, 2);
  mp_lua_box *b = self(L);
  const char *mode = luaL_optstring(L, 2, NULL);
  if (mode && !is_mode(mode))
    return mp_lua_refuse(L, "mode must be one of io.open, as \"r\" or \"a+\", got %s", mp_lua_show(L, 2));
  luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
  s->closef = NULL;
  s->f = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  int fd = fetch(L, b);
  if (fd < 0) return fetch_failed(L, fd);
  int own = mp_os_duplicate(fd);
  if (own < 0) return mp_lua_fail(L, own, "cannot open the descriptor");
  s->f = open_as(own, mode ? mode : mode_of(own));
  if (!s->f) {
    int err = -errno;
    mp_os_close(own);
    return mp_lua_fail(L, err, "cannot open the descriptor");
  }
  make_blocking(own);
  s->closef = close_file;
  return 1;
}

/* --- making --- */

static int descriptor_tostring(lua_State *L) {
  const mp_lua_box *b = mp_lua_box_test(L, 1, &class);
  int fd = b && b->object ? fd_in(L, 1) : -1;
  if (!b || !b->object)
    lua_pushliteral(L, "Descriptor: closed");
  else if (fd >= 0)
    lua_pushfstring(L, "Descriptor %d: %d here", (int)(b->handle & MP_SLOT_MASK), fd);
  else
    lua_pushfstring(L, "Descriptor %d", (int)(b->handle & MP_SLOT_MASK));
  return 1;
}

/* keep_descriptor(fd) -> Descriptor | nil, message, NAME */
static int keep_descriptor(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  int fd = (int)luaL_checkinteger(L, 1);
  if (fcntl(fd, F_GETFD) < 0) return mp_lua_fail(L, -EBADF, "fd");
  mp_lua_box *b = push_box(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_descriptor_new(&w, &h);
  if (err) return mp_lua_push_failure(L, err, "fd");
  mp_lua_box_fill(b, h);
  mp_lua_box_remember(L, -1);
  err = mp_process_store_keep(h, fd, &w);
  if (err) mp_lua_box_empty(b);
  return err ? mp_lua_push_failure(L, err, "cannot keep the descriptor") : 1;
}

/* file_descriptor(file) -> integer | nil: it is closed. What is buffered is written, or given back to the file. */
static int file_descriptor(lua_State *L) {
  const luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  if (!s->closef) return 0;
  fflush(s->f);
  lua_pushinteger(L, fileno(s->f));
  return 1;
}

/* descriptor_store() -> the pid of the process that keeps descriptors, or nil: there is none yet. For tests. */
static int descriptor_store(lua_State *L) {
  if (!mp_shm_header->fd_store.pid) return 0;
  lua_pushinteger(L, mp_shm_header->fd_store.pid);
  return 1;
}

static const luaL_Reg methods[] = {
    {"getfd", descriptor_fileno},  {"pollfd", descriptor_fileno},
    {"events", descriptor_events}, {"timeout", descriptor_timeout},
    {"dirty", descriptor_dirty},   {"fileno", descriptor_fileno},
    {"detach", descriptor_detach}, {"file", descriptor_file},
    {"close", descriptor_close},   {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", descriptor_tostring},
                                       {"__close", descriptor_scope},
                                       {"__gc", descriptor_gc},
                                       {"__mproc_wait", descriptor_fileno},
                                       {NULL, NULL}};
static const luaL_Reg makers[] = {{"keep_descriptor", keep_descriptor},
                                  {"file_descriptor", file_descriptor},
                                  {"descriptor_store", descriptor_store},
                                  {NULL, NULL}};

void mp_lua_open_descriptor(lua_State *L) {
  mp_process_store_setup();
  mp_lua_box_class(L, MP_DESCRIPTOR_TYPE, &class, methods, metamethods);
  mp_lua_box_can_close(&class, CLOSED);
  luaL_setfuncs(L, makers, 0);
}
