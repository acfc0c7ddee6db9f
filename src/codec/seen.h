/* SPDX-License-Identifier: MIT */
/*
 * What a message already holds: address (or number) and kind to the place of
 * its tag byte. Open addressing in C memory, emptied in O(1) by a new stamp.
 * An address stands for its object only while that cannot be collected: see
 * encoder.h. Private to the codec.
 */
#ifndef MP_CODEC_SEEN_H
#define MP_CODEC_SEEN_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Spreads an address over the upper bits. */
#define MP_HASH_FACTOR UINT64_C(0x9E3779B97F4A7C15)

enum mp_codec_kind { MP_KIND_VALUE, MP_KIND_METATABLE, MP_KIND_UPVALUE, MP_KIND_HANDLE };

typedef struct mp_codec_seen_entry {
  uint64_t key;
  uint64_t mark;   /* stamp << 8 | kind; another stamp: the slot is free */
  uint64_t offset; /* of the tag byte in the message, or MP_SEEN_UNFINISHED */
  size_t at;       /* of the tag byte in the scratch */
} mp_codec_seen_entry;

/* A hooked object whose plain value is being encoded. */
#define MP_SEEN_UNFINISHED UINT64_MAX

typedef struct mp_codec_seen {
  mp_codec_seen_entry *slots;
  size_t cap; /* a power of two, or 0 */
  size_t count;
  size_t room;    /* for so many entries */
  unsigned shift; /* 64 - log2(cap) */
  uint64_t stamp;
} mp_codec_seen;

/* Finds or makes the entry. *found tells which; a new one's places are the
 * caller's to set. NULL: no memory. Valid until the next call. */
mp_codec_seen_entry *mp_codec_seen_put(mp_codec_seen *s, uint64_t key, enum mp_codec_kind kind, int *found);

/* Is there a value (MP_KIND_VALUE) with this key? */
int mp_codec_seen_has(const mp_codec_seen *s, uint64_t key);

/* Forgets everything. */
void mp_codec_seen_clear(mp_codec_seen *s);

/* Forgets everything, and gives memory back when it is much. */
void mp_codec_seen_trim(mp_codec_seen *s);

#pragma GCC visibility pop

#endif
