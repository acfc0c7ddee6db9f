/* SPDX-License-Identifier: MIT */
/* See hold.h. */
#include "gc_credit.h"

#include <stdbool.h>

#include "compat.h"

/* Shorter messages are not worth the calls. */
#define MP_GC_CREDIT_LEAST 4096

/* What a byte of a message becomes in Lua, at most but for empty tables; and how much memory is trusted to be so. */
#define MP_GC_CREDIT_TIMES 16
#define MP_GC_CREDIT_KIB_MOST (64 << 10)

static const char owed_key; /* KiB, in the registry */

static int owed(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &owed_key);
  int kib = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return kib;
}

static void owe(lua_State *L, int kib) {
  lua_pushinteger(L, kib);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &owed_key);
}

/* Not when the program has stopped it, nor in a finalizer, where it stands still. */
static bool collects(lua_State *L) { return lua_gc(L, LUA_GCISRUNNING) == 1; }

/* Puts the collector on by so many KiB, or back; it may run. What is owed is written first, for finalizers decode, too. */
static void put_on(lua_State *L, int kib) {
  if (!kib) return;
  owe(L, owed(L) - kib);
  mp_codec_gc_put_on(L, kib);
}

void mp_codec_gc_credit_open(lua_State *L) { owe(L, 0); }

mp_codec_gc_credit mp_codec_gc_credit_begin(lua_State *L, size_t n) {
  mp_codec_gc_credit h = {0, 0};
  if (!MP_CODEC_GC_HAS_CREDIT || n < MP_GC_CREDIT_LEAST || !collects(L)) return h;
  put_on(L, owed(L));
  size_t kib = n / 1024 * MP_GC_CREDIT_TIMES;
  h.credit = kib < MP_GC_CREDIT_KIB_MOST ? (int)kib : MP_GC_CREDIT_KIB_MOST;
  h.before = lua_gc(L, LUA_GCCOUNT);
  put_on(L, -h.credit);
  return h;
}

void mp_codec_gc_credit_end(lua_State *L, mp_codec_gc_credit h) {
  if (!h.credit || !collects(L)) return;
  int used = lua_gc(L, LUA_GCCOUNT) - h.before;
  if (used < 0) used = 0;
  if (used < h.credit) put_on(L, h.credit - used);
}
