/* SPDX-License-Identifier: MIT */
/* Commands: programs that run beside this process, with what they print in files that have no name. For lua/mproc/cli. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "bind/bind.h"
#include "os/process.h"

enum { READ_MOST = 1 << 24 };

typedef struct command {
  pid_t pid; /* 0: none, or reaped */
  int pidfd, out, err;
  bool ended;
  int exitcode;
} command;

static command *self(lua_State *L) { return luaL_checkudata(L, 1, MP_COMMAND_TYPE); }

static void close_fd(int *fd) {
  if (*fd >= 0) mp_os_close(*fd);
  *fd = -1;
}

static int command_close(lua_State *L) {
  command *c = self(L);
  close_fd(&c->pidfd);
  close_fd(&c->out);
  close_fd(&c->err);
  return 0;
}

/* The list at 1 as an array that ends with NULL, left on the stack. */
static char **read_argv(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 1);
  if (n < 1) luaL_error(L, "spawn takes a list with the program's name and its arguments");
  char **argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i); /* the list keeps the string */
    argv[i - 1] = (char *)luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  argv[n] = NULL;
  return argv;
}

static int open_files(command *c) {
  const char *folder = getenv("TMPDIR");
  if (!folder || !*folder) folder = "/tmp";
  c->out = mp_os_open_nameless(folder);
  if (c->out < 0) return c->out;
  c->err = mp_os_open_nameless(folder);
  return c->err < 0 ? c->err : 0;
}

static int start(command *c, char **argv, bool direct) {
  int err = direct ? 0 : open_files(c);
  if (err) return err;
  int in = mp_os_open_null();
  if (in < 0) return in;
  mp_os_command what = {
      argv, in, direct ? STDOUT_FILENO : c->out, direct ? STDERR_FILENO : c->err, MP_OS_OWN_GROUP | MP_OS_DIES_WITH,
      NULL, 0};
  pid_t pid = mp_os_spawn(&what);
  mp_os_close(in);
  if (pid < 0) return (int)pid;
  c->pid = pid;
  c->pidfd = mp_os_pidfd(pid);
  return 0;
}

/* spawn(argv[, direct]) -> command | nil, message, NAME. direct: it prints to this process's own output. */
static int spawn(lua_State *L) {
  lua_settop(L, 2);
  char **argv = read_argv(L);
  command *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (command){0, -1, -1, -1, false, 0};
  luaL_setmetatable(L, MP_COMMAND_TYPE);
  int err = start(c, argv, lua_toboolean(L, 2));
  return err ? mp_lua_fail(L, err, argv[0]) : 1;
}

static int command_pid(lua_State *L) {
  lua_pushinteger(L, self(L)->pid);
  return 1;
}

/* fileno() -> a descriptor that turns readable when it has ended, or nil where the system has none */
static int command_fileno(lua_State *L) {
  const command *c = self(L);
  if (c->pidfd < 0) return 0;
  lua_pushinteger(L, c->pidfd);
  return 1;
}

static void poll_exit(command *c) {
  int status = 0, got = c->ended ? 0 : mp_os_reap(c->pid, &status);
  if (got == 0) return;
  c->ended = true;
  c->exitcode = got == 1 ? mp_os_exit_code(status) : 0;
}

/* exitcode() -> n, -SIGNAL, or nil while it runs */
static int command_exitcode(lua_State *L) {
  command *c = self(L);
  poll_exit(c);
  if (!c->ended) return 0;
  lua_pushinteger(L, c->exitcode);
  return 1;
}

/* signal(number): to its whole group, while it has not been reaped */
static int command_signal(lua_State *L) {
  command *c = self(L);
  if (!c->ended) kill(-c->pid, (int)luaL_checkinteger(L, 2));
  return 0;
}

static int file_of(lua_State *L) {
  static const char *const names[] = {"out", "err", NULL};
  const command *c = self(L);
  return luaL_checkoption(L, 2, NULL, names) ? c->err : c->out;
}

/* size("out" | "err") -> bytes that it has printed there */
static int command_size(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_os_file_size(file_of(L)));
  return 1;
}

/* send("out" | "err", descriptor) -> true | nil, message, NAME: writes there what it has printed */
static int command_send(lua_State *L) {
  int err = mp_os_send_file(file_of(L), (int)luaL_checkinteger(L, 3));
  if (err) return mp_lua_fail(L, err, "write");
  lua_pushboolean(L, 1);
  return 1;
}

/* read("out" | "err", from, n) -> up to n of those bytes, from the offset on */
static int command_read(lua_State *L) {
  int fd = file_of(L);
  luaL_Buffer b;
  lua_Integer at = luaL_checkinteger(L, 3), n = luaL_checkinteger(L, 4);
  luaL_argcheck(L, n > 0 && n <= READ_MOST, 4, "too many bytes");
  ssize_t got = pread(fd, luaL_buffinitsize(L, &b, (size_t)n), (size_t)n, at);
  luaL_pushresultsize(&b, got < 0 ? 0 : (size_t)got);
  return 1;
}

static const luaL_Reg methods[] = {
    {"pid", command_pid},       {"fileno", command_fileno}, {"exitcode", command_exitcode},
    {"signal", command_signal}, {"size", command_size},     {"send", command_send},
    {"read", command_read},     {"close", command_close},   {NULL, NULL}};

void mp_lua_open_spawn(lua_State *L) {
  luaL_newmetatable(L, MP_COMMAND_TYPE);
  lua_pushcfunction(L, command_close);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, spawn);
  lua_setfield(L, -2, "spawn");
}
