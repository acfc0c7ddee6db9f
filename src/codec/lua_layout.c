/* SPDX-License-Identifier: MIT */
/* See items.h. */
#include "lua_layout.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "array_part.h"

/* Items of the sample. A prime, so that no other block is likely to be a multiple of it. */
#define MP_SAMPLE 1021

/* A table object has at least so many bytes, with any sizes of pointers. */
#define MP_TABLE_BYTES 32

#define MP_STRIDE_MAX 32

mp_codec_lua_layout_known mp_codec_lua_layout;

/* An allocator in front of Lua's own, which notes the block that holds the sample's items. */
typedef struct watch {
  lua_Alloc alloc;
  void *ud;
  const unsigned char *block;
  size_t size;
} watch;

static void *watching_alloc(void *ud, void *p, size_t old, size_t size) {
  watch *w = ud;
  void *fresh = w->alloc(w->ud, p, old, size);
  if (fresh && size % MP_SAMPLE == 0 && size / MP_SAMPLE > sizeof(lua_Integer) && size / MP_SAMPLE <= MP_STRIDE_MAX) {
    w->block = fresh;
    w->size = size;
  }
  return fresh;
}

enum { INTEGER, FLOAT, OTHER };

static int kind_of(int i) { return i % 7 < 2 ? i % 7 : OTHER; }

/* Numbers with bits all over. */
static lua_Integer integer_of(int i) { return (lua_Integer)((uint64_t)(i + 1) * UINT64_C(0x9E3779B97F4A7C15)); }
static lua_Number float_of(int i) { return (i + 1) / 7.0; }

static void push_sample_item(lua_State *L, int i) {
  switch (i % 7) {
    case INTEGER:
      lua_pushinteger(L, integer_of(i));
      break;
    case FLOAT:
      lua_pushnumber(L, float_of(i));
      break;
    case 2:
    case 3:
      lua_pushboolean(L, i % 7 == 2);
      break;
    case 4:
      lua_pushlightuserdata(L, L);
      break;
    case 5:
      lua_pushglobaltable(L);
      break;
    default:
      lua_pushliteral(L, "a string");
  }
}

static void fill(lua_State *L) {
  for (int i = 0; i < MP_SAMPLE; i++) {
    push_sample_item(L, i);
    lua_rawseti(L, -2, i + 1);
  }
}

/* () -> the sample. */
static int make_sample(lua_State *L) {
  lua_createtable(L, MP_SAMPLE, 0);
  fill(L);
  return 1;
}

/* Do the numbers lie where they should? */
static bool values_agree(const unsigned char *items, size_t stride) {
  for (int i = 0; i < MP_SAMPLE; i++, items += stride) {
    lua_Integer v = integer_of(i);
    lua_Number f = float_of(i);
    if (kind_of(i) == INTEGER && memcmp(items, &v, sizeof v) != 0) return false;
    if (kind_of(i) == FLOAT && memcmp(items, &f, sizeof f) != 0) return false;
  }
  return true;
}

/* Does the byte tell integers, floats and all else apart? */
static bool kinds_agree(const unsigned char *items, size_t stride, size_t at) {
  unsigned char integer = items[at], floating = items[stride + at];
  if (integer == floating) return false;
  for (int i = 0; i < MP_SAMPLE; i++, items += stride) {
    int kind = items[at] == integer ? INTEGER : items[at] == floating ? FLOAT : OTHER;
    if (kind != kind_of(i)) return false;
  }
  return true;
}

/* The only place in the table that has this address, or MP_TABLE_BYTES. */
static size_t place_of(const void *table, const unsigned char *items) {
  size_t found = MP_TABLE_BYTES;
  for (size_t at = 0; at + sizeof items <= MP_TABLE_BYTES; at += sizeof items) {
    if (memcmp((const char *)table + at, &items, sizeof items) != 0) continue;
    if (found != MP_TABLE_BYTES) return MP_TABLE_BYTES;
    found = at;
  }
  return found;
}

static void learn(const void *table, const watch *w) {
  if (!w->block || mp_codec_array_part(table) != MP_SAMPLE) return;
  mp_codec_lua_layout_known l = {.stride = w->size / MP_SAMPLE, .pointer_at = place_of(table, w->block)};
  if (l.pointer_at == MP_TABLE_BYTES || !values_agree(w->block, l.stride)) return;
  for (l.kind_at = sizeof(lua_Integer); l.kind_at < l.stride; l.kind_at++) {
    if (!kinds_agree(w->block, l.stride, l.kind_at)) continue;
    l.integer = w->block[l.kind_at];
    l.floating = w->block[l.stride + l.kind_at];
    mp_codec_lua_layout = l;
    return;
  }
}

/* Lua's collector rests meanwhile: no finalizer allocates under the watch. */
void mp_codec_lua_layout_probe(lua_State *L) {
  static bool probed;
  if (probed) return;
  watch w = {.block = NULL};
  w.alloc = lua_getallocf(L, &w.ud);
  int collecting = lua_gc(L, LUA_GCISRUNNING);
  lua_gc(L, LUA_GCSTOP);
  lua_pushcfunction(L, make_sample);
  lua_setallocf(L, watching_alloc, &w);
  int failed = lua_pcall(L, 0, 1, 0);
  lua_setallocf(L, w.alloc, w.ud);
  if (collecting) lua_gc(L, LUA_GCRESTART);
  if (failed) lua_error(L);
  learn(lua_topointer(L, -1), &w);
  lua_pop(L, 1);
  probed = true;
}

const unsigned char *mp_codec_lua_layout_items(const void *table) {
  const unsigned char *items;
  if (!mp_codec_lua_layout.stride) return NULL;
  memcpy(&items, (const char *)table + mp_codec_lua_layout.pointer_at, sizeof items);
  return items;
}
