/* SPDX-License-Identifier: MIT */
/* What every binding shares. The contracts stand in bind.h. */
#include "bind/bind.h"

#include <errno.h>
#include <lualib.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "bind/shield.h"
#include "shm/arena/registry.h"

/* The mask and count that lua.c's SIGINT handler hooks the main thread with. */
#define LUA_C_MASK (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)

static lua_Hook scripts_hook; /* what debug.sethook sets, whose mask and count may be the same; NULL: not known */

void mp_lua_enter(lua_State *L) {
  if (mp_shm_usable()) return;
  luaL_error(L, "mproc belongs to the OS thread that first required it in this process; call it from there");
}

static int refuse_timeout(lua_State *L, int arg) {
  static const char *const blocks[] = {
      "false (Python's block is not needed: nil waits for ever, 0 does not wait)",
      "true (Python's block is not needed: nil waits for ever, 0 does not wait)",
  };
  int type = lua_type(L, arg);
  const char *got = type == LUA_TBOOLEAN  ? blocks[lua_toboolean(L, arg)]
                    : type == LUA_TNUMBER ? "NaN"
                                          : lua_pushfstring(L, "a %s", lua_typename(L, type));
  return mp_lua_misuse(L, lua_pushfstring(L, "timeout must be a number of seconds or nil, got %s", got));
}

uint64_t mp_lua_deadline_of(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return MP_FOREVER;
  lua_Number seconds = lua_type(L, arg) == LUA_TNUMBER ? lua_tonumber(L, arg) : (lua_Number)NAN;
  if (isnan(seconds)) refuse_timeout(L, arg);
  uint64_t ns = mp_os_duration((double)seconds);
  return ns == 0 || ns >= MP_FROM_NOW ? ns : MP_FROM_NOW | ns;
}

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *m = lua_tothread(L, -1);
  lua_pop(L, 1);
  return m;
}

static bool is_lua_c_hook(lua_State *L) { return lua_gethookmask(L) == LUA_C_MASK && lua_gethookcount(L) == 1; }

/* The hook fires in the main Lua thread only: a wait, above all one inside a coroutine, must look for itself. */
int mp_lua_wants_interrupt(void *arg) {
  lua_State *m = main_thread(arg);
  lua_Hook hook = lua_gethook(m);
  return hook && hook != scripts_hook && is_lua_c_hook(m);
}

bool mp_lua_is_foreign_hook(lua_State *L) {
  lua_Hook hook = lua_gethook(L);
  return hook && hook != scripts_hook && !is_lua_c_hook(L);
}

MP_HOT_AFTER_FORK void mp_lua_drop_hook(lua_State *L, lua_Hook before) {
  if (!before && scripts_hook && lua_gethook(L) == scripts_hook) lua_sethook(L, NULL, 0, 0);
}

bool mp_lua_is_interrupted(lua_State *L) { return mp_lua_wants_interrupt(L); }

void mp_lua_forget_interrupt(lua_State *L) {
  if (mp_lua_is_interrupted(L)) lua_sethook(main_thread(L), NULL, 0, 0);
}

/* Has debug.sethook hook a thread that never runs. */
static void learn_scripts_hook(lua_State *L) {
  int top = lua_gettop(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_DBLIBNAME) == LUA_TTABLE && lua_getfield(L, -1, "sethook") == LUA_TFUNCTION) {
    lua_State *thread = lua_newthread(L);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_pushliteral(L, "c");
    lua_call(L, 3, 0);
    scripts_hook = lua_gethook(thread);
  }
  lua_settop(L, top);
}

void mp_lua_raise_terminated(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(main_thread(L), NULL, 0, 0);
  luaL_error(L, "the worker is told to end");
}

static lua_Integer ninterrupts; /* waits that Ctrl-C has ended */

int mp_lua_interrupted(lua_State *L) {
  lua_State *m = main_thread(L);
  if (lua_gethook(m) == mp_lua_raise_terminated) mp_lua_raise_terminated(L, NULL);
  lua_sethook(m, NULL, 0, 0);
  ninterrupts++;
  return luaL_error(L, "interrupted!");
}

/* interrupts() -> how many of mproc's waits Ctrl-C has ended in this process: so their errors are told from others */
static int interrupts(lua_State *L) {
  lua_pushinteger(L, ninterrupts);
  return 1;
}

