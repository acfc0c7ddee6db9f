/* SPDX-License-Identifier: MIT */
/*
 * The decoder's state, shared by decode*.c. Private to the codec.
 *
 * The stack above `refs` holds what is being built. On failure functions return
 * -1 and leave it as it is: mp_codec_decode puts it right. No C memory is held,
 * so a Lua error may pass through.
 */
#ifndef MP_CODEC_DECODER_H
#define MP_CODEC_DECODER_H

#include <limits.h>
#include <lua.h>

#include "codec.h"
#include "format.h"

#pragma GCC visibility push(hidden)

/* The first values that references may name, on the stack: their offsets, and by offset the number among them, from 1 on;
 * 0: none. A message of less than MP_REF_CACHE_BYTES has none. */
#define MP_REF_CACHE 16
#define MP_REF_CACHE_PLACES 64
#define MP_REF_CACHE_BYTES 64
typedef struct mp_codec_ref_cache {
  unsigned count;
  unsigned char at[MP_REF_CACHE_PLACES];
  size_t offset[MP_REF_CACHE];
} mp_codec_ref_cache;

typedef struct mp_codec_decoder {
  lua_State *L;
  const unsigned char *p;
  const unsigned char *start;
  const unsigned char *end;
  size_t budget; /* array slots and pairs that tables may still claim */
  unsigned flags;
  int depth;
  /* What references name. The first values lie on the stack behind the index
   * `refs`, all else in the table at `refs`, nil until has_refs. At a tag's
   * offset: the value, or the closure of an upvalue. At minus the offset: the
   * metatable of a designator, or the index of an upvalue. */
  int refs;
  int has_refs;
  mp_codec_ref_cache *ref_cache; /* or NULL */
  const char *why;               /* of a failure */
} mp_codec_decoder;

/* Volatile: another process may write there, and what was checked must be what
 * is used. */
static inline unsigned mp_codec_peek(const mp_codec_decoder *d) { return *(const volatile unsigned char *)d->p; }

static inline unsigned mp_codec_take(mp_codec_decoder *d) { return *(const volatile unsigned char *)d->p++; }

static inline size_t mp_codec_left(const mp_codec_decoder *d) { return (size_t)(d->end - d->p); }

/* Records the reason, which is static or on the stack; -1. */
int mp_codec_decode_fail(mp_codec_decoder *d, const char *why);

/* Read a varint and a u64: 0 or -1. */
int mp_codec_decode_long_number(mp_codec_decoder *d, uint64_t *v);
int mp_codec_decode_count(mp_codec_decoder *d, uint64_t *v);

static inline int mp_codec_decode_number(mp_codec_decoder *d, uint64_t *v) {
  const unsigned char *first = d->p;
  if (d->p < d->end && (*v = mp_codec_take(d)) < 0x80) return 0;
  unsigned second = d->p < d->end ? mp_codec_take(d) : 0x80;
  if (second < 0x80) {
    *v = (*v & 0x7F) | second << 7;
    return 0;
  }
  d->p = first;
  return mp_codec_decode_long_number(d, v);
}

/* Pushes the next value: 0, or -1. */
int mp_codec_decode_value(mp_codec_decoder *d);

/* The same for one who must know its tag, which is read once: takes the tag; pushes the value whose tag was taken. */
int mp_codec_decode_tag(mp_codec_decoder *d, unsigned *tag);
int mp_codec_decode_rest(mp_codec_decoder *d, unsigned tag);

/* Pushes the table whose tag was read; `offset` is where references expect it. */
int mp_codec_decode_table(mp_codec_decoder *d, int shared, size_t offset);

/* Pushes what a tag stands for that is more than plain data. */
int mp_codec_decode_object(mp_codec_decoder *d, unsigned tag, size_t offset);

/* One level down; the caller decrements d->depth. 0, or -1: too deep. */
int mp_codec_decode_descend(mp_codec_decoder *d);

/* Keeps the value at the top under a key: the offset of its tag, or minus that. */
void mp_codec_decode_remember(mp_codec_decoder *d, lua_Integer key);

/* Pushes what is kept under a key, and returns its type: LUA_TNIL when nothing is. */
int mp_codec_decode_recall(mp_codec_decoder *d, lua_Integer key);

/* Reads the offset of something kept: 0 or -1. */
static inline int mp_codec_decode_offset(mp_codec_decoder *d, lua_Integer *offset) {
  uint64_t v;
  if (mp_codec_decode_number(d, &v)) return -1;
  *offset = (lua_Integer)v;
  return *offset < 0 ? mp_codec_decode_fail(d, "a reference leads nowhere") : 0;
}

#pragma GCC visibility pop

#endif
