/* SPDX-License-Identifier: MIT */
/* See names.h. */
#include "names.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "array_part.h"
#include "codec.h"
#include "gc_credit.h"
#include "lua_layout.h"
#include "seen.h"

/* A required name that is not loaded after so many looks is forgotten: its
 * module failed, or it is the program itself, which never returns. */
#define MP_PENDING_LOOKS 1000

/* An entry's fields. */
enum { ENTRY_MODULE = 1, ENTRY_FIELD };

static const char state_key;

/* Addresses of tables that have or had a name, in any Lua state of the
 * process: a superset. */
static mp_codec_seen addresses;
static int addresses_lost; /* no memory: every table may have a name */

/* Names noted by searchers, in any Lua state. */
static unsigned pending;
static unsigned pending_looks;

/* Their fields are the first choice among several names. */
static const char *const standard[] = {"_G", "string",    "table", "math",  "io",
                                       "os", "coroutine", "utf8",  "debug", "package"};

void mp_codec_names_push(lua_State *L, enum mp_codec_names_slot slot) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) != LUA_TTABLE) return;
  lua_rawgeti(L, -1, slot);
  lua_remove(L, -2);
}

void mp_codec_names_push_loaded(lua_State *L) { lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE); }

int mp_codec_names_perhaps(const void *table) {
  return addresses_lost || mp_codec_seen_has(&addresses, (uint64_t)(uintptr_t)table);
}

static void add_address(const void *table) {
  int found;
  if (!mp_codec_seen_put(&addresses, (uint64_t)(uintptr_t)table, MP_KIND_VALUE, &found)) addresses_lost = 1;
}

/* How good a name is: lower is better. One that begins with an underscore is a part of another module's, which may have
 * filled in what the part alone has not: cqueues and _cqueues are one table. */
static int rank(const char *module, int has_field) {
  const int count = (int)(sizeof standard / sizeof *standard);
  if (!has_field) return *module == '_' ? -1 : -2;
  for (int i = 0; i < count; i++) {
    if (strcmp(module, standard[i]) == 0) return i;
  }
  return *module == '_' ? count + 1 : count;
}

/* Is the name in the entry at the top worse than this one? */
static int entry_is_worse(lua_State *L, const char *module, const char *field) {
  lua_rawgeti(L, -1, ENTRY_MODULE);
  lua_rawgeti(L, -2, ENTRY_FIELD);
  const char *its_module = lua_tostring(L, -2);
  const char *its_field = lua_tostring(L, -1);
  int order = rank(its_module, its_field != NULL) - rank(module, field != NULL);
  if (!order) order = strcmp(its_module, module);
  if (!order && field && its_field) order = strcmp(its_field, field);
  lua_pop(L, 2);
  return order > 0;
}

/* Enters the value at the top under the names at `module` and `field` (0: none)
 * into the map at `map`, unless it has a better one. */
static void note(lua_State *L, int map, int module, int field) {
  int value = lua_gettop(L);
  const char *fieldname = field ? lua_tostring(L, field) : NULL;
  lua_pushvalue(L, value);
  int worse = lua_rawget(L, map) != LUA_TTABLE || entry_is_worse(L, lua_tostring(L, module), fieldname);
  lua_pop(L, 1);
  if (!worse) return;
  lua_pushvalue(L, value);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, module);
  lua_rawseti(L, -2, ENTRY_MODULE);
  if (field) {
    lua_pushvalue(L, field);
    lua_rawseti(L, -2, ENTRY_FIELD);
  } else if (lua_istable(L, value)) {
    add_address(lua_topointer(L, value));
  }
  lua_rawset(L, map);
}

/* May the value at the top be named as a field? Lua functions in _G may not: a
 * receiver need not have them. */
static int is_namable(lua_State *L, int globals) {
  if (lua_isfunction(L, -1)) return !globals || lua_iscfunction(L, -1);
  return lua_istable(L, -1);
}

