/* SPDX-License-Identifier: MIT */
/*
 * The shield (layer 3): runs functions of mproc's own where no hook of the program's can end them between two instructions.
 * A debug hook belongs to one Lua thread; Ctrl-C's and a script's raise in the thread that they were set for. So a shielded
 * function runs in a thread of its own, and user code that it calls runs in the thread that called the shielded function.
 * Used by lua/mproc.
 *
 * A slot is such a thread with its state:
 *   free     in shield.free; its thread's stack is empty
 *   active   in the list shield.active; its thread runs, or is suspended while user code runs in `caller`
 * shield.slots[place] refers to a slot, free or active. From the first suspension on, the caller's stack refers to it
 * instead, as a to-be-closed variable: a coroutine that is closed meanwhile, or collected, takes the slot along.
 * Invariant: a free slot has a place; a slot without a place is referred to by its caller's stack at CELL.
 */
#include "bind/shield.h"

#include <stdbool.h>

#include "bind/bind.h"
#include "os/process.h"

enum { PLACES = 8 /* slots that are kept for the next call */ };

typedef struct cell cell;

typedef struct shield {
  cell *active; /* the last that was entered comes first */
  cell *free[PLACES];
  int nfree;
  bool taken[PLACES + 1]; /* taken[place]: slots[place] refers to a slot */
} shield;

struct cell {
  shield *owner;
  lua_State *thread;
  lua_State *caller; /* NULL: not active */
  cell *next, *previous;
  int place;            /* 0: none */
  bool calls_user;      /* suspended by outside(), not by a yield of other code */
  bool could_interrupt; /* Ctrl-C was still to come when that began */
};

/* Upvalues of a shielded function; outside() has the last alone. */
enum { FUNCTION = 1, CELLS, SHIELD };
enum { OUTSIDE_SHIELD = 1 };

enum { CELL = 1 /* in the caller's stack, once the slot has no place */ };

static const char registry_key; /* registry[&registry_key] is the shield */

/* --- slots --- */

static void enter(cell *c, lua_State *caller) {
  shield *s = c->owner;
  c->caller = caller;
  c->previous = NULL;
  c->next = s->active;
  if (s->active) s->active->previous = c;
  s->active = c;
}

static void leave(cell *c) {
  if (!c->caller) return;
  *(c->previous ? &c->previous->next : &c->owner->active) = c->next;
  if (c->next) c->next->previous = c->previous;
  c->caller = NULL;
}

static cell *active_in(const shield *s, const lua_State *thread) {
  cell *c = s->active;
  while (c && c->thread != thread) c = c->next;
  return c;
}

static int find_place(const shield *s) {
  for (int place = 1; place <= PLACES; place++)
    if (!s->taken[place]) return place;
  return 0;
}

/* The slot at idx of a shielded function's stack gets a place, if there is one. The table has room: this cannot fail. */
static void give_place(lua_State *L, cell *c, int idx) {
  c->place = find_place(c->owner);
  if (!c->place) return;
  lua_pushvalue(L, idx);
  lua_rawseti(L, lua_upvalueindex(CELLS), c->place);
  c->owner->taken[c->place] = true;
}

/* The caller's stack, which is empty, refers to the slot from now on. */
static void hold(lua_State *L, cell *c) {
  if (!c->place) return;
  lua_rawgeti(L, lua_upvalueindex(CELLS), c->place);
  lua_pushnil(L);
  lua_rawseti(L, lua_upvalueindex(CELLS), c->place);
  c->owner->taken[c->place] = false;
  c->place = 0;
  lua_toclose(L, CELL);
}

/* Pushes a slot that is in no list. */
static cell *push_cell(lua_State *L, shield *s) {
  cell *c = lua_newuserdatauv(L, sizeof *c, 1);
  *c = (cell){s, NULL, NULL, NULL, NULL, 0, false, false};
  luaL_setmetatable(L, MP_SHIELD_TYPE);
  c->thread = lua_newthread(L);
  lua_setiuservalue(L, -2, 1);
  return c;
}

/* A slot for a call whose arguments are on the stack. It lies below them if it has no place. */
static cell *take_cell(lua_State *L, shield *s) {
  if (s->nfree) return s->free[--s->nfree];
  luaL_checkstack(L, 3, NULL);
  cell *c = push_cell(L, s);
  give_place(L, c, -1);
  if (c->place) {
    lua_pop(L, 1);
  } else {
    lua_insert(L, CELL);
    lua_toclose(L, CELL);
  }
  return c;
}

