/* SPDX-License-Identifier: MIT */
/*
 * What differs between versions of Lua (layer 2), for the codec and the bindings. The one place that looks at LUA_VERSION_NUM.
 * Invariant: whoever includes it is compiled for a version that is known here, or not at all.
 *
 * 5.4.0 to 5.4.3 are refused when they run: there a finalizer cannot be told, so that freeze_heap in one would break the
 * collector; a closure whose loading runs out of memory loses its message; and an error at the end of a scope in a
 * coroutine, such as Ctrl-C's, is swallowed.
 */
#ifndef MP_CODEC_COMPAT_H
#define MP_CODEC_COMPAT_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if LUA_VERSION_NUM < 504 || LUA_VERSION_NUM > 505
#error "mproc is for Lua 5.4 (from 5.4.4 on) and 5.5; LUA_INCDIR has the headers of another version"
#endif

#define MP_CODEC_LUA_5_5 (LUA_VERSION_NUM >= 505)

/* Whether the Lua that runs is a release with these faults; then *name is what it calls itself, up to a space. */
static inline bool mp_codec_lua_is_refused(const char **name) {
  static const char begin[] = "5.4.";
  *name = MP_CODEC_LUA_5_5 ? NULL : strstr(lua_ident, begin);
  return *name && atoi(*name + sizeof begin - 1) < 4;
}

/* --- the collector --- */

/* Whether it can be put back by a number of bytes. Where it cannot, a step by less than 0 would be a whole one. */
enum { MP_CODEC_GC_HAS_CREDIT = !MP_CODEC_LUA_5_5 };

#if MP_CODEC_LUA_5_5
/* As if so much had been allocated: it may run. */
static inline void mp_codec_gc_put_on(lua_State *L, int kib) { lua_gc(L, LUA_GCSTEP, (size_t)kib * 1024); }
/* One step; in the generational mode one young collection. */
static inline void mp_codec_gc_step(lua_State *L) { lua_gc(L, LUA_GCSTEP, (size_t)0); }
/* The mode before. */
static inline int mp_codec_gc_incremental(lua_State *L) { return lua_gc(L, LUA_GCINC); }
/* young, growth: in percent of what lives, what may come before a young collection and before one of all; 0: as it is. */
static inline int mp_codec_gc_generational(lua_State *L, int young, int growth) {
  if (young) lua_gc(L, LUA_GCPARAM, LUA_GCPMINORMUL, young);
  if (growth) lua_gc(L, LUA_GCPARAM, LUA_GCPMINORMAJOR, growth);
  return lua_gc(L, LUA_GCGEN);
}
#else
static inline void mp_codec_gc_put_on(lua_State *L, int kib) { lua_gc(L, LUA_GCSTEP, kib); }
static inline void mp_codec_gc_step(lua_State *L) { lua_gc(L, LUA_GCSTEP, 0); }
static inline int mp_codec_gc_incremental(lua_State *L) { return lua_gc(L, LUA_GCINC, 0, 0, 0); }
static inline int mp_codec_gc_generational(lua_State *L, int young, int growth) {
  return lua_gc(L, LUA_GCGEN, young, growth);
}
#endif

#endif
