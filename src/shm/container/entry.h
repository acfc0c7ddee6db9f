/* SPDX-License-Identifier: MIT */
/*
 * Entries of containers (layer 1): a key and a value as bytes. Included by src/shm/container and by the binding.
 *
 *   head      ktype 8 | vtype 8 | nhandles 16 | keylen 32
 *   word      the number, the handle of a blob, or the length of the string or message behind the key
 *   deadline  only if vtype has MP_ITEM_EXPIRES: when it ends, ns
 *   handles   what the entry keeps alive: of objects in the value, of its blob, of its key
 *   key, value: bytes, each rounded up to 8
 *
 * An entry never changes but for `word` of a number, by one store. What others may write meanwhile is read and written by
 * words, relaxed: a reader that comes too late reads what it must not believe, never half a word.
 */
#ifndef MP_SHM_CONTAINER_ENTRY_H
#define MP_SHM_CONTAINER_ENTRY_H

#include <string.h>

#include "shm/arena/arena.h"
#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

enum {
  MP_ITEM_NONE, /* absent */
  MP_ITEM_INTEGER,
  MP_ITEM_FLOAT,
  MP_ITEM_FALSE,
  MP_ITEM_TRUE,
  MP_ITEM_STRING,
  MP_ITEM_MESSAGE,      /* what the codec made of it */
  MP_ITEM_LONG_STRING,  /* in a blob, handles[0] */
  MP_ITEM_LONG_MESSAGE, /* the same */
  MP_ITEM_OBJECT,       /* of keys alone: a handle */
  MP_ITEM_TYPES
};
#define MP_ITEM_EXPIRES 0x80u
#define MP_ITEM_KIND 0x7fu

#define MP_KEY_MOST (32u << 10)    /* bytes of a key */
#define MP_INLINE_MOST (32u << 10) /* bytes of a value and its handles; what is longer goes into a blob */
#define MP_ITEM_EXTRA 2            /* handles beside those of a message: the blob's, the key's */

typedef struct mp_shm_entry {
  _Atomic uint64_t head, word;
  _Atomic uint64_t more[]; /* deadline, handles, key, value */
} mp_shm_entry;
_Static_assert(sizeof(mp_shm_entry) == 16, "the entry's layout is part of the arena's");

typedef struct mp_shm_key { /* private */
  const void *p;
  uint32_t n;
  uint8_t type;
  uint32_t hash; /* mp_shm_hash_bytes; of an integer or float mp_shm_hash_word */
} mp_shm_key;

typedef struct mp_shm_item { /* a value; what it points to is private */
  uint8_t type;              /* MP_ITEM_*, with no flag */
  uint32_t n;                /* bytes at p */
  uint64_t word;
  const void *p;
  const mp_shm_handle *handles;
  uint32_t nhandles, nextra;
  mp_shm_handle
      extra[MP_ITEM_EXTRA]; /* handles to be kept beside those; of an item that was read they are in `handles` */
  uint64_t deadline;        /* 0: none */
} mp_shm_item;

static inline bool mp_shm_is_bytes(uint8_t type) { return type == MP_ITEM_STRING || type == MP_ITEM_MESSAGE; }
static inline bool mp_shm_is_blob(uint8_t type) { return type == MP_ITEM_LONG_STRING || type == MP_ITEM_LONG_MESSAGE; }
static inline bool mp_shm_is_number(uint8_t type) { return type == MP_ITEM_INTEGER || type == MP_ITEM_FLOAT; }

/* --- the head --- */

typedef struct mp_shm_shape { /* what the head says, and where things are, in words of `more` */
  uint8_t ktype, vtype;
  bool expires;
  uint32_t nhandles, keylen;
} mp_shm_shape;

