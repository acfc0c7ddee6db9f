/* SPDX-License-Identifier: MIT */
/*
 * Condition for Lua: a table of two boxes, the condition's and its lock's, so that both travel and live with it. Its
 * methods are C functions that take the table apart, so that a mistake blames the caller's line. lua/mproc/sync.lua
 * adds wait_for.
 */
#include "shm/sync/condition.h"

#include <errno.h>

#include "bind/check.h"
#include "bind/mutex.h"

#define CORE_TYPE MP_CONDITION_TYPE ".core"

enum { SELF_CONDITION = 1, SELF_LOCK }; /* its fields */

static const char *name_of(const void *block) {
  (void)block;
  return CORE_TYPE;
}

static const mp_lua_object_class class = {MP_TYPE_CONDITION, 0, name_of, NULL, NULL};

typedef struct self {
  mp_lua_box *condition, *lock;
} self;

static int refuse(lua_State *L) { return mp_lua_box_refuse(L, 1, "condition"); }

/* Puts the two boxes on the stack, where they live as long as the call. */
static self check(lua_State *L) {
  if (!lua_istable(L, 1)) refuse(L);
  lua_rawgeti(L, 1, SELF_CONDITION);
  lua_rawgeti(L, 1, SELF_LOCK);
  self s = {mp_lua_box_test(L, -2, &class), mp_lua_mutex_box(L, -1)};
  if (!s.condition || !s.lock) refuse(L);
  if (!s.condition->object) mp_lua_box_refuse(L, lua_gettop(L) - 1, "condition");
  if (!s.lock->object) mp_lua_box_refuse(L, lua_gettop(L), "lock");
  if (!mp_shm_usable()) mp_lua_enter(L);
  return s;
}

static self check_held(lua_State *L, const char *method) {
  self s = check(L);
  if (!mp_shm_mutex_mine(s.lock->object))
    mp_lua_misuse(L, lua_pushfstring(L,
                                     "cannot %s: this process does not hold the condition's lock; acquire the lock "
                                     "first, as in c:with(function() c:%s() end)",
                                     method, method));
  return s;
}

/* wait([timeout]) -> true[, "abandoned"] | false, "timeout"[, "abandoned"]. Releases the lock meanwhile. */
static int condition_wait(lua_State *L) {
  lua_settop(L, 2);
  self s = check_held(L, "wait");
  bool abandoned;
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  int r =
      mp_shm_condition_wait(s.condition->object, s.condition->handle, s.lock->object, s.lock->handle, &w, &abandoned);
  if (r != 0 && r != -ETIMEDOUT) return mp_lua_push_failure(L, r, "condition");
  lua_pushboolean(L, r == 0);
  if (r != 0) lua_pushliteral(L, "timeout");
  if (abandoned) mp_lua_note_abandoned(L), lua_pushliteral(L, "abandoned");
  return 1 + (r != 0) + abandoned;
}

static int notify(lua_State *L, const char *method, uint64_t n) {
  self s = check_held(L, method);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_condition_notify(s.condition->object, s.condition->handle, s.lock->handle, n, &w);
  return err ? mp_lua_push_failure(L, err, "condition") : 0;
}

/* notify([n = 1]) */
static int condition_notify(lua_State *L) {
  lua_Integer n = mp_lua_opt_count(L, 2, "n", 0, "the number of waiters to wake, an integer that is not negative", 1);
  return notify(L, "notify", (uint64_t)n);
}

/* notify_all() */
static int condition_notify_all(lua_State *L) { return notify(L, "notify_all", UINT64_MAX); }

static int condition_tostring(lua_State *L) {
  self s = check(L);
  unsigned n = mp_shm_condition_waiting(s.condition->object);
  const char *lock = luaL_tolstring(L, lua_gettop(L), NULL);
  lua_pushfstring(L, "Condition %d (%s): %d waiting", (int)(s.condition->handle & MP_SLOT_MASK), lock, (int)n);
  return 1;
}

static int condition_eq(lua_State *L) {
  if (!lua_istable(L, 1) || !lua_istable(L, 2)) return 0;
  lua_rawgeti(L, 1, SELF_CONDITION);
  lua_rawgeti(L, 2, SELF_CONDITION);
  lua_pushboolean(L, lua_compare(L, -2, -1, LUA_OPEQ));
  return 1;
}

/* A method of its lock, in the upvalue. */
static int of_lock(lua_State *L) {
  check(L);
  lua_replace(L, 1);
  lua_pop(L, 1);
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* condition([lock]): a Lock or RLock; nil: an RLock of its own, from the function in the upvalue. A failure is nil, message,
 * NAME. */
static int new_condition(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, 3);
    if (lua_isnil(L, 1)) return 3;
  }
  if (!mp_lua_mutex_box(L, 1)) luaL_typeerror(L, 1, "lock (what mproc.Lock() or mproc.RLock() gives)");
  lua_createtable(L, 2, 0);
  luaL_setmetatable(L, MP_CONDITION_TYPE);
  mp_lua_box *b = mp_lua_box_push(L, &class, CORE_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_condition_new(&w, &h);
  if (err) return mp_lua_push_failure(L, err, "condition");
  mp_lua_box_fill(b, h);
  lua_rawseti(L, -2, SELF_CONDITION);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, SELF_LOCK);
  return 1;
}

static const luaL_Reg methods[] = {
    {"wait", condition_wait}, {"notify", condition_notify}, {"notify_all", condition_notify_all}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__tostring", condition_tostring}, {"__eq", condition_eq}, {NULL, NULL}};
static const luaL_Reg nothing[] = {{NULL, NULL}};
static const char *const lock_methods[] = {"acquire", "release", "locked", "owner", "mine", NULL};

/* The scopes of its lock. */
static int scope_enter(lua_State *L, uint64_t deadline) {
  int top = lua_gettop(L);
  mp_lua_box *lock = check(L).lock;
  int r = mp_lua_mutex_enter(L, lock, deadline);
  lua_settop(L, top);
  return r;
}

static int scope_leave(lua_State *L, int idx, bool failed) {
  (void)failed;
  lua_rawgeti(L, idx, SELF_LOCK);
  mp_lua_box *b = mp_lua_mutex_box(L, -1);
  if (b && b->object && mp_shm_mutex_mine(b->object)) mp_lua_mutex_leave(b);
  lua_pop(L, 1);
  return 0;
}

static const mp_lua_scope scope = {"with", "guard", scope_enter, mp_lua_mutex_result, scope_leave, NULL};

/* Adds the lock's methods to the table on the stack's top. */
static void add_lock_methods(lua_State *L) {
  luaL_getmetatable(L, MP_LOCK_TYPE);
  lua_getfield(L, -1, "__index");
  for (const char *const *name = lock_methods; *name; name++) {
    lua_getfield(L, -1, *name);
    lua_pushcclosure(L, of_lock, 1);
    lua_setfield(L, -4, *name);
  }
  lua_pop(L, 2);
}

void mp_lua_open_condition(lua_State *L) {
  mp_lua_box_class(L, CORE_TYPE, &class, nothing, NULL);
  luaL_newmetatable(L, MP_CONDITION_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  add_lock_methods(L);
  mp_lua_scope_methods(L, &scope);
  lua_setfield(L, -2, "__index");
  mp_codec_register(L, MP_CONDITION_TYPE, -1, 0);
  lua_pop(L, 1);
  lua_getfield(L, -1, "rlock");
  lua_pushcclosure(L, new_condition, 1);
  lua_setfield(L, -2, "condition");
}
