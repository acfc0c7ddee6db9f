/* SPDX-License-Identifier: MIT */
/*
 * A chunk's items in one C call (layer 3): calls the function for one after another, and reports what it gives. Whatever
 * is less simple goes back to Lua. Called by lua/mproc/pool/worker/run.lua.
 * Invariant: an item's result is in the results queue before the next item begins.
 */
#include <stdbool.h>

#include "bind/pool_message.h"
#include "os/process.h"

#define NS_PER_S 1e9

enum { ROOM_MOST = 1 << 20 /* items that are given room before they are there */ };

/* The arguments of run, and what follows them on the stack. */
enum {
  RESULTS = 1,
  F,
  DESCRIBE,
  ITEMS,
  RECORD,
  WORDS,
  MODE,
  CHUNK,
  BEFORE,
  SLOT,
  LAST,
  MOST,
  TELL_AT,
  K,
  CALLER,
  WHO,
  KEY,
  VALUE
};

typedef struct run { /* of items, in a call of `run` */
  mp_shm_queue *results;
  uint64_t *words;         /* NULL: when an item begins is not noted */
  mp_lua_pool_header head; /* of the next report; its offset is the item's */
  lua_Integer k, last, done;
  lua_Number most;
  uint64_t tell_at;
  uint32_t mode;
  bool star;
} run;

/* Calls the function for item k, whose result is pushed, or its error: false. */
static bool call_item(lua_State *L, const run *r) {
  if (!r->star) {
    lua_pushvalue(L, F);
    lua_rawgeti(L, ITEMS, r->k);
    return mp_lua_pool_call(L, 1, 1, DESCRIBE) == LUA_OK;
  }
  lua_pushvalue(L, CALLER);
  lua_pushvalue(L, WHO);
  lua_pushvalue(L, F);
  lua_rawgeti(L, ITEMS, r->k);
  lua_call(L, 3, 2);
  bool ok = lua_toboolean(L, VALUE);
  lua_remove(L, VALUE);
  return ok;
}

/* A result as its mode wants it. */
static void shape(lua_State *L, uint32_t mode) {
  if (!(mode & (MP_POOL_NO_RESULT | MP_POOL_TEST))) return;
  if (mode & MP_POOL_NO_RESULT)
    lua_pushnil(L);
  else
    lua_pushboolean(L, lua_toboolean(L, VALUE));
  lua_replace(L, VALUE);
}

/* Tasks may ask how many this worker has done. */
static void count_done(lua_State *L, run *r) {
  lua_pushvalue(L, KEY);
  lua_pushinteger(L, ++r->done);
  lua_rawset(L, RECORD);
}

static bool report(lua_State *L, run *r) {
  size_t bytes;
  mp_os_flush();
  if (mp_lua_pool_post(L, r->results, &r->head, "result", VALUE, &bytes) == 0) return true;
  lua_settop(L, VALUE);
  return false;
}

/* Runs item k. True when it is reported, and the next one is to run; else what it gave is at VALUE: *ok, or its error. */
static bool run_item(lua_State *L, run *r, bool *ok) {
  lua_settop(L, KEY);
  if (r->words) mp_lua_pool_note_begin(r->words, r->head.chunk, r->head.offset);
  *ok = call_item(L, r);
  if (*ok) shape(L, r->mode);
  count_done(L, r);
  return *ok && r->k < r->last && (lua_Number)r->done < r->most && mp_os_coarse_now() <= r->tell_at && report(L, r);
}

static run run_of(lua_State *L) {
  run r = {.results = mp_lua_queue_box_at(L, RESULTS)->object,
           .k = luaL_checkinteger(L, K),
           .last = luaL_checkinteger(L, LAST),
           .most = luaL_checknumber(L, MOST),
           .tell_at = (uint64_t)(luaL_checknumber(L, TELL_AT) * NS_PER_S),
           .mode = (uint32_t)luaL_checkinteger(L, MODE),
           .star = !lua_isnil(L, CALLER)};
  luaL_checktype(L, ITEMS, LUA_TTABLE);
  luaL_checktype(L, RECORD, LUA_TTABLE);
  if (r.mode & MP_POOL_TIMED) r.words = mp_lua_pool_check_words(L, WORDS);
  r.head =
      (mp_lua_pool_header){luaL_checkinteger(L, CHUNK), 0, 0, MP_POOL_DONE, (uint32_t)luaL_checkinteger(L, SLOT), 0};
  lua_pushliteral(L, "tasks_done");
  lua_pushvalue(L, KEY);
  r.done = lua_rawget(L, RECORD) == LUA_TNUMBER ? lua_tointeger(L, -1) : 0;
  return r;
}

static int run_items(lua_State *L) {
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  run r = run_of(L);
  lua_Integer before = luaL_checkinteger(L, BEFORE);
  bool ok;
  r.head.offset = (uint32_t)(before + r.k);
  while (run_item(L, &r, &ok)) r.head.offset = (uint32_t)(before + ++r.k);
  lua_pushinteger(L, r.k);
  lua_pushboolean(L, ok);
  lua_pushvalue(L, VALUE);
  return 3;
}

/* run(results, f, describe, items, record, words, mode, chunk, before, slot, last, most, tell_at, k): calls f, with `describe`
 * as its message handler, for items from k on, and reports what it gives, their offsets being before + k. record.tasks_done
 * counts them. It returns
 *   k, ok, value    of an item that has run and is not reported yet: it failed, or is the last, or the time is tell_at, or
 *                   tasks_done has come to `most`, or its result could not be sent. Those before it are. */
static int items_run(lua_State *L) {
  lua_settop(L, K);
  lua_settop(L, WHO);
  return run_items(L);
}

/* run_by(…, caller, who): the same, but calls caller(who, f, item) -> ok, value. */
static int items_run_by(lua_State *L) {
  lua_settop(L, WHO);
  luaL_checktype(L, CALLER, LUA_TFUNCTION);
  return run_items(L);
}

/* A new list with room for n items. */
static void push_list(lua_State *L, lua_Integer n) { lua_createtable(L, n > 0 && n < ROOM_MOST ? (int)n : 0, 0); }

/* list(n) -> a list with room for n items, if that is not too many to believe */
static int items_list(lua_State *L) {
  push_list(L, luaL_checkinteger(L, 1));
  return 1;
}

/* slice(list, from, n) -> a list of list[from + 1] to list[from + n] */
static int items_slice(lua_State *L) {
  enum { LIST = 1 };
  luaL_checktype(L, LIST, LUA_TTABLE);
  lua_Integer from = luaL_checkinteger(L, 2), n = luaL_checkinteger(L, 3);
  push_list(L, n);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, LIST, from + i);
    lua_rawseti(L, -2, i);
  }
  return 1;
}

void mp_lua_open_pool_items(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"run", items_run}, {"run_by", items_run_by}, {"list", items_list}, {"slice", items_slice}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
