/* SPDX-License-Identifier: MIT */
/* What pools need of the system (layer 3): called by lua/mproc/pool/worker/, and by a pool's owner. */
#include "bind/bind.h"
#include "os/process.h"
#include "process/children.h"
#include "shm/arena/registry.h"

static int answer(lua_State *L, int err, const char *what) {
  if (err) return mp_lua_fail(L, err, what);
  lua_pushboolean(L, 1);
  return 1;
}

/* pin(n): to the nth CPU of those this process may use, counted from 0 and round. true, or nil, message, NAME */
static int worker_pin(lua_State *L) {
  return answer(L, mp_os_cpu_pin((int)(luaL_checkinteger(L, 1) & 0x7fffffff)), "cannot choose a CPU");
}

/* limit(name, amount): a soft resource limit. The arena's address space, which costs nothing, is not counted.
 * true, or nil, message, NAME; EINVAL for an unknown name. */
static int worker_limit(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  uint64_t amount = (uint64_t)luaL_checkinteger(L, 2);
  mp_shm_stats s;
  mp_lua_enter(L);
  mp_shm_stats_get(&s);
  if (name[0] == 'a') amount += s.size;
  return answer(L, mp_os_limit(name, amount), lua_pushfstring(L, "cannot limit %s", name));
}

/* ignore_sigint(): Ctrl-C is the owner's affair. Programs that this process executes get the default action. */
static int worker_ignore_sigint(lua_State *L) {
  (void)L;
  mp_os_sigint_nothing();
  return 0;
}

/* exit_as(status): if this process ends by an error (status 1), the system is told that status instead; 0: no longer. */
static int worker_exit_as(lua_State *L) {
  mp_process_children_exit_as((int)luaL_checkinteger(L, 1));
  return 0;
}

/* kind_of_file(fd) -> "terminal", "pipe" (a socket too) or "file" */
static int worker_kind(lua_State *L) {
  static const char *const kinds[] = {"file", "pipe", "terminal"};
  lua_pushstring(L, kinds[mp_os_kind_of_file((int)luaL_checkinteger(L, 1))]);
  return 1;
}

enum { PIPE_WRITERS = 256 };

/* pipe_writers() -> list of the writing ends of pipes: descriptor, inode, and so on */
static int worker_pipe_writers(lua_State *L) {
  mp_os_pipe_writer found[PIPE_WRITERS];
  int n = mp_os_pipe_writers(found, PIPE_WRITERS);
  lua_createtable(L, 2 * n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, found[i].fd);
    lua_rawseti(L, -2, 2 * i + 1);
    lua_pushinteger(L, (lua_Integer)found[i].inode);
    lua_rawseti(L, -2, 2 * i + 2);
  }
  return 1;
}

/* close_pipe_writer(descriptor, inode): if it is the same still */
static int worker_close_pipe_writer(lua_State *L) {
  mp_os_close_pipe_writer(&(mp_os_pipe_writer){(int)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2)});
  return 0;
}

static const luaL_Reg functions[] = {
    {"pin", worker_pin},
    {"limit", worker_limit},
    {"ignore_sigint", worker_ignore_sigint},
    {"exit_as", worker_exit_as},
    {"kind_of_file", worker_kind},
    {"pipe_writers", worker_pipe_writers},
    {"close_pipe_writer", worker_close_pipe_writer},
    {NULL, NULL},
};

void mp_lua_open_worker(lua_State *L) { luaL_setfuncs(L, functions, 0); }
