/* SPDX-License-Identifier: MIT */
/*
 * The shortest strings that a message met lately: address to place. It forgets:
 * each set keeps the one that was met again last, and the one that came last. So
 * keys stay, however many other strings pass, and it is small enough for the
 * first cache, where a table of all would not be. What it forgot is written
 * again, for a string has no identity: some bytes more, so longer strings are not
 * kept here. Which set is a matter of content: the bytes of a message do not
 * depend on addresses. An address stands for its string as in seen.h. Private to
 * the codec.
 */
#ifndef MP_CODEC_STRING_CACHE_H
#define MP_CODEC_STRING_CACHE_H

#include <string.h>

#include "seen.h"

#pragma GCC visibility push(hidden)

/* Lengths of strings, and how many sets there are. */
#define MP_STRING_CACHE_MIN 4
#define MP_STRING_CACHE_MAX 12
#define MP_STRING_CACHE_LOG2 8u

typedef struct mp_codec_string_cache {
  mp_codec_seen_entry sets[1 << MP_STRING_CACHE_LOG2][2]; /* first the one that was met again; mark: the stamp */
  uint64_t stamp;
} mp_codec_string_cache;

/* The set of a string, by its first four bytes and its last. */
static inline size_t mp_codec_string_cache_set(const char *s, size_t len) {
  uint32_t first, last;
  memcpy(&first, s, sizeof first);
  memcpy(&last, s + len - sizeof last, sizeof last);
  return (size_t)(((first | (uint64_t)last << 32) * MP_HASH_FACTOR) >> (64 - MP_STRING_CACHE_LOG2));
}

/* Finds or makes the entry. *found tells which; a new one's places are the
 * caller's to set. Valid until the next call. */
static inline mp_codec_seen_entry *mp_codec_string_cache_put(mp_codec_string_cache *r, const char *s, size_t len,
                                                             int *found) {
  uint64_t key = (uint64_t)(uintptr_t)s;
  mp_codec_seen_entry *set = r->sets[mp_codec_string_cache_set(s, len)];
  *found = 1;
  if (set[0].key == key && set[0].mark == r->stamp) return set;
  mp_codec_seen_entry known = set[1];
  *found = known.key == key && known.mark == r->stamp;
  if (*found) {
    set[1] = set[0];
    set[0] = known;
    return set;
  }
  if (set[0].mark == r->stamp) set++;
  *set = (mp_codec_seen_entry){.key = key, .mark = r->stamp};
  return set;
}

/* Forgets everything. */
static inline void mp_codec_string_cache_clear(mp_codec_string_cache *r) { r->stamp++; }

#pragma GCC visibility pop

#endif
