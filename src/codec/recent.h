/* SPDX-License-Identifier: MIT */
/*
 * The short strings that a message met lately: address to place. It forgets: each
 * set keeps the one that was met again last, and the one that came last. So keys
 * stay, however many other strings pass, and it is small enough for the first
 * cache. What it forgot is written again, which costs bytes and nothing else, for
 * a string has no identity. An address stands for its string as in seen.h. Private
 * to the codec.
 */
#ifndef MP_CODEC_RECENT_H
#define MP_CODEC_RECENT_H

#include "seen.h"

#pragma GCC visibility push(hidden)

#define MP_RECENT_LOG2 8u

typedef struct mp_recent {
  mp_seen_entry sets[1 << MP_RECENT_LOG2][2]; /* first the one that was met again; mark: the stamp */
  uint64_t stamp;
} mp_recent;

/* Finds or makes the entry. *found tells which; a new one's places are the
 * caller's to set. Valid until the next call. */
static inline mp_seen_entry *mp_recent_put(mp_recent *r, uint64_t key, int *found) {
  mp_seen_entry *set = r->sets[(key * MP_HASH_FACTOR) >> (64 - MP_RECENT_LOG2)];
  *found = 1;
  if (set[0].key == key && set[0].mark == r->stamp) return set;
  mp_seen_entry known = set[1];
  *found = known.key == key && known.mark == r->stamp;
  if (*found) {
    set[1] = set[0];
    set[0] = known;
    return set;
  }
  if (set[0].mark == r->stamp) set++;
  *set = (mp_seen_entry){.key = key, .mark = r->stamp};
  return set;
}

/* Forgets everything. */
static inline void mp_recent_clear(mp_recent *r) { r->stamp++; }

#pragma GCC visibility pop

#endif