/* Enters the module whose name and value are on top. */
static void add_module(lua_State *L, int map) {
  int module = lua_gettop(L) - 1;
  luaL_checkstack(L, 8, NULL);
  if (lua_type(L, module) != LUA_TSTRING) return;
  if (lua_istable(L, -1) || lua_isfunction(L, -1)) note(L, map, module, 0);
  if (!lua_istable(L, -1)) return;
  int globals = strcmp(lua_tostring(L, module), "_G") == 0;
  lua_pushnil(L);
  while (lua_next(L, module + 1)) {
    if (lua_type(L, -2) == LUA_TSTRING && is_namable(L, globals)) note(L, map, module, module + 2);
    lua_pop(L, 1);
  }
}

static void push_new_map(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

void mp_codec_names_rebuild(lua_State *L) {
  int top = lua_gettop(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
  push_new_map(L);
  mp_codec_names_push_loaded(L);
  lua_pushnil(L);
  while (lua_next(L, top + 3)) {
    add_module(L, top + 2);
    lua_pop(L, 1);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  add_address(lua_topointer(L, -1));
  lua_settop(L, top + 2);
  lua_rawseti(L, top + 1, MP_SLOT_NAMES);
  lua_settop(L, top);
}

/* Pushes the first pending name that is loaded by now, and the module; 0,
 * nothing pushed, when there is none. */
static int next_loaded(lua_State *L) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_PENDING);
  mp_codec_names_push_loaded(L);
  lua_pushnil(L);
  while (lua_istable(L, top + 1) && lua_next(L, top + 1)) {
    lua_pushvalue(L, -2);
    if (lua_rawget(L, top + 2) != LUA_TNIL) {
      lua_replace(L, top + 2);
      lua_settop(L, top + 3);
      lua_replace(L, top + 1);
      return 1;
    }
    lua_pop(L, 2);
  }
  lua_settop(L, top);
  return 0;
}

/* Forgets the pending name at idx. */
static void forget(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  mp_codec_names_push(L, MP_SLOT_PENDING);
  lua_pushvalue(L, idx);
  lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  if (pending) pending--;
}

static void forget_all(lua_State *L) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_PENDING);
  lua_pushnil(L);
  while (lua_next(L, top + 1)) {
    lua_pop(L, 1);
    forget(L, -1);
  }
  lua_settop(L, top);
}

int mp_codec_names_behind(lua_State *L) {
  if (!pending) return 0;
  if (++pending_looks > MP_PENDING_LOOKS) return 1;
  int top = lua_gettop(L);
  int behind = next_loaded(L);
  lua_settop(L, top);
  return behind;
}

void mp_codec_names_refresh(lua_State *L) {
  int top = lua_gettop(L);
  if (!pending) return;
  luaL_checkstack(L, 16, NULL);
  while (next_loaded(L)) {
    mp_codec_names_push(L, MP_SLOT_NAMES);
    lua_insert(L, top + 1);
    add_module(L, top + 1);
    forget(L, top + 2);
    lua_settop(L, top);
  }
  if (pending_looks > MP_PENDING_LOOKS) forget_all(L);
}

/* Does package.loaded still have the value at idx under the names at the two
 * top slots? */
static int still_there(lua_State *L, int idx) {
  int top = lua_gettop(L);
  mp_codec_names_push_loaded(L);
  lua_pushvalue(L, top - 1);
  lua_rawget(L, top + 1);
  int has_field = !lua_isnil(L, top);
  if (has_field && lua_istable(L, -1)) {
    lua_pushvalue(L, top);
    lua_rawget(L, -2);
  } else if (has_field) {
    lua_pushnil(L);
  }
  int same = lua_rawequal(L, -1, idx);
  lua_settop(L, top);
  return same;
}

enum mp_codec_name mp_codec_names_of(lua_State *L, int idx) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_NAMES);
  if (!lua_istable(L, -1)) return lua_settop(L, top), MP_NAME_NONE;
  lua_pushvalue(L, idx);
  if (lua_rawget(L, -2) != LUA_TTABLE) return lua_settop(L, top), MP_NAME_NONE;
  lua_rawgeti(L, -1, ENTRY_MODULE);
  lua_rawgeti(L, -2, ENTRY_FIELD);
  lua_replace(L, top + 2);
  lua_replace(L, top + 1);
  if (!still_there(L, idx)) return lua_settop(L, top), MP_NAME_NONE;
  if (!lua_isnil(L, top + 2)) return MP_NAME_FIELD;
  lua_settop(L, top + 1);
  return MP_NAME_MODULE;
}

