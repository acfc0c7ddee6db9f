/* SPDX-License-Identifier: MIT */
/*
 * Where the items of an array part lie, and how numbers look there. Through Lua's API each number of a long list costs
 * three calls, which take most of the time of encoding it.
 *
 * Nothing of Lua's layout is compiled in: a probe has Lua make a table whose memory it sees allocated, fills it with
 * items of every kind, and looks for them there. Only what it has verified is read; nothing is ever written. When
 * anything is not as it must be, the layout stays unknown and the codec uses the API. Private to the codec.
 */
#ifndef MP_CODEC_LUA_LAYOUT_H
#define MP_CODEC_LUA_LAYOUT_H

#include <lua.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct mp_codec_lua_layout_known {
  size_t stride;  /* from one item to the next; 0: unknown. Its value comes first. */
  size_t kind_at; /* of the byte that tells an item's kind */
  unsigned char integer, floating;
  size_t pointer_at; /* in the table: of the first item's address */
} mp_codec_lua_layout_known;

extern mp_codec_lua_layout_known mp_codec_lua_layout;

/* Finds the layout. Once per process; later calls return at once. Raises for memory. Needs mp_codec_array_part. */
void mp_codec_lua_layout_probe(lua_State *L);

/* The address of the first item of the table at this address (lua_topointer), or NULL when the layout is unknown. Good
 * for mp_codec_array_part items, until the table is changed. */
const unsigned char *mp_codec_lua_layout_items(const void *table);

#pragma GCC visibility pop

#endif
