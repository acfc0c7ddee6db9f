/* SPDX-License-Identifier: MIT */
/* Facts and small services of the system (layer 3): numbers, clocks, randomness, whole lines. Free of any object. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bind/bind.h"
#include "bind/check.h"
#include "os/process.h"
#include "process/fork_server.h"
#include "process/log.h"
#include "shm/arena/monitor.h"
#include "shm/wait/wait_queue.h"

#define NS_PER_S 1e9

/* A wait that sleeps does not count as an awake process, for those that would spin. */
static int sleep_until(mp_shm_wait *w) {
  bool counted = mp_shm_usable();
  uint64_t slice = MP_SLICE;
  int err;
  if (counted) mp_shm_wait_queue_asleep(MP_WAITS(MP_WAITS_SLEEP, 0));
  do {
    mp_os_sleep(mp_shm_wait_longer(w, &slice, MP_SLICE_IDLE));
    err = mp_shm_wait_check(w);
  } while (!err);
  if (counted) mp_shm_wait_queue_awake();
  return err;
}

/* sleep(seconds) */
static int system_sleep(lua_State *L) {
  if (lua_type(L, 1) != LUA_TNUMBER || lua_tonumber(L, 1) != lua_tonumber(L, 1))
    return mp_lua_refuse(L, "seconds must be a number, got %s", lua_isnone(L, 1) ? "nothing" : mp_lua_show(L, 1));
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 1));
  if (w.deadline && sleep_until(&w) == -EINTR) return mp_lua_interrupted(L);
  return 0;
}

/* time() -> seconds, monotonic */
static int system_time(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mp_os_now() / NS_PER_S);
  return 1;
}

MP_HOT_AFTER_FORK static int system_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* field(value, key) -> what a table has under that key, raw; nil for anything that is no table. Unlike type() it makes
 * no string, so that a fresh child, which pays for each page it touches, touches fewer. */
MP_HOT_AFTER_FORK static int system_field(lua_State *L) {
  if (!lua_istable(L, 1)) return 0;
  lua_settop(L, 2);
  lua_rawget(L, 1);
  return 1;
}

/* inherited(pid): true of what another process has made, where that noted its pid: a fork brought it here, and it is only
 * looked at. */
MP_HOT_AFTER_FORK static int system_inherited(lua_State *L) {
  lua_pushboolean(L, lua_tointeger(L, 1) != getpid());
  return 1;
}

static int system_getppid(lua_State *L) {
  lua_pushinteger(L, mp_process_parent_pid());
  return 1;
}

/* What the environment says instead, checked. */
static int cpu_override(lua_State *L, const char *text) {
  int is_integer = 0;
  lua_Integer n = lua_stringtonumber(L, text) ? lua_tointegerx(L, -1, &is_integer) : 0;
  if (!is_integer || n < 1) return luaL_error(L, "MPROC_CPU_COUNT must be a whole number from 1 up, it is '%s'", text);
  lua_pushinteger(L, n);
  return 1;
}

/* cpu_count() -> CPUs that may be used, or MPROC_CPU_COUNT */
static int system_cpu_count(lua_State *L) {
  const char *override = getenv("MPROC_CPU_COUNT");
  if (override && *override) return cpu_override(L, override);
  lua_pushinteger(L, mp_os_cpu_count());
  return 1;
}

/* cpu_quota(membership, mount) -> CPUs that the cgroup files there allow, 0 for any number. For tests. */
static int system_cpu_quota(lua_State *L) {
  lua_pushinteger(L, mp_os_cpu_quota(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
  return 1;
}

/* random() -> two integers of the system's randomness */
MP_HOT_AFTER_FORK static int system_random(lua_State *L) {
  lua_Integer seeds[2];
  int err = mp_os_random(seeds, sizeof seeds);
  if (err) return mp_lua_fail(L, err, "no randomness");
  lua_pushinteger(L, seeds[0]);
  lua_pushinteger(L, seeds[1]);
  return 2;
}

static bool prefixed; /* print begins with the name of the process; inherited by fork */

static void add_prefix(luaL_Buffer *line) {
  char name[MP_PROC_NAME];
  mp_process_log_process(name);
  luaL_addchar(line, '[');
  luaL_addstring(line, name);
  luaL_addstring(line, "] ");
}

/* Replaces the arguments by the line that print would write. */
static const char *make_line(lua_State *L, size_t *n) {
  luaL_Buffer line;
  int count = lua_gettop(L);
  luaL_buffinit(L, &line);
  if (prefixed) add_prefix(&line);
  for (int i = 1; i <= count; i++) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n');
  luaL_pushresult(&line);
  return lua_tolstring(L, -1, n);
}

/* print(...): one line, whole, in order with what io.write has buffered. Nothing, or nil, message, NAME */
static int system_print(lua_State *L) {
  size_t n;
  const char *line = make_line(L, &n);
  fflush(stdout);
  int err = mp_os_write_line(STDOUT_FILENO, line, n);
  return err ? mp_lua_fail(L, err, "print") : 0;
}

/* print_prefix([on]) -> whether it was on: here, and in processes that start from now on */
static int system_print_prefix(lua_State *L) {
  bool before = prefixed;
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TBOOLEAN);
    prefixed = lua_toboolean(L, 1);
  }
  lua_pushboolean(L, before);
  return 1;
}

/* write_stderr(text): in one write */
static int system_write_stderr(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 1, &n);
  mp_os_write_line(STDERR_FILENO, text, n);
  return 0;
}

/* flush(): all that this process has written and the C library still holds */
static int system_flush(lua_State *L) {
  (void)L;
  fflush(NULL);
  return 0;
}

static const luaL_Reg functions[] = {
    {"sleep", system_sleep},
    {"time", system_time},
    {"getpid", system_getpid},
    {"getppid", system_getppid},
    {"inherited", system_inherited},
    {"cpu_count", system_cpu_count},
    {"cpu_quota", system_cpu_quota},
    {"random", system_random},
    {"print", system_print},
    {"print_prefix", system_print_prefix},
    {"write_stderr", system_write_stderr},
    {"flush", system_flush},
    {"field", system_field},
    {NULL, NULL},
};

void mp_lua_open_system(lua_State *L) { luaL_setfuncs(L, functions, 0); }
