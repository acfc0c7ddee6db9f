/* SPDX-License-Identifier: MIT */
/*
 * What a freeze has met (layer 3): tables by their address, strings by their bytes. For freeze.c. Memory of the C library's,
 * a fifth of what tables of Lua's would take. An empty map is zeroes; mp_lua_freeze_map_drop frees it.
 */
#ifndef MP_BIND_FREEZE_MAP_H
#define MP_BIND_FREEZE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

typedef struct mp_lua_freeze_map {
  uint64_t *slots; /* `size` of them, of a word or two; one whose first word is 0 is empty */
  uint64_t n, size;
  size_t width; /* words a slot */
} mp_lua_freeze_map;

/* Address -> place. */
bool mp_lua_freeze_table_find(const mp_lua_freeze_map *m, const void *key, uint64_t *place);
/* One that is not in it. False: there is no memory. */
bool mp_lua_freeze_table_add(mp_lua_freeze_map *m, const void *key, uint64_t place);

/* Words of the strings in `block`. The word of that string, or 0. */
uint64_t mp_lua_freeze_string_find(const mp_lua_freeze_map *m, const char *block, const char *s, size_t n,
                                   uint32_t hash);
bool mp_lua_freeze_string_add(mp_lua_freeze_map *m, const char *block, uint64_t word);

void mp_lua_freeze_map_drop(mp_lua_freeze_map *m);

#pragma GCC visibility pop
#endif
