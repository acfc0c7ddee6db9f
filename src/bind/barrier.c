/* SPDX-License-Identifier: MIT */
/*
 * Barrier for Lua: a table with its box, its action and its timeout, so that they travel together. lua/mproc/sync.lua
 * checks what it is made of.
 */
#include "bind/object.h"

#include <errno.h>

#include "codec/codec.h"
#include "shm/sync/barrier.h"

enum { BOX = 1 }; /* the table's only key that is no name */
#define ACTION "action"
#define TIMEOUT "timeout"

static const char *name_of(const void *block) {
  (void)block;
  return MP_BARRIER_BOX;
}

static const mp_lua_object_class class = {MP_TYPE_BARRIER, 0, name_of, NULL, NULL};

/* The box in a barrier, or NULL. */
static mp_lua_box *box_at(lua_State *L, int idx) {
  if (!lua_istable(L, idx)) return NULL;
  lua_rawgeti(L, idx, BOX);
  mp_lua_box *box = mp_lua_box_test(L, -1, &class);
  lua_pop(L, 1);
  return box;
}

static mp_lua_box *check_box(lua_State *L) {
  mp_lua_box *box = box_at(L, 1);
  if (!box || !box->object) mp_lua_box_refuse(L, 1, "barrier");
  if (!mp_shm_usable()) mp_lua_enter(L);
  return box;
}

static mp_shm_barrier *check(lua_State *L) { return check_box(L)->object; }

static int push_field(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  return lua_rawget(L, 1);
}

/* For a wait that is given no timeout. */
static uint64_t own_deadline(lua_State *L) {
  push_field(L, TIMEOUT);
  uint64_t deadline = mp_lua_deadline(L, lua_gettop(L));
  lua_pop(L, 1);
  return deadline;
}

/* Pushes what a wait came to: index | nil, "timeout" | nil, "broken". Raises for the rest. */
static int push_outcome(lua_State *L, int r, uint64_t index) {
  if (r == 0) {
    lua_pushinteger(L, (lua_Integer)index);
    return 1;
  }
  if (r == -EDEADLK)
    return mp_lua_misuse(L, "this process is running the barrier's action, and all wait for that; wait after it");
  if (r != -ETIMEDOUT && r != -EPIPE) return mp_lua_push_failure(L, r, "barrier");
  lua_pushnil(L);
  lua_pushstring(L, r == -EPIPE ? "broken" : "timeout");
  return 2;
}

/* Runs the action at the top. It cannot yield: the others wait for it. */
static int act(lua_State *L, mp_shm_barrier *b) {
  int status = lua_pcall(L, 0, 0, 0);
  mp_lua_enter(L);
  if (status == LUA_OK) return mp_shm_barrier_release(b);
  mp_shm_barrier_leave(b);
  return lua_error(L);
}

/* Waits for all: 0 and the index, or why not. Raises what the action raises. */
static int meet(lua_State *L, uint64_t deadline, uint64_t *index) {
  int top = lua_gettop(L);
  mp_shm_barrier *b = check(L);
  mp_shm_wait w = mp_lua_wait(L, deadline);
  lua_rawgeti(L, 1, BOX); /* held here, whatever the action does to the table */
  bool acts = push_field(L, ACTION) != LUA_TNIL;
  int r = mp_shm_barrier_wait(b, acts, &w, index);
  if (r == MP_BARRIER_ACT) r = act(L, b);
  lua_settop(L, top);
  return r;
}

/* wait([timeout]) -> index | nil, "timeout" | nil, "broken" */
static int barrier_wait(lua_State *L) {
  uint64_t index = 0;
  check(L);
  int r = meet(L, lua_isnoneornil(L, 2) ? own_deadline(L) : mp_lua_deadline(L, 2), &index);
  return push_outcome(L, r, index);
}

/* A scope begins when all have met. */
static int scope_enter(lua_State *L, uint64_t deadline) {
  uint64_t index;
  check(L);
  return meet(L, deadline == MP_FOREVER ? own_deadline(L) : deadline, &index);
}

static int scope_refuse(lua_State *L, int r) { return push_outcome(L, r, 0); }