/* The call has ended, and the thread's stack is empty or will be at once. The slot is kept if there is a place. */
static void release(lua_State *L, cell *c) {
  leave(c);
  if (!c->place) give_place(L, c, CELL);
  if (c->place) c->owner->free[c->owner->nfree++] = c;
}

/* Profilers see what is shielded as well. */
static void set_hook(lua_State *L, lua_State *thread) {
  bool keep = mp_lua_is_foreign_hook(L);
  lua_Hook hook = keep ? lua_gethook(L) : NULL;
  if (lua_gethook(thread) != hook)
    lua_sethook(thread, hook, keep ? lua_gethookmask(L) : 0, keep ? lua_gethookcount(L) : 0);
}

/* --- a call --- */

static int carry(lua_State *L, cell *c, int nargs);

static int finish(lua_State *L, cell *c, int nresults) {
  release(L, c);
  if (!lua_checkstack(L, nresults)) {
    lua_settop(c->thread, 0);
    return luaL_error(L, "too many results");
  }
  lua_xmove(c->thread, L, nresults);
  return nresults;
}

/* Raises the error that stands on the thread's top, after its to-be-closed variables are closed. */
static int fail(lua_State *L, cell *c) {
  bool ended = lua_status(c->thread) > LUA_YIELD; /* else it could not be resumed */
  if (ended) lua_resetthread(c->thread);
  lua_xmove(c->thread, L, 1);
  if (!ended) lua_resetthread(c->thread);
  lua_settop(c->thread, 0);
  release(L, c);
  return lua_error(L);
}

/* Whether Ctrl-C may still come: SIGINT has a handler, or that has run and its hook is to raise yet. */
static bool can_interrupt(lua_State *L) { return mp_os_sigint_caught() || mp_lua_is_interrupted(L); }

/* true; false for an error; nil for Ctrl-C: lua.c's handler gives SIGINT its default action back when it strikes. */
static void push_outcome(lua_State *L, int status, bool could_interrupt) {
  if (status != LUA_OK && status != LUA_YIELD && could_interrupt && !mp_os_sigint_caught())
    lua_pushnil(L);
  else
    lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
}

/* What the user's function returned or raised, for the thread to go on with. Returns how many values that is. */
static int hand_back(lua_State *L, cell *c, int status) {
  int n = lua_gettop(L) - CELL;
  if (!lua_checkstack(c->thread, n + 1)) {
    lua_settop(L, CELL);
    lua_pushliteral(L, "too many results");
    status = LUA_ERRRUN;
    n = 1;
  }
  c->calls_user = false;
  push_outcome(c->thread, status, c->could_interrupt);
  lua_xmove(L, c->thread, n);
  return n + 1;
}

static int after_call(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  cell *c = lua_touserdata(L, CELL);
  return carry(L, c, hand_back(L, c, status));
}

static int after_yield(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  cell *c = lua_touserdata(L, CELL);
  int n = lua_gettop(L) - CELL;
  if (!lua_checkstack(c->thread, n)) return luaL_error(L, "too many values");
  lua_xmove(L, c->thread, n);
  return carry(L, c, n);
}

/* Runs the slot's thread, which has got nargs values, to its end. */
static int carry(lua_State *L, cell *c, int nargs) {
  int status, n;
  while ((status = lua_resume(c->thread, L, nargs, &n)) == LUA_YIELD) {
    hold(L, c);
    luaL_checkstack(L, n, "too many values");
    lua_xmove(c->thread, L, n);
    if (!c->calls_user) return lua_yieldk(L, n, 0, after_yield);
    status = lua_pcallk(L, n - 1, LUA_MULTRET, 0, 0, after_call);
    nargs = hand_back(L, c, status);
  }
  return status == LUA_OK ? finish(L, c, n) : fail(L, c);
}

static int after_inner(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return lua_gettop(L);
}

/* What is called inside a shield needs none of its own. */
static int call_inner(lua_State *L) {
  int nargs = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(FUNCTION));
  lua_insert(L, 1);
  lua_callk(L, nargs, LUA_MULTRET, 0, after_inner);
  return lua_gettop(L);
}

static int shielded(lua_State *L) {
  shield *s = lua_touserdata(L, lua_upvalueindex(SHIELD));
  if (s->active && s->active->thread == L) return call_inner(L);
  int nargs = lua_gettop(L);
  cell *c = take_cell(L, s);
  enter(c, L);
  set_hook(L, c->thread);
  if (!lua_checkstack(c->thread, nargs + 1)) {
    release(L, c);
    return luaL_error(L, "too many arguments");
  }
  lua_pushvalue(L, lua_upvalueindex(FUNCTION));
  lua_xmove(L, c->thread, 1);
  lua_xmove(L, c->thread, nargs);
  return carry(L, c, nargs);
}