enum mp_codec_name mp_codec_names_of_meta(lua_State *L, int idx) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_BY_META);
  lua_pushvalue(L, idx);
  if (lua_istable(L, -2) && lua_rawget(L, -2) == LUA_TSTRING) {
    lua_replace(L, top + 1);
    return MP_NAME_REGISTERED;
  }
  lua_settop(L, top);
  return mp_codec_names_of(L, idx);
}

int mp_codec_names_push_decode_hook(lua_State *L, int mt) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_BY_META);
  lua_pushvalue(L, mt);
  if (!lua_istable(L, -2) || lua_rawget(L, -2) != LUA_TSTRING) return lua_settop(L, top), 0;
  mp_codec_names_push(L, MP_SLOT_BY_NAME);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  lua_rawgeti(L, -1, 2);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  if (lua_isfunction(L, -1)) return 1;
  lua_settop(L, top);
  return 0;
}

/* The searcher: notes the name and finds nothing. */
static int searcher(lua_State *L) {
  luaL_checkstring(L, 1);
  mp_codec_names_push(L, MP_SLOT_PENDING);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, -4);
    pending++;
  }
  pending_looks = 0;
  return 0;
}

/* Puts the searcher first, where there are searchers. */
static void install_searcher(lua_State *L) {
  int top = lua_gettop(L);
  mp_codec_names_push_loaded(L);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  if (lua_istable(L, -1) && lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 1; i--) {
      lua_rawgeti(L, -1, i);
      lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, searcher);
    lua_rawseti(L, -2, 1);
  }
  lua_settop(L, top);
}

void mp_codec_open(lua_State *L) {
  luaL_checkstack(L, 16, NULL);
  int top = lua_gettop(L);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) != LUA_TTABLE) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_createtable(L, MP_SLOT_GC, 0);
    for (int slot = MP_SLOT_BY_NAME; slot <= MP_SLOT_PENDING; slot++) {
      lua_newtable(L);
      lua_rawseti(L, -2, slot);
    }
    lua_pushliteral(L, "__mproc_encode");
    lua_rawseti(L, -2, MP_SLOT_HOOK);
    lua_pushliteral(L, "__gc");
    lua_rawseti(L, -2, MP_SLOT_GC);
    mp_codec_gc_credit_open(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    mp_codec_names_rebuild(L);
    install_searcher(L);
    mp_codec_array_part_probe(L);
    mp_codec_lua_layout_probe(L);
  }
  lua_settop(L, top);
}

/* Raises unless the metatable is free for the name, and the name for it. */
static void check_free(lua_State *L, const char *name, int mt) {
  int top = lua_gettop(L);
  mp_codec_names_push(L, MP_SLOT_BY_NAME);
  if (lua_getfield(L, -1, name) == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    if (!lua_rawequal(L, -1, mt))
      luaL_error(L, "another metatable is registered as '%s'; take a name of its own", name);
  }
  mp_codec_names_push(L, MP_SLOT_BY_META);
  lua_pushvalue(L, mt);
  if (lua_rawget(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) != 0)
    luaL_error(L, "this metatable is registered already, as '%s'", lua_tostring(L, -1));
  lua_settop(L, top);
}

void mp_codec_register(lua_State *L, const char *name, int mt_idx, int decode_idx) {
  int mt = lua_absindex(L, mt_idx);
  int decode = decode_idx ? lua_absindex(L, decode_idx) : 0;
  mp_codec_open(L);
  check_free(L, name, mt);
  mp_codec_names_push(L, MP_SLOT_BY_NAME);
  mp_codec_names_push(L, MP_SLOT_BY_META);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, mt);
  lua_rawseti(L, -2, 1);
  if (decode) {
    lua_pushvalue(L, decode);
    lua_rawseti(L, -2, 2);
  }
  lua_setfield(L, -3, name);
  lua_pushvalue(L, mt);
  lua_pushstring(L, name);
  lua_rawset(L, -3);
  add_address(lua_topointer(L, mt));
  lua_pop(L, 2);
}
