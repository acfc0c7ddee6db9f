/* SPDX-License-Identifier: MIT */
/*
 * The fork-friendly heap (layer 3): makes a Lua state allocate from src/os/heap.c and its collector leave alone what is
 * there at a fork. Called by lua/mproc/heap.lua, which says when; docs/design.md says why it works.
 * Invariant: a state's allocator is changed once, and only from the one that luaL_newstate gives: a host's own one may
 * count, or be put back.
 */
#include <string.h>

#include "bind/bind.h"
#include "codec/compat.h"
#include "heap/heap.h"
#include "os/process.h"
#include "process/trace.h"

enum { KIB = 1024, YOUNG_TO_OLD = 3 /* collections until what lives is old */, WHOLE = 100 };

/* A child's collector, in KiB and percent. New objects are looked at each time so much of them has come: */
enum { NURSERY = 16 * KIB, NURSERY_LEAST = 1, NURSERY_MOST = 20 };
/* All objects are, which copies all that is shared, when the heap has grown by so much: */
enum { GROWTH = 1024 * KIB, GROWTH_LEAST = 300, GROWTH_MOST = 1000 };
/* Strings that it may have: a nursery full of them, and one to keep for so many bytes of what it inherited. */
enum { STRING = 32, PER_KEPT_STRING = 512 };

static int clamp(lua_Integer n, int least, int most) { return n < least ? least : n > most ? most : (int)n; }

static lua_Integer heap_kib(lua_State *L) { return 1 + (lua_Integer)lua_gc(L, LUA_GCCOUNT); }

/* Lua's own allocator, asked of a state that is made for it. False when there is no memory for one. */
static bool standard_allocator(lua_Alloc *f) {
  void *ud;
  lua_State *fresh = luaL_newstate();
  if (!fresh) return false;
  *f = lua_getallocf(fresh, &ud);
  lua_close(fresh);
  return true;
}

/* Makes the state allocate from the heap: 0, -ENOMEM, -EPERM: its host's allocator is not to be passed by. */
static int adopt(lua_State *L) {
  void *ud;
  lua_Alloc now = lua_getallocf(L, &ud), standard;
  if (now == mp_heap_of_lua) return 0;
  if (!standard_allocator(&standard)) return -ENOMEM;
  if (now != standard) return -EPERM;
  int err = mp_heap_begin(now, ud);
  if (!err) lua_setallocf(L, mp_heap_of_lua, NULL);
  return err;
}

/*
 * Room in Lua's table of short strings. When it grows, each string in it is written; when three quarters of it are
 * free, it shrinks, which is the same. So it is made to grow now, by strings that nobody needs, and just as many of them
 * are kept as it takes that it does not shrink. Its size shows when it is seen to grow.
 */
static char pad_key; /* the kept ones, in the registry */

typedef struct growth {
  bool observed;
  size_t buckets; /* once it has grown */
} growth;

static void *watching(void *ud, void *p, size_t old, size_t size) {
  growth *g = ud;
  void *q = mp_heap_of_lua(NULL, p, old, size);
  if (g->observed && p && q && size == 2 * old) g->buckets = size / sizeof(void *);
  return q;
}

/* Makes the nth string an item of the table on the stack's top. */
static void pad_with(lua_State *L, growth *g, size_t n) {
  char text[7] = {'\0', 'm', 'p'};
  for (size_t i = 3, rest = n; i < sizeof text; i++, rest >>= 8) text[i] = (char)rest;
  g->observed = true;
  lua_pushlstring(L, text, sizeof text);
  g->observed = false;
  lua_rawseti(L, -2, (lua_Integer)n);
}

static void keep_padding(lua_State *L, growth *g, size_t n) {
  lua_createtable(L, (int)n, 0);
  for (size_t i = 1; i <= n; i++) pad_with(L, g, i);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &pad_key);
}

