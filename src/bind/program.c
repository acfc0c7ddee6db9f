/* SPDX-License-Identifier: MIT */
/* What the program mproc needs of the system beside commands and lines: kinds of files, a standard output whose reader may
 * go, the terminal. For lua/mproc/cli. */
#include <unistd.h>

#include "bind/bind.h"
#include "os/process.h"

/* kind_of_path(path) -> "file", "folder" or "other"; nil, message, NAME when there is none */
static int kind_of_path(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int kind = mp_os_kind_of_path(path);
  if (kind < 0) return mp_lua_fail(L, kind, path);
  lua_pushstring(L, kind == MP_FILE ? "file" : kind == MP_FOLDER ? "folder" : "other");
  return 1;
}

/* write_out(text) -> true | nil, message, NAME: to standard output, at once */
static int write_out(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  int err = mp_os_write(STDOUT_FILENO, text, n);
  if (err) return mp_lua_fail(L, err, "write");
  lua_pushboolean(L, 1);
  return 1;
}

/* reader_gone(): whether nobody will read standard output any more */
static int reader_gone(lua_State *L) {
  lua_pushboolean(L, mp_os_reader_gone(STDOUT_FILENO));
  return 1;
}

/* end_with_reader(): from now on a write that nobody reads ends this process, silently */
static int end_with_reader(lua_State *L) {
  (void)L;
  mp_os_sigpipe_default();
  return 0;
}

/* become(argv, name, value) -> nil, message, NAME: this process runs that program instead, with a variable more in its
 * environment; or it could not */
static int become(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t n = (size_t)luaL_len(L, 1);
  const char **argv = lua_newuserdatauv(L, (n + 1) * sizeof *argv, 0);
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    argv[i] = luaL_checkstring(L, -1); /* the list keeps it */
    lua_pop(L, 1);
  }
  argv[n] = NULL;
  int err = mp_os_become((char *const *)argv, luaL_checkstring(L, 2), luaL_checkstring(L, 3));
  return mp_lua_fail(L, err, n ? argv[0] : "");
}

/* terminal_keys(on) -> whether standard input is a terminal that gives keys at once, until it is turned off */
static int terminal_keys(lua_State *L) {
  bool on = lua_toboolean(L, 1);
  if (!on) mp_os_terminal_restore(STDIN_FILENO);
  lua_pushboolean(L, on && mp_os_terminal_keys(STDIN_FILENO));
  return 1;
}

/* terminal_size() -> columns, lines of standard output; nothing when it is no terminal */
static int terminal_size(lua_State *L) {
  int columns, lines;
  if (!mp_os_terminal_size(STDOUT_FILENO, &columns, &lines)) return 0;
  lua_pushinteger(L, columns);
  lua_pushinteger(L, lines);
  return 2;
}

/* keep_memory(bytes): so much stays with this process when it is freed */
static int keep_memory(lua_State *L) {
  mp_os_malloc_keep((size_t)luaL_checkinteger(L, 1));
  return 0;
}

static const luaL_Reg functions[] = {
    {"kind_of_path", kind_of_path},   {"keep_memory", keep_memory},         {"become", become},
    {"terminal_keys", terminal_keys}, {"terminal_size", terminal_size},     {"write_out", write_out},
    {"reader_gone", reader_gone},     {"end_with_reader", end_with_reader}, {NULL, NULL}};

void mp_lua_open_program(lua_State *L) { luaL_setfuncs(L, functions, 0); }
