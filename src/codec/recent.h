/* SPDX-License-Identifier: MIT */
/*
 * The short strings that a message met lately: address to place. It forgets: of
 * each set it keeps the two that were met last. What it forgot is written again,
 * which costs bytes and nothing else, for a string has no identity. So it stays
 * small enough for the first cache, however many strings a message has. An
 * address stands for its string as in seen.h. Private to the codec.
 */
#ifndef MP_CODEC_RECENT_H
#define MP_CODEC_RECENT_H

#include "seen.h"

#pragma GCC visibility push(hidden)

#define MP_RECENT_LOG2 7u

typedef struct mp_recent {
  mp_seen_entry sets[1 << MP_RECENT_LOG2][2]; /* the last met first; mark: the stamp */
  uint64_t stamp;
} mp_recent;

/* Finds or makes the entry. *found tells which; a new one's places are the
 * caller's to set. Valid until the next call. */
static inline mp_seen_entry *mp_recent_put(mp_recent *r, uint64_t key, int *found) {
  mp_seen_entry *set = r->sets[(key * MP_HASH_FACTOR) >> (64 - MP_RECENT_LOG2)];
  *found = 1;
  if (set[0].key == key && set[0].mark == r->stamp) return set;
  mp_seen_entry other = set[1];
  set[1] = set[0];
  *found = other.key == key && other.mark == r->stamp;
  if (!*found) other = (mp_seen_entry){.key = key, .mark = r->stamp};
  set[0] = other;
  return set;
}

/* Forgets everything. */
static inline void mp_recent_clear(mp_recent *r) { r->stamp++; }

#pragma GCC visibility pop

#endif