/* pad(growth, strings): room for as many more, and for as many as there are. */
static int pad(lua_State *L) {
  growth *g = lua_touserdata(L, 1);
  size_t room = (size_t)lua_tointeger(L, 2), n = 0;
  lua_newtable(L);
  while (!g->buckets) pad_with(L, g, ++n);
  size_t target = g->buckets / 2; /* to where it shrinks again if that will do */
  size_t strings = target > n ? target - n : 0;
  if (room < strings) room = strings;
  while (target - strings < room) target *= 2;
  while (g->buckets < target) pad_with(L, g, ++n);
  size_t least = target / 4 + target / 64;
  if (least > strings) keep_padding(L, g, least - strings);
  return 0;
}

/* Without memory for it, there is no room: children copy more then. */
static void make_room(lua_State *L, int nursery) {
  growth g = {false, 0};
  size_t kib = (size_t)heap_kib(L);
  size_t strings = kib * (size_t)nursery / WHOLE * (KIB / STRING) + kib * KIB / PER_KEPT_STRING;
  bool running = lua_gc(L, LUA_GCISRUNNING);
  lua_pushcfunction(L, pad);
  lua_pushlightuserdata(L, &g);
  lua_pushinteger(L, (lua_Integer)strings);
  lua_gc(L, LUA_GCSTOP);
  lua_setallocf(L, watching, &g);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
  lua_setallocf(L, mp_heap_of_lua, NULL);
  if (running) lua_gc(L, LUA_GCRESTART);
}

static int nursery_percent(lua_State *L) {
  return clamp((lua_Integer)NURSERY * WHOLE / heap_kib(L), NURSERY_LEAST, NURSERY_MOST);
}

static int growth_percent(lua_State *L) {
  return clamp((lua_Integer)GROWTH * WHOLE / heap_kib(L), GROWTH_LEAST, GROWTH_MOST);
}

static void freeze(lua_State *L) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &pad_key);
  mp_codec_gc_incremental(L);
  lua_gc(L, LUA_GCCOLLECT);
  make_room(L, nursery_percent(L));
  mp_codec_gc_generational(L, 0, 0);
  mp_os_malloc_trim();
}

/* heap_freeze(): all that lives becomes old, in the generational mode. true, or nil, message, NAME */
static int heap_freeze(lua_State *L) {
  mp_lua_enter(L);
  if (lua_gc(L, LUA_GCCOUNT) < 0) return mp_lua_misuse(L, "freeze_heap cannot be called by a finalizer");
  uint64_t began = mp_process_traces ? mp_os_now() : 0;
  int err = adopt(L);
  if (err == -EPERM) {
    lua_pushnil(L);
    lua_pushliteral(L, "cannot freeze the heap: the program that made this Lua state gave it an allocator of its own");
    lua_pushliteral(L, "EPERM");
    return 3;
  }
  if (err) return mp_lua_fail(L, err, "cannot freeze the heap");
  freeze(L);
  if (mp_process_traces) mp_process_trace_stretch("process", "freeze_heap", began, mp_os_now(), NULL);
  lua_pushboolean(L, 1);
  return 1;
}

/* heap_age(): what has come since then becomes old too, without a look at what is. False when the program has left
 * the generational mode meanwhile, which is as it was then. */
static int heap_age(lua_State *L) {
  bool left = mp_codec_gc_generational(L, 0, 0) == LUA_GCINC;
  if (left) mp_codec_gc_incremental(L);
  bool steps = !left && lua_gc(L, LUA_GCISRUNNING);
  for (int i = 0; i < YOUNG_TO_OLD && steps; i++) mp_codec_gc_step(L);
  lua_pushboolean(L, !left);
  return 1;
}

/* heap_inherited(): in a child of a process whose heap is frozen, first of all. */
static int heap_inherited(lua_State *L) {
  mp_codec_gc_generational(L, nursery_percent(L), growth_percent(L));
  if (lua_gc(L, LUA_GCISRUNNING)) mp_codec_gc_step(L); /* the next one comes after a nursery of that size */
  return 0;
}

static const luaL_Reg functions[] = {
    {"heap_freeze", heap_freeze},
    {"heap_age", heap_age},
    {"heap_inherited", heap_inherited},
    {NULL, NULL},
};

void mp_lua_open_heap(lua_State *L) { luaL_setfuncs(L, functions, 0); }