/* --- user code --- */

static int after_inside(lua_State *L, int status, lua_KContext could_interrupt) {
  luaL_checkstack(L, 1, "too many results");
  push_outcome(L, status, could_interrupt);
  lua_insert(L, 1);
  return lua_gettop(L);
}

/* outside(f, ...) -> true, results... | false, error | nil, error when Ctrl-C was the error. Inside a shielded function f is
 * called in the thread that called that one, with its hooks, and may yield. Elsewhere, and where this thread cannot be
 * suspended (a finalizer, a comparison of table.sort's), it is called here. */
static int outside(lua_State *L) {
  shield *s = lua_touserdata(L, lua_upvalueindex(OUTSIDE_SHIELD));
  cell *c = active_in(s, L);
  bool could_interrupt = can_interrupt(L);
  luaL_checkany(L, 1);
  if (!c || !lua_isyieldable(L))
    return after_inside(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, could_interrupt, after_inside),
                        could_interrupt);
  c->calls_user = true;
  c->could_interrupt = could_interrupt;
  return lua_yield(L, lua_gettop(L));
}

/* --- ends --- */

/* The caller is closed while it runs user code: what the shielded function has to close is closed. After a call that has
 * ended there is nothing to do. */
static int cell_close(lua_State *L) {
  cell *c = luaL_checkudata(L, 1, MP_SHIELD_TYPE);
  if (c->caller != L) return 0; /* it may serve another call by now */
  int status = lua_resetthread(c->thread);
  leave(c);
  if (status == LUA_OK || status == LUA_YIELD) return 0;
  lua_xmove(c->thread, L, 1);
  return lua_error(L);
}

static int cell_gc(lua_State *L) {
  leave(luaL_checkudata(L, 1, MP_SHIELD_TYPE));
  return 0;
}

lua_State *mp_lua_shield_caller(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  const shield *s = lua_touserdata(L, -1);
  lua_pop(L, 1);
  const cell *c = s ? active_in(s, L) : NULL;
  return c ? c->caller : NULL;
}

/* shield(f): a function that runs f where no hook is. What f returns and raises, it returns and raises. */
static int new_shielded(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushcclosure(L, shielded, SHIELD);
  return 1;
}

/* call(f, ...) -> what f returns: an error of a C function then names no line of its caller, which is mproc's */
static int call_plainly(lua_State *L) {
  luaL_checkany(L, 1);
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, after_inner);
  return lua_gettop(L);
}

/* is_c_function(value): whether it is a function, and not one of Lua */
MP_HOT_AFTER_FORK static int is_c_function(lua_State *L) {
  lua_pushboolean(L, lua_iscfunction(L, 1));
  return 1;
}

/* may_interrupt(): whether Ctrl-C may still come. Where it could, and catches_sigint() is false after an error, that
 * was the error. */
static int may_interrupt(lua_State *L) {
  lua_pushboolean(L, can_interrupt(L));
  return 1;
}

/* catches_sigint(): whether SIGINT has a handler */
static int catches_sigint(lua_State *L) {
  lua_pushboolean(L, mp_os_sigint_caught());
  return 1;
}

static void make_class(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__close", cell_close}, {"__gc", cell_gc}, {NULL, NULL}};
  luaL_newmetatable(L, MP_SHIELD_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
}

/* Adds the functions to the table at idx; they share the n values at the top as upvalues. */
static void add(lua_State *L, int idx, const luaL_Reg *functions, int n) {
  lua_pushvalue(L, idx);
  lua_insert(L, -n - 1);
  luaL_setfuncs(L, functions, n);
  lua_pop(L, 1);
}

void mp_lua_open_shield(lua_State *L) {
  static const luaL_Reg makers[] = {{"shield", new_shielded}, {NULL, NULL}};
  static const luaL_Reg callers[] = {{"outside", outside}, {NULL, NULL}};
  static const luaL_Reg others[] = {{"call", call_plainly},
                                    {"is_c_function", is_c_function},
                                    {"catches_sigint", catches_sigint},
                                    {"may_interrupt", may_interrupt},
                                    {NULL, NULL}};
  int module = lua_gettop(L);
  make_class(L);
  lua_createtable(L, PLACES, 0);
  shield *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (shield){NULL, {NULL}, 0, {false}};
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  lua_pushvalue(L, -1);
  add(L, module, callers, 1);
  add(L, module, makers, 2);
  add(L, module, others, 0);
}
