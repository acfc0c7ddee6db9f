/* SPDX-License-Identifier: MIT */
/*
 * Lua's collector while a long message is decoded. Nothing that decoding makes is
 * garbage before the message is whole, so all a collection could do with it is
 * walk it, again and again while it grows. The collector gets credit instead for
 * what decoding will allocate, and what it did allocate is owed: a step before
 * the next long message takes it into account, when this one is perhaps garbage
 * already. Private to the codec.
 *
 * What a Lua state owes is what its collector was put back by and not yet put on
 * again, whatever happens between: decoding inside decoding, errors. A collector
 * that the program has stopped is left alone. A Lua whose collector cannot be
 * put back (5.5) has no credit: all of this does nothing there.
 */
#ifndef MP_CODEC_GC_CREDIT_H
#define MP_CODEC_GC_CREDIT_H

#include <lua.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct mp_codec_gc_credit {
  int credit; /* KiB; 0: nothing is held */
  int before; /* KiB in use */
} mp_codec_gc_credit;

/* Once for a state, before it is held. Raises for memory. */
void mp_codec_gc_credit_open(lua_State *L);

/* Begins the decoding of a message of n bytes. May run finalizers; needs a stack slot. */
mp_codec_gc_credit mp_codec_gc_credit_begin(lua_State *L, size_t n);

/* It is decoded, or found bad. May run finalizers; needs a stack slot. */
void mp_codec_gc_credit_end(lua_State *L, mp_codec_gc_credit h);

#pragma GCC visibility pop

#endif
