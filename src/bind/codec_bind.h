/* SPDX-License-Identifier: MIT */
/* The codec for Lua, and what other bindings use of it (layer 3). */
#ifndef MP_CODEC_BIND_H
#define MP_CODEC_BIND_H

#include <lua.h>

#include "codec/codec.h"

#pragma GCC visibility push(hidden)

/* Adds encode, decode, register and unsendable to the module table on the stack's top. */
void mp_bind_codec(lua_State *L);

/* Encodes the value at idx; one that cannot travel raises at the caller's line. Pushes the anchor. */
void mp_bind_encode(lua_State *L, int idx, const char *what, mp_message *m);

#pragma GCC visibility pop
#endif