static inline uint64_t mp_shm_words(uint64_t bytes) { return (bytes + 7) / 8; }
static inline mp_shm_shape mp_shm_shape_of(uint64_t head) {
  return (mp_shm_shape){(uint8_t)head, (uint8_t)(head >> 8 & MP_ITEM_KIND), (head >> 8 & MP_ITEM_EXPIRES) != 0,
                        (uint32_t)(head >> 16 & 0xffff), (uint32_t)(head >> 32)};
}
static inline uint64_t mp_shm_head(const mp_shm_shape *s) {
  return (uint64_t)s->ktype | (uint64_t)(s->vtype | (s->expires ? MP_ITEM_EXPIRES : 0)) << 8 |
         (uint64_t)s->nhandles << 16 | (uint64_t)s->keylen << 32;
}
static inline mp_shm_shape mp_shm_entry_shape(mp_shm_entry *e) {
  return mp_shm_shape_of(atomic_load_explicit(&e->head, memory_order_relaxed));
}
/* Whether an entry with that head has a key of that type and length; where it is then, in words of `more`. */
static inline bool mp_shm_head_has_key(uint64_t head, uint8_t type, uint32_t n) {
  return ((head ^ ((uint64_t)n << 32 | type)) & UINT64_C(0xffffffff000000ff)) == 0;
}
static inline uint64_t mp_shm_head_at_key(uint64_t head) { return (head >> 16 & 0xffff) + (head >> 15 & 1); }
static inline uint64_t mp_shm_at_handles(const mp_shm_shape *s) { return s->expires; }
static inline uint64_t mp_shm_at_key(const mp_shm_shape *s) { return (uint64_t)s->expires + s->nhandles; }
static inline uint64_t mp_shm_at_value(const mp_shm_shape *s) { return mp_shm_at_key(s) + mp_shm_words(s->keylen); }
static inline uint64_t mp_shm_value_bytes(const mp_shm_shape *s, uint64_t word) {
  return mp_shm_is_bytes(s->vtype) ? word : 0;
}
/* Bytes of the whole entry; word: what its word says. */
static inline uint64_t mp_shm_span(const mp_shm_shape *s, uint64_t word) {
  return sizeof(mp_shm_entry) + 8 * (mp_shm_at_value(s) + mp_shm_words(mp_shm_value_bytes(s, word)));
}
static inline uint64_t mp_shm_entry_span(mp_shm_entry *e) {
  mp_shm_shape s = mp_shm_entry_shape(e);
  return mp_shm_span(&s, atomic_load_explicit(&e->word, memory_order_relaxed));
}

/* --- bytes by words --- */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is a word's lowest");

/* The last bytes, fewer than 8, as a word. */
static inline uint64_t mp_shm_tail(const void *bytes, uint64_t n) {
  const unsigned char *p = bytes;
  if (n >= 4) {
    uint32_t first, last;
    memcpy(&first, p, 4);
    memcpy(&last, p + n - 4, 4);
    return first | (uint64_t)last << 8 * (n - 4);
  }
  if (!n) return 0;
  return p[0] | (uint64_t)p[n / 2] << 8 * (n / 2) | (uint64_t)p[n - 1] << 8 * (n - 1);
}

static inline void mp_shm_words_in(_Atomic uint64_t *to, const void *from, uint64_t bytes) {
  const char *p = from;
  uint64_t word;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    memcpy(&word, p, 8);
    atomic_store_explicit(to++, word, memory_order_relaxed);
  }
  if (bytes) atomic_store_explicit(to, mp_shm_tail(p, bytes), memory_order_relaxed);
}

/* to: room for whole words. */
static inline void mp_shm_words_out(void *to, const _Atomic uint64_t *from, uint64_t words) {
  char *p = to;
  for (uint64_t i = 0; i < words; i++, p += 8) {
    uint64_t word = atomic_load_explicit(&from[i], memory_order_relaxed);
    memcpy(p, &word, 8);
  }
}

static inline bool mp_shm_words_same(const _Atomic uint64_t *a, const void *b, uint64_t bytes) {
  const char *p = b;
  uint64_t word;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    memcpy(&word, p, 8);
    if (atomic_load_explicit(a++, memory_order_relaxed) != word) return false;
  }
  return !bytes || atomic_load_explicit(a, memory_order_relaxed) == mp_shm_tail(p, bytes);
}

/* --- hashes: seeded, for keys that come from outside --- */

#define MP_HASH_1 UINT64_C(0x9e3779b97f4a7c15)
#define MP_HASH_2 UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t mp_shm_hash_mix(uint64_t a, uint64_t b) {
  uint64_t high, low = mp_os_product(a, b, &high);
  return low ^ high;
}
static inline uint64_t mp_shm_hash_read(const unsigned char *p, size_t n) {
  uint64_t v = 0;
  memcpy(&v, p, n);
  return v;
}
static inline uint32_t mp_shm_hash_word(uint64_t w, uint64_t seed) {
  return (uint32_t)mp_shm_hash_mix(w ^ MP_HASH_1, seed ^ MP_HASH_2);
}
static inline uint32_t mp_shm_hash_bytes(const void *bytes, size_t n, uint64_t seed) {
  const unsigned char *p = bytes;
  uint64_t h = seed ^ mp_shm_hash_mix(n ^ MP_HASH_1, MP_HASH_2), a, b = 0;
  for (; n > 16; n -= 16, p += 16)
    h = mp_shm_hash_mix(mp_shm_hash_read(p, 8) ^ MP_HASH_1, mp_shm_hash_read(p + 8, 8) ^ h);
  if (n >= 8) {
    a = mp_shm_hash_read(p, 8);
    b = mp_shm_hash_read(p + n - 8, 8);
  } else if (n >= 4) {
    a = mp_shm_hash_read(p, 4);
    b = mp_shm_hash_read(p + n - 4, 4);
  } else {
    a = n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
  }
  return (uint32_t)mp_shm_hash_mix(a ^ MP_HASH_2, b ^ h ^ MP_HASH_1);
}

#pragma GCC visibility pop
#endif
