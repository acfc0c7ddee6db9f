/* SPDX-License-Identifier: MIT */
/* What other binders use of bind/codec.c. Part of bind.h. */
#ifndef MP_BIND_CODEC_BIND_H
#define MP_BIND_CODEC_BIND_H

#include <lua.h>

#include "codec/codec.h"

#pragma GCC visibility push(hidden)

/* Adds encode, decode, register, unsendable and scratch_used to the table at the
 * top. */
void mp_lua_open_codec(lua_State *L);

/* mp_codec_encode that raises, blaming the caller's line. Leaves the anchor on
 * the stack until mp_codec_release. */
void mp_lua_encode(lua_State *L, int idx, const char *what, mp_codec_message *m);

/* Raises the error value at the top; a string of the codec's gets the caller's
 * position. */
int mp_lua_raise(lua_State *L);

#pragma GCC visibility pop

#endif
