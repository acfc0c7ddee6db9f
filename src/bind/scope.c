/* SPDX-License-Identifier: MIT */
/* with and guard for Lua. The contracts stand in scope.h. */
#include "bind/scope.h"

#include "bind/check.h"
#include "os/process.h"
#include "shm/arena/registry.h"

typedef struct guard {
  const mp_lua_scope *of;
  mp_shm_proc_ref holder; /* the process that acquired; 0: there is nothing to release */
} guard;

enum { OBJECT = 1, TIMEOUT = 2, FUNCTION = 2 }; /* stack */
enum { HELD = 1 };                              /* a guard's user value: the object */

static const mp_lua_scope *scope_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* --- what was acquired here, and may be held by a guard that Ctrl-C kept from reaching its variable --- */

static struct {
  mp_shm_proc_ref process; /* whose facts these are: a child begins anew */
  unsigned armed;          /* guards that hold */
  bool caught;             /* SIGINT had a handler when somebody last looked */
} stray;

static void begin_anew(void) {
  stray.process = mp_shm_proc_self();
  stray.armed = 0;
  stray.caught = mp_os_sigint_caught();
}

static void arm(guard *g) {
  g->holder = mp_shm_proc_self();
  if (stray.process != g->holder) begin_anew();
  stray.armed++;
}

static bool disarm(guard *g) {
  bool held = !mp_shm_inherited(g->holder);
  g->holder = 0;
  if (held && stray.armed) stray.armed--;
  return held;
}

/* collect_strays(): lua.c's handler gives SIGINT its default action back when it strikes. Guards that hold may then be
 * without a variable: a collection finds them. For calls that wait for other processes. */
static int collect_strays(lua_State *L) {
  if (!stray.armed) return 0;
  if (stray.process != mp_shm_proc_self()) begin_anew();
  bool was_caught = stray.caught;
  stray.caught = mp_os_sigint_caught();
  if (stray.armed && was_caught && !stray.caught) lua_gc(L, LUA_GCCOLLECT);
  return 0;
}

/* --- guards --- */

/* A guard of the object at idx, which holds nothing yet. */
static guard *push_guard(lua_State *L, const mp_lua_scope *s, int idx) {
  guard *g = lua_newuserdatauv(L, sizeof *g, HELD);
  *g = (guard){s, 0};
  luaL_setmetatable(L, MP_GUARD_TYPE);
  lua_pushvalue(L, idx);
  lua_setiuservalue(L, -2, HELD);
  return g;
}

static guard *check_guard(lua_State *L) { return luaL_checkudata(L, 1, MP_GUARD_TYPE); }

/* Releases; raises if that cannot be done and `tells`. */
static int end_guard(lua_State *L, bool failed, bool tells) {
  guard *g = check_guard(L);
  if (!disarm(g)) return 0;
  lua_getiuservalue(L, 1, HELD);
  int err = g->of->leave(L, lua_gettop(L), failed);
  return err && tells ? g->of->complain(L, lua_gettop(L), err) : 0;
}

/* release(), close(): a second one is harmless */
static int guard_release(lua_State *L) { return end_guard(L, false, true); }

static int guard_close(lua_State *L) {
  bool failed = !lua_isnoneornil(L, 2);
  return end_guard(L, failed, !failed);
}

static int guard_gc(lua_State *L) { return end_guard(L, false, false); }

static int guard_tostring(lua_State *L) {
  guard *g = check_guard(L);
  lua_getiuservalue(L, 1, HELD);
  lua_pushfstring(L, "mproc.Guard of %s%s", luaL_tolstring(L, -1, NULL), g->holder ? "" : ", released");
  return 1;
}

/* nil and the rest of what the class says. */
static int refuse(lua_State *L, const mp_lua_scope *s, int r) {
  int n = s->refuse(L, r);
  lua_pushnil(L);
  lua_replace(L, -n - 1);
  return n;
}