/* Who leaves it by an error will not come again: the others shall not wait for it. */
static int scope_leave(lua_State *L, int idx, bool failed) {
  mp_lua_box *box = box_at(L, idx);
  if (failed && box && box->object) mp_shm_barrier_abort(box->object);
  return 0;
}

static const mp_lua_scope scope = {"with", "guard", scope_enter, scope_refuse, scope_leave, NULL};

/* abort() */
static int barrier_abort(lua_State *L) {
  mp_shm_barrier_abort(check(L));
  return 0;
}

/* reset() */
static int barrier_reset(lua_State *L) {
  mp_shm_barrier_reset(check(L));
  return 0;
}

static int get_parties(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L)->parties);
  return 1;
}

static int get_n_waiting(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_shm_barrier_waiting(check(L)));
  return 1;
}

static int get_broken(lua_State *L) {
  lua_pushboolean(L, mp_shm_barrier_broken(check(L)));
  return 1;
}

static int barrier_tostring(lua_State *L) {
  mp_lua_box *box = check_box(L);
  mp_shm_barrier *b = box->object;
  lua_pushfstring(L, "Barrier %d: ", (int)(box->handle & MP_SLOT_MASK));
  if (mp_shm_barrier_broken(b))
    lua_pushliteral(L, "broken");
  else
    lua_pushfstring(L, "%I of %I waiting", (lua_Integer)mp_shm_barrier_waiting(b), (lua_Integer)b->parties);
  lua_concat(L, 2);
  return 1;
}

static int barrier_eq(lua_State *L) {
  mp_lua_box *a = box_at(L, 1), *b = box_at(L, 2);
  lua_pushboolean(L, a && b && a->handle == b->handle);
  return 1;
}

/* (barrier, key), with the methods and the getters as upvalues */
static int barrier_index(lua_State *L) {
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  lua_pushvalue(L, 2);
  lua_CFunction get = lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL ? NULL : lua_tocfunction(L, -1);
  return get ? get(L) : 1;
}

static int barrier_newindex(lua_State *L) {
  check(L);
  return mp_lua_misuse(L, lua_pushfstring(L, "a barrier's %s cannot be set", luaL_tolstring(L, 2, NULL)));
}

static const luaL_Reg methods[] = {
    {"wait", barrier_wait}, {"abort", barrier_abort}, {"reset", barrier_reset}, {NULL, NULL}};
static const luaL_Reg getters[] = {
    {"parties", get_parties}, {"n_waiting", get_n_waiting}, {"broken", get_broken}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {
    {"__tostring", barrier_tostring}, {"__eq", barrier_eq}, {"__newindex", barrier_newindex}, {NULL, NULL}};
static const luaL_Reg none[] = {{NULL, NULL}};

static void set_action_and_timeout(lua_State *L) {
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, ACTION);
  lua_pushvalue(L, 3);
  lua_setfield(L, -2, TIMEOUT);
}

/* barrier(parties, action or nil, timeout or nil) -> barrier | nil, message, NAME */
static int new_barrier(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  lua_settop(L, 3);
  lua_createtable(L, 1, 2);
  mp_lua_box *box = mp_lua_box_push(L, &class, MP_BARRIER_BOX);
  lua_rawseti(L, -2, BOX);
  set_action_and_timeout(L);
  luaL_setmetatable(L, MP_BARRIER_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_barrier_new((uint64_t)luaL_checkinteger(L, 1), &w, &h);
  if (err) return mp_lua_push_failure(L, err, "barrier");
  mp_lua_box_fill(box, h);
  return 1;
}

static void make_metatable(lua_State *L) {
  luaL_newmetatable(L, MP_BARRIER_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  mp_lua_scope_methods(L, &scope);
  lua_newtable(L);
  luaL_setfuncs(L, getters, 0);
  lua_pushcclosure(L, barrier_index, 2);
  lua_setfield(L, -2, "__index");
  mp_codec_register(L, MP_BARRIER_TYPE, -1, 0);
  lua_pop(L, 1);
}

void mp_lua_open_barrier(lua_State *L) {
  mp_lua_box_class(L, MP_BARRIER_BOX, &class, none, NULL);
  make_metatable(L);
  lua_pushcfunction(L, new_barrier);
  lua_setfield(L, -2, "barrier");
}
