/* SPDX-License-Identifier: MIT */
/* See seen.h. */
#include "seen.h"

#include <stdlib.h>

#define MP_SEEN_FIRST_LOG2 6u
#define MP_SEEN_KEEP ((size_t)1 << 15)

static inline mp_codec_seen_entry *find(const mp_codec_seen *s, uint64_t key, uint64_t mark) {
  size_t i = (size_t)((key * MP_HASH_FACTOR) >> s->shift);
  uint64_t oldest = s->stamp << 8; /* stamps only grow */
  for (;; i = (i + 1) & (s->cap - 1)) {
    mp_codec_seen_entry *e = &s->slots[i];
    if (e->mark < oldest || (e->key == key && e->mark == mark)) return e;
  }
}

static int grow(mp_codec_seen *s) {
  mp_codec_seen old = *s;
  s->shift = old.cap ? old.shift - 1 : 64 - MP_SEEN_FIRST_LOG2;
  s->cap = old.cap ? 2 * old.cap : (size_t)1 << MP_SEEN_FIRST_LOG2;
  s->room = s->cap / 4 * 3;
  s->slots = calloc(s->cap, sizeof *s->slots);
  if (!s->slots) {
    *s = old;
    return -1;
  }
  if (!s->stamp) s->stamp = 1;
  for (size_t i = 0; i < old.cap; i++) {
    if (old.slots[i].mark >> 8 == s->stamp) *find(s, old.slots[i].key, old.slots[i].mark) = old.slots[i];
  }
  free(old.slots);
  return 0;
}

mp_codec_seen_entry *mp_codec_seen_put(mp_codec_seen *s, uint64_t key, enum mp_codec_kind kind, int *found) {
  if (s->count == s->room && grow(s)) return NULL;
  uint64_t mark = s->stamp << 8 | (uint64_t)kind;
  mp_codec_seen_entry *e = find(s, key, mark);
  *found = e->mark == mark;
  if (!*found) {
    e->key = key;
    e->mark = mark;
    s->count++;
  }
  return e;
}

int mp_codec_seen_has(const mp_codec_seen *s, uint64_t key) {
  uint64_t mark = s->stamp << 8 | MP_KIND_VALUE;
  return s->cap && find(s, key, mark)->mark == mark;
}

void mp_codec_seen_clear(mp_codec_seen *s) {
  s->stamp++;
  s->count = 0;
}

void mp_codec_seen_trim(mp_codec_seen *s) {
  if (s->cap > MP_SEEN_KEEP) {
    free(s->slots);
    s->slots = NULL;
    s->cap = s->room = 0;
  }
  mp_codec_seen_clear(s);
}