/* guard([timeout]) -> guard[, "abandoned"] | nil, word */
static int scope_guard(lua_State *L) {
  const mp_lua_scope *s = scope_of(L);
  lua_settop(L, TIMEOUT);
  uint64_t deadline = mp_lua_deadline(L, TIMEOUT);
  guard *g = push_guard(L, s, OBJECT);
  int r = s->enter(L, deadline);
  if (r < 0) return refuse(L, s, r);
  arm(g);
  if (mp_lua_is_interrupted(L)) { /* the hook would raise behind this function's end, and the guard be lost */
    disarm(g);
    s->leave(L, OBJECT, true);
    return mp_lua_interrupted(L);
  }
  if (r != MP_ABANDONED) return 1;
  mp_lua_note_abandoned(L);
  lua_pushliteral(L, "abandoned");
  return 2;
}

/* --- with --- */

static int note_abandoned(lua_State *L) {
  mp_lua_note_abandoned(L);
  return 0;
}

/* The function's end, `status`; the stack is its results or its error above `below` values. */
static int end_with(lua_State *L, const mp_lua_scope *s, int status, int below) {
  bool ok = status == LUA_OK || status == LUA_YIELD;
  int err = s->leave(L, OBJECT, !ok);
  if (!ok) return lua_error(L);
  return err ? s->complain(L, OBJECT, err) : lua_gettop(L) - below;
}

/* In a coroutine. What is closed there closes the guard, which lies below the function. */
static int end_guarded_with(lua_State *L, int status, lua_KContext below) {
  guard *g = lua_touserdata(L, FUNCTION);
  bool held = disarm(g);
  if (held) return end_with(L, g->of, status, (int)below);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) - (int)below : lua_error(L);
}

/* Logs that what is held now was left behind; it is let go if that raises. */
static void tell_abandoned(lua_State *L, const mp_lua_scope *s, guard *g) {
  lua_pushcfunction(L, note_abandoned);
  lua_pushvalue(L, OBJECT);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  if (g) disarm(g);
  s->leave(L, OBJECT, true);
  lua_error(L);
}

static int with_guarded(lua_State *L, const mp_lua_scope *s) {
  guard *g = push_guard(L, s, OBJECT);
  lua_insert(L, FUNCTION);
  lua_toclose(L, FUNCTION);
  int r = s->enter(L, MP_FOREVER);
  if (r < 0) return refuse(L, s, r);
  arm(g);
  if (r == MP_ABANDONED) tell_abandoned(L, s, g);
  int status = lua_pcallk(L, lua_gettop(L) - FUNCTION - 1, LUA_MULTRET, 0, FUNCTION, end_guarded_with);
  return end_guarded_with(L, status, FUNCTION);
}

/* with(f, ...) -> what f returns | nil, word */
static int scope_with(lua_State *L) {
  const mp_lua_scope *s = scope_of(L);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (!lua_isfunction(L, FUNCTION))
    return mp_lua_refuse(L, "with takes a function to call while it is held, got %s", mp_lua_show(L, FUNCTION));
  if (lua_isyieldable(L)) return with_guarded(L, s);
  int r = s->enter(L, MP_FOREVER);
  if (r < 0) return refuse(L, s, r);
  mp_shm_proc_ref holder = mp_shm_proc_self();
  if (r == MP_ABANDONED) tell_abandoned(L, s, NULL);
  int status = lua_pcall(L, lua_gettop(L) - FUNCTION, LUA_MULTRET, 0);
  if (!mp_shm_inherited(holder)) return end_with(L, s, status, OBJECT);
  return status == LUA_OK ? lua_gettop(L) - OBJECT : lua_error(L);
}

void mp_lua_scope_methods(lua_State *L, const mp_lua_scope *s) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  lua_pushcclosure(L, scope_with, 1);
  lua_setfield(L, -2, s->with);
  lua_pushlightuserdata(L, (void *)(uintptr_t)s);
  lua_pushcclosure(L, scope_guard, 1);
  lua_setfield(L, -2, s->guard);
}

void mp_lua_open_scope(lua_State *L) {
  static const luaL_Reg methods[] = {{"release", guard_release}, {"close", guard_release}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__close", guard_close}, {"__gc", guard_gc}, {"__tostring", guard_tostring}, {NULL, NULL}};
  luaL_newmetatable(L, MP_GUARD_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, collect_strays);
  lua_setfield(L, -2, "collect_strays");
}
