/* SPDX-License-Identifier: MIT */
/* wait and fileno for Lua. lua/mproc/wait.lua checks the list and says what is wrong with it. */
#include "bind/wait_set.h"

#include <errno.h>
#include <limits.h>

static const mp_lua_watchable *known[2 * MP_TYPES];
static size_t nknown;

void mp_lua_box_watchable(const mp_lua_watchable *w) {
  for (size_t i = 0; i < nknown; i++)
    if (known[i] == w) return;
  if (nknown < sizeof known / sizeof *known) known[nknown++] = w;
}

static const mp_lua_watchable *how(const mp_lua_box *b) {
  for (size_t i = 0; i < nknown; i++)
    if (known[i]->class == b->class) return known[i];
  return NULL;
}

/* NULL, or why not; "" where nothing more can be said. */
static const char *box_source(const mp_lua_box *b, mp_shm_wait_source *s) {
  const mp_lua_watchable *w = how(b);
  if (!w) return "";
  if (!b->object) return "it is closed";
  *s = (mp_shm_wait_source){.wait_queue = w->wait_queue(b->object), .ready = w->ready, .arg = b->object, .fd = -1};
  return s->wait_queue ? NULL : "nothing ever arrives there: it only sends";
}

/* The object whose method is called, as a source; raises when nothing ever arrives there. */
static mp_lua_box *check_source(lua_State *L, mp_shm_wait_source *s) {
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (!b || !b->object || !how(b)) mp_lua_box_refuse(L, 1, "queue or connection");
  mp_lua_enter(L);
  const char *why = box_source(b, s);
  if (why) mp_lua_misuse(L, why);
  return b;
}

/* fileno() -> descriptor, or nil, message, NAME */
static int box_fileno(lua_State *L) {
  mp_shm_wait_source s;
  mp_lua_box *b = check_source(L, &s);
  int fd = mp_shm_wait_set_fd(b->handle, &s);
  if (fd < 0) return mp_lua_fail(L, fd, "cannot make a descriptor");
  lua_pushinteger(L, fd);
  return 1;
}

/* --- the conventions of other loops: cqueues asks for pollfd, events and timeout, LuaSocket's select for getfd and dirty --- */

static int box_events(lua_State *L) {
  lua_pushliteral(L, "r");
  return 1;
}

static int box_timeout(lua_State *L) {
  (void)L;
  return 0;
}

/* Whether a loop need not wait. */
static int box_dirty(lua_State *L) {
  mp_shm_wait_source s;
  check_source(L, &s);
  lua_pushboolean(L, s.ready(s.arg));
  return 1;
}

void mp_lua_box_for_loops(lua_State *L, const char *name) {
  static const luaL_Reg methods[] = {{"fileno", box_fileno},
                                     {"getfd", box_fileno},
                                     {"pollfd", box_fileno},
                                     {"events", box_events},
                                     {"timeout", box_timeout},
                                     {"dirty", box_dirty},
                                     {NULL, NULL}};
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 2);
}

/* What is at the top as a source: NULL, or why it is none. */
static const char *read_source(lua_State *L, mp_shm_wait_source *s) {
  *s = (mp_shm_wait_source){.fd = -1};
  if (lua_isinteger(L, -1)) {
    lua_Integer fd = lua_tointeger(L, -1);
    s->fd = (int)fd;
    return fd >= 0 && fd <= INT_MAX ? NULL : "";
  }
  const mp_lua_box *b = mp_lua_box_any(L, -1);
  return b ? box_source(b, s) : mp_lua_process_source(L, -1, s) ? NULL : "";
}

static int bad_source(lua_State *L, lua_Integer i, const char *why) {
  lua_pushnil(L);
  lua_pushinteger(L, i);
  lua_pushstring(L, *why ? why : NULL);
  return 3;
}

static int bad_fd(lua_State *L, const mp_shm_wait_source *s) {
  lua_Integer i = 0;
  while (s[i].found != -EBADF) i++;
  return bad_source(L, i + 1, "no file is open there");
}

static int push_found(lua_State *L, const mp_shm_wait_source *s, lua_Integer n) {
  lua_Integer k = 0;
  lua_newtable(L);
  for (lua_Integer i = 0; i < n; i++) {
    if (!s[i].found) continue;
    lua_pushinteger(L, i + 1);
    lua_rawseti(L, -2, ++k);
  }
  return 1;
}

/* wait(sources, n[, timeout]) -> the indices of those that are ready, in order, none when the time is over; or, before any
 * wait, nil, the index of what is no source[, why]; or nil, message, NAME. Sources: descriptors, boxes, handles of
 * processes. */
static int watch_wait(lua_State *L) {
  mp_lua_enter(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = luaL_checkinteger(L, 2), length = (lua_Integer)lua_rawlen(L, 1);
  if (n > length) n = length + 1; /* what is there is nil, and no source */
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  mp_shm_wait_source *s = lua_newuserdatauv(L, (size_t)n * sizeof *s, 0);
  mp_os_pollfd *fds = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *fds, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    const char *why = read_source(L, &s[i]);
    lua_pop(L, 1);
    if (why) return bad_source(L, i + 1, why);
  }
  int r = mp_shm_wait_set_wait(s, (size_t)n, fds, &w);
  if (r == -EINTR) return mp_lua_interrupted(L);
  if (r == -EBADF) return bad_fd(L, s);
  if (r < 0 && r != -ETIMEDOUT) return mp_lua_fail(L, r, "cannot wait");
  return push_found(L, s, n);
}

void mp_lua_open_watch(lua_State *L) {
  lua_pushcfunction(L, watch_wait);
  lua_setfield(L, -2, "wait");
}
