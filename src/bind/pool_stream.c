/* SPDX-License-Identifier: MIT */
/*
 * What a stream does for each item, in one C call (layer 3): reading it, and giving its result, when that is here already.
 * Whatever is less simple is Lua's. Called by lua/mproc/pool/owner/source.lua and lua/mproc/pool/calls/imap.lua.
 * Invariant: a result is taken out of its job and given by the same call, in which nothing can raise.
 */
#include <stdbool.h>

#include "bind/pool_message.h"
#include "shm/arena/registry.h"

/* --- reading --- */

/* The arguments of read. */
enum { LIST = 1, NEXT, STATE, CONTROL, MOST };

/* With what the iterator has given on the stack; n items are in the list. */
static int read_on(lua_State *L, int status, lua_KContext n) {
  (void)status;
  for (;; lua_callk(L, 2, LUA_MULTRET, n, read_on)) {
    int got = lua_gettop(L) - MOST;
    bool ended = got == 0 || lua_isnil(L, MOST + 1);
    if (ended || got > 1) {
      lua_pushboolean(L, ended);
      lua_replace(L, MOST);
      lua_settop(L, ended ? MOST : MOST + got);
      return lua_gettop(L) - MOST + 1;
    }
    lua_copy(L, -1, CONTROL);
    lua_rawseti(L, LIST, (lua_Integer)++n);
    lua_pushboolean(L, 0);
    if (n >= lua_tointeger(L, MOST)) return 1;
    lua_settop(L, MOST);
    lua_pushvalue(L, NEXT);
    lua_pushvalue(L, STATE);
    lua_pushvalue(L, CONTROL);
  }
}

/* read(list, next, state, control, most): appends to the list what the iterator gives, one value each time, until there are
 * `most`. True at its end; else false, and what it gave last if that is several values, which are not in the list. The
 * iterator may yield. */
static int stream_read(lua_State *L) {
  lua_settop(L, MOST);
  luaL_checktype(L, LIST, LUA_TTABLE);
  luaL_checkinteger(L, MOST);
  lua_KContext n = (lua_KContext)lua_rawlen(L, LIST);
  lua_pushvalue(L, NEXT);
  lua_pushvalue(L, STATE);
  lua_pushvalue(L, CONTROL);
  lua_callk(L, 2, LUA_MULTRET, n, read_on);
  return read_on(L, LUA_OK, n);
}

/* --- giving --- */

/* Upvalues of a stream's __call; and its stack. */
enum { REST = 1, KEY, MARK };
enum { STREAM = 1, JOB, VALUES, ARRIVALS };

static uint64_t looked; /* at which tick of the clock the pool was last looked after, by whatever stream */

/* Whether the pool is to be looked after before a result is given. */
static bool is_due(void) {
  uint64_t now = mp_os_coarse_now();
  bool due = now != looked;
  looked = now;
  return due;
}

static lua_Integer integer_field(lua_State *L, int idx, const char *name) {
  lua_getfield(L, idx, name);
  lua_Integer n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* Of a field that is there: this needs no memory. */
static void set_field(lua_State *L, int idx, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, idx, name);
}

/* Whether the job's pool is this process's. */
static bool is_mine(lua_State *L) {
  bool mine = lua_getfield(L, JOB, "state") == LUA_TTABLE &&
              (mp_shm_proc_ref)integer_field(L, -1, "owner") == mp_shm_proc_self();
  lua_pop(L, 1);
  return mine;
}

/* Takes out what is to be given next: pushes its index and value. False when it is not here, has failed or is nil. */
static bool take(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(KEY));
  if (!lua_istable(L, STREAM) || lua_rawget(L, STREAM) != LUA_TTABLE || !is_mine(L) ||
      lua_getfield(L, JOB, "values") != LUA_TTABLE)
    return false;
  lua_Integer index = integer_field(L, JOB, "fetched") + 1, fetched = index, from = 0;
  if (lua_getfield(L, JOB, "arrivals") == LUA_TTABLE) {
    from = integer_field(L, JOB, "arrivals_from");
    lua_rawgeti(L, ARRIVALS, from);
    index = lua_tointeger(L, -1);
  }
  lua_pushinteger(L, index);
  if (lua_rawgeti(L, VALUES, index) == LUA_TNIL || lua_rawequal(L, -1, lua_upvalueindex(MARK))) return false;
  lua_pushnil(L);
  lua_rawseti(L, VALUES, index);
  set_field(L, JOB, "fetched", fetched);
  if (from) {
    lua_pushnil(L);
    lua_rawseti(L, ARRIVALS, from);
    set_field(L, JOB, "arrivals_from", from + 1);
  }
  return true;
}

static int give_all(lua_State *L, int status, lua_KContext below) {
  (void)status;
  return lua_gettop(L) - (int)below;
}

static int stream_next(lua_State *L) {
  lua_settop(L, STREAM);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  bool due = is_due();
  if (!due && take(L)) return 2;
  lua_settop(L, STREAM);
  lua_pushvalue(L, lua_upvalueindex(REST));
  lua_pushvalue(L, STREAM);
  lua_pushboolean(L, due);
  lua_callk(L, 2, LUA_MULTRET, STREAM, give_all);
  return give_all(L, LUA_OK, STREAM);
}

/* giver(rest, key, mark) -> the __call of streams, whose job is stream[key]: the next index and value, when that is here and
 * is not the mark; else rest(stream, due) gives it; due: the pool is to be looked after. */
static int stream_giver(lua_State *L) {
  lua_settop(L, MARK);
  lua_pushcclosure(L, stream_next, MARK);
  return 1;
}

void mp_lua_open_pool_stream(lua_State *L) {
  static const luaL_Reg functions[] = {{"read", stream_read}, {"giver", stream_giver}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
