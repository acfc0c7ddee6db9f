/* SPDX-License-Identifier: MIT */
/*
 * SIGTERM and SIGINT as news instead of ends: counted, and told by a descriptor that turns readable. Used by the supervisor
 * of a worker program, whose children take their own handlers.
 *
 *   counts    written by                      read by
 *   terms     the handler, + 1 each; it runs  the supervisor, at any time: a signal between two reads is in the next
 *   ints      in the supervisor alone
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <unistd.h>

enum { READ, WRITE };

static volatile sig_atomic_t terms, ints;
static int ends[2] = {-1, -1};
static pid_t owner;

static void on_signal(int sig) {
  int saved = errno;
  if (getpid() == owner) {
    if (sig == SIGTERM)
      terms = terms + 1;
    else
      ints = ints + 1;
    if (write(ends[WRITE], "", 1) < 0) { /* full: it is readable */
    }
  }
  errno = saved;
}

/* heed() -> a descriptor; or nil, message */
static int signals_heed(lua_State *L) {
  struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  if (ends[READ] < 0 && pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return luaL_fileresult(L, 0, "pipe");
  owner = getpid();
  sigemptyset(&act.sa_mask);
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGINT, &act, NULL);
  lua_pushinteger(L, ends[READ]);
  return 1;
}

/* counts() -> how often SIGTERM and SIGINT have come. The descriptor is not readable any more until the next. */
static int signals_counts(lua_State *L) {
  char drained[64];
  while (read(ends[READ], drained, sizeof drained) > 0) {}
  lua_pushinteger(L, terms);
  lua_pushinteger(L, ints);
  return 2;
}

#pragma GCC visibility push(default)
int luaopen_mproc_far_redis_signals(lua_State *L);
#pragma GCC visibility pop

int luaopen_mproc_far_redis_signals(lua_State *L) {
  static const luaL_Reg functions[] = {{"heed", signals_heed}, {"counts", signals_counts}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
