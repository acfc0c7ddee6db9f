/* SPDX-License-Identifier: MIT */
/*
 * How much of a table lies in its array part. Lua's API does not tell, and
 * without it a table that is read by lua_rawgeti must be walked a second time
 * for its other keys, which nearly halves the speed of long lists.
 *
 * Nothing of Lua's layout is compiled in: a probe looks for the word that has
 * the size in tables of known sizes, and checks that it never counts keys of
 * the hash part. When no word qualifies, mp_codec_array_part is 0 and the codec walks
 * twice. Private to the codec.
 */
#ifndef MP_CODEC_ARRAY_PART_H
#define MP_CODEC_ARRAY_PART_H

#include <lua.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/* Finds the word. Once per process; later calls return at once. Raises for
 * memory. */
void mp_codec_array_part_probe(lua_State *L);

/* A size such that none of the integers from 1 to it lies in the hash part of
 * the table at this address (lua_topointer). May be too small. */
size_t mp_codec_array_part(const void *table);

#pragma GCC visibility pop

#endif
