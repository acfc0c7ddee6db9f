/* SPDX-License-Identifier: MIT */
/*
 * Frozen graphs (layer 1): a graph of tables in one block, written before anyone else can know it, then only read, in place.
 * Called by L3.
 *
 *   block   = head | parts: strings, shapes, tables, big integers, the list of handles, in any order
 *   string  = len 32 | hash 32 | bytes | 0
 *   shape   = n 32 | bits 32 | key words[n], ascending | index[1 << bits] of 1, 2 or 4 bytes: 0, or the key's number + 1
 *             the hash part's keys; tables with the same keys share it. No index when n <= MP_FROZEN_SCAN.
 *   table   = narr 32 | kind 32 | shape 64 (0: none) | meta 64 (0: none) | items[narr] | values[shape.n]
 *             kind says what items are: words, or a run of integers or floats. meta: the string that names its metatable
 *   word    = a double as it is (all NaNs are one), or 13 bits MP_FROZEN_BOX | tag 4 | payload 47
 *             of a string: its place / 8 in 35 bits, the first 12 bits of its hash above them
 *
 * Every place is a multiple of 8 from the block's start: there is no pointer in it.
 *
 * word       written by                                    what a survivor, or a reader, sees
 * nhandles   the maker, by the commit of their going into  how many handles are in transit by it
 *            transit; destroy, by that of their coming off
 * the rest   the maker, between the birth and the first    nobody else can have the handle yet: killed there, the block
 *            store of the block's handle                   goes with its maker's reference
 *
 * Readers trust nothing: a place, a length, a count is held against the block's size before it is followed, so that bytes
 * that are none of a graph's give nil, or nothing, and never a crash.
 */
#ifndef MP_SHM_CONTAINER_FROZEN_H
#define MP_SHM_CONTAINER_FROZEN_H

#include <string.h>

#include "shm/arena/object.h"
#include "shm/container/entry.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_FROZEN = 13 };

enum {
  MP_FROZEN_FALSE = 1,
  MP_FROZEN_TRUE,
  MP_FROZEN_INT,
  MP_FROZEN_BIG,
  MP_FROZEN_STRING,
  MP_FROZEN_TABLE,
  MP_FROZEN_OBJECT,
  MP_FROZEN_NIL /* a hole among the items */
};
enum { MP_FROZEN_WORDS, MP_FROZEN_INTEGERS, MP_FROZEN_FLOATS };
enum { MP_FROZEN_SCAN = 8, MP_FROZEN_SHIFT = 47, MP_FROZEN_PLACE_BITS = 35, MP_FROZEN_HASH_BITS = 12 };

#define MP_FROZEN_BOX UINT64_C(0x1fff) /* the 13 bits */
#define MP_FROZEN_NAN UINT64_C(0xfff8000000000000)
#define MP_FROZEN_PAYLOAD ((UINT64_C(1) << MP_FROZEN_SHIFT) - 1)
#define MP_FROZEN_PLACE ((UINT64_C(1) << MP_FROZEN_PLACE_BITS) - 1)
#define MP_FROZEN_MOST (MP_FROZEN_PLACE * 8)                     /* bytes of a block */
#define MP_FROZEN_INT_MOST (INT64_C(1) << (MP_FROZEN_SHIFT - 1)) /* the first integer that is big */

typedef struct mp_shm_frozen { /* the block's head */
  uint64_t size, seed, root;   /* in bytes; of the hashes; the root's place */
  uint64_t tables, strings, shapes;
  uint64_t handles; /* the place of their list */
  _Atomic uint64_t nhandles;
} mp_shm_frozen;

typedef struct mp_shm_frozen_string {
  uint32_t len, hash;
  char bytes[];
} mp_shm_frozen_string;

typedef struct mp_shm_frozen_shape {
  uint32_t n, bits;
  uint64_t keys[];
} mp_shm_frozen_shape;

typedef struct mp_shm_frozen_table {
  uint32_t narr, kind;
  uint64_t shape, meta;
  uint64_t words[];
} mp_shm_frozen_table;

static inline uint64_t mp_shm_frozen_word(unsigned tag, uint64_t payload) {
  return MP_FROZEN_BOX << 51 | (uint64_t)tag << MP_FROZEN_SHIFT | (payload & MP_FROZEN_PAYLOAD);
}
static inline bool mp_shm_frozen_is_number(uint64_t w) { return w >> 51 != MP_FROZEN_BOX || w == MP_FROZEN_NAN; }
/* 0 for a double. */
static inline unsigned mp_shm_frozen_tag(uint64_t w) {
  return mp_shm_frozen_is_number(w) ? 0 : (unsigned)(w >> MP_FROZEN_SHIFT & 15);
}
static inline int64_t mp_shm_frozen_int(uint64_t w) { return (int64_t)(w << 17) >> 17; }
static inline uint64_t mp_shm_frozen_float(double d) {
  uint64_t w;
  memcpy(&w, &d, sizeof w);
  return d == d ? w : MP_FROZEN_NAN;
}

/* A block as a reader has it. */
typedef struct mp_shm_frozen_view {
  const char *block;
  uint64_t size, seed;
} mp_shm_frozen_view;
static inline mp_shm_frozen_view mp_shm_frozen_look(const mp_shm_frozen *f) {
  return (mp_shm_frozen_view){(const char *)f, f->size, f->seed};
}

/* n bytes at that place, or NULL: they do not lie in the block. */
static inline const void *mp_shm_frozen_at(const mp_shm_frozen_view *v, uint64_t place, uint64_t n) {
  return n <= v->size && place <= v->size - n && place % 8 == 0 ? v->block + place : NULL;
}

/* The table at that place with all its words, and its shape (NULL: none); or NULL. */
const mp_shm_frozen_table *mp_shm_frozen_table_at(const mp_shm_frozen_view *v, uint64_t place,
                                                  const mp_shm_frozen_shape **shape);
/* The string of a word; or NULL. */
const mp_shm_frozen_string *mp_shm_frozen_string_at(const mp_shm_frozen_view *v, uint64_t word);
/* A big integer: false when there is none. */
bool mp_shm_frozen_big(const mp_shm_frozen_view *v, uint64_t word, int64_t *i);
/* The number of a key in the shape, or -1: of a word that is no string; of a string. */
int64_t mp_shm_frozen_find(const mp_shm_frozen_view *v, const mp_shm_frozen_shape *s, uint64_t word);
int64_t mp_shm_frozen_find_string(const mp_shm_frozen_view *v, const mp_shm_frozen_shape *s, const char *key, size_t n);

/* For the maker: a shape's size, and its index once its keys are there. hashes[i]: of key i. */
uint64_t mp_shm_frozen_shape_bytes(uint32_t n);
void mp_shm_frozen_index(mp_shm_frozen_shape *s, const uint32_t *hashes);
static inline uint32_t mp_shm_frozen_hash(uint64_t word, uint64_t seed) { return mp_shm_hash_word(word, seed); }

/* An object of `bytes` bytes, held by this process, to be written: its head has nhandles 0. 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_frozen_new(uint64_t bytes, const mp_shm_wait *w, mp_shm_handle *out);
/* Once all is written: the n handles of its list, which this process holds, go into transit by it. */
int mp_shm_frozen_keep(mp_shm_frozen *f, uint32_t n, const mp_shm_wait *w);

extern const mp_shm_object_type_info mp_shm_frozen_type;

#pragma GCC visibility pop
#endif