static void raise_again(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

/* interrupt_again(): Ctrl-C that came where it could not be raised ends what comes next, as lua.c's hook does. */
static int interrupt_again(lua_State *L) {
  lua_sethook(main_thread(L), raise_again, LUA_C_MASK, 1);
  return 0;
}

static char ours[4096]; /* what the sources of mproc's own Lua files begin with */

static bool is_ours(const char *source) { return ours[0] && strncmp(source, ours, strlen(ours)) == 0; }

/* own_sources(prefix), by lua/mproc/errors.lua */
static int own_sources(lua_State *L) {
  const char *prefix = luaL_checkstring(L, 1);
  if (strlen(prefix) < sizeof ours) strcpy(ours, prefix);
  return 0;
}

/* The frame of the user's program that called into mproc: functions of mproc's own may lie between, and pcall and such,
 * which have no lines. Where they run in a thread of their own, the search goes on in the one that called them. */
static bool find_user(lua_State *L, lua_Debug *ar) {
  for (lua_State *at = L; at; at = mp_lua_shield_caller(at))
    for (int level = at == L; lua_getstack(at, level, ar) && lua_getinfo(at, "Sl", ar); level++)
      if (*ar->what != 'C' && !is_ours(ar->source)) return true;
  return false;
}

static void push_where(lua_State *L) {
  lua_Debug ar;
  if (find_user(L, &ar) && ar.currentline > 0)
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
  else
    lua_pushliteral(L, "");
}

/* where() -> "file:line" of the user's program that called into mproc, or nil */
static int where(lua_State *L) {
  lua_Debug ar;
  if (!find_user(L, &ar)) return 0;
  lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
  return 1;
}

/* misuse(message): raises it at that line. */
static int misuse(lua_State *L) { return mp_lua_misuse(L, luaL_checkstring(L, 1)); }

int mp_lua_misuse(lua_State *L, const char *what) {
  push_where(L);
  lua_pushstring(L, what);
  lua_concat(L, 2);
  return lua_error(L);
}

static const struct {
  int err;
  const char *name;
} names[] = {
    {EAGAIN, "EAGAIN"},
    {EACCES, "EACCES"},
    {EBADF, "EBADF"},
    {ECHILD, "ECHILD"},
    {EEXIST, "EEXIST"},
    {EFBIG, "EFBIG"},
    {EINTR, "EINTR"},
    {EINVAL, "EINVAL"},
    {EIO, "EIO"},
    {ELOOP, "ELOOP"},
    {EISDIR, "EISDIR"},
    {ENXIO, "ENXIO"},
    {ENODEV, "ENODEV"},
    {EROFS, "EROFS"},
    {EOVERFLOW, "EOVERFLOW"},
    {EMFILE, "EMFILE"},
    {ENFILE, "ENFILE"},
    {ENOENT, "ENOENT"},
    {ENOMEM, "ENOMEM"},
    {ENOSPC, "ENOSPC"},
    {ENOSYS, "ENOSYS"},
    {EPERM, "EPERM"},
    {EPIPE, "EPIPE"},
    {ESRCH, "ESRCH"},
    {ETIMEDOUT, "ETIMEDOUT"},
    {EADDRINUSE, "EADDRINUSE"},
    {EADDRNOTAVAIL, "EADDRNOTAVAIL"},
    {EAFNOSUPPORT, "EAFNOSUPPORT"},
    {EBADMSG, "EBADMSG"},
    {ECONNABORTED, "ECONNABORTED"},
    {ECONNREFUSED, "ECONNREFUSED"},
    {ECONNRESET, "ECONNRESET"},
    {EHOSTUNREACH, "EHOSTUNREACH"},
    {EMSGSIZE, "EMSGSIZE"},
    {ENAMETOOLONG, "ENAMETOOLONG"},
    {ENETUNREACH, "ENETUNREACH"},
    {ENOTDIR, "ENOTDIR"},
    {ENOTSOCK, "ENOTSOCK"},
    {ETOOMANYREFS, "ETOOMANYREFS"},
};

static const char *name_of(int err) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].err == err) return names[i].name;
  return "EOTHER";
}

int mp_lua_fail(lua_State *L, int err, const char *what) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", what, strerror(-err));
  lua_pushstring(L, name_of(-err));
  return 3;
}

int mp_lua_push_failure(lua_State *L, int err, const char *what) {
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err != -ENOMEM) return mp_lua_fail(L, err, what);
  lua_pushnil(L);
  lua_pushliteral(L, MP_FULL_ARENA);
  lua_pushliteral(L, "ENOMEM");
  return 3;
}

void mp_lua_open_errors(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"own_sources", own_sources},         {"where", where}, {"misuse", misuse}, {"interrupts", interrupts},
      {"interrupt_again", interrupt_again}, {NULL, NULL}};
  learn_scripts_hook(L);
  luaL_setfuncs(L, functions, 0);
}
