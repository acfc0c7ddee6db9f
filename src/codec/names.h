/* SPDX-License-Identifier: MIT */
/*
 * What package.loaded can name, and registered metatables. Private to the codec.
 *
 * A map in the registry, weak in its keys, leads from a table or function to
 * an entry {module, field or nil}. It may be stale: every answer is checked
 * against package.loaded. New modules enter when they are required (a silent
 * searcher notes them) or at mp_codec_names_rebuild.
 */
#ifndef MP_CODEC_NAMES_H
#define MP_CODEC_NAMES_H

#include <lua.h>

#pragma GCC visibility push(hidden)

/* Values of the codec's own table in the registry. */
enum mp_codec_names_slot {
  MP_SLOT_NAMES = 1, /* value -> {module, field} */
  MP_SLOT_BY_NAME,   /* registered name -> {metatable, decode} */
  MP_SLOT_BY_META,   /* registered metatable -> name */
  MP_SLOT_PENDING,   /* name -> true: required, perhaps not loaded yet */
  MP_SLOT_HOOK,      /* "__mproc_encode" */
  MP_SLOT_GC         /* "__gc" */
};

enum mp_codec_name { MP_NAME_NONE, MP_NAME_MODULE, MP_NAME_FIELD, MP_NAME_REGISTERED };

/* Pushes a slot's value: nil before mp_codec_open. Neither raises nor
 * allocates. */
void mp_codec_names_push(lua_State *L, enum mp_codec_names_slot slot);

/* Pushes package.loaded. Neither raises nor allocates once the codec is open. */
void mp_codec_names_push_loaded(lua_State *L);

/* May the table at this address be named? 0 is sure, but for modules that were
 * put into package.loaded by hand. */
int mp_codec_names_perhaps(const void *table);

/* Has a required module been loaded that the map lacks? Neither raises nor
 * allocates; needs 6 stack slots. */
int mp_codec_names_behind(lua_State *L);

/* Takes in the modules that were loaded since. Raises for memory. */
void mp_codec_names_refresh(lua_State *L);

/* Reads all of package.loaded afresh. Raises for memory. */
void mp_codec_names_rebuild(lua_State *L);

/* Looks up the table or function at idx. MODULE: pushes the module's name;
 * FIELD: pushes the module's name and the field; NONE: pushes nothing. Neither
 * raises nor allocates. */
enum mp_codec_name mp_codec_names_of(lua_State *L, int idx);

/* The same for a metatable, where REGISTERED pushes its name. */
enum mp_codec_name mp_codec_names_of_meta(lua_State *L, int idx);

/* Pushes the decode hook that was registered with the metatable at mt, and returns 1; 0: it has none, nothing is pushed.
 * Neither raises nor allocates; needs 4 stack slots. */
int mp_codec_names_push_decode_hook(lua_State *L, int mt);

#pragma GCC visibility pop

#endif
