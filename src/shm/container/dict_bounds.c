/* SPDX-License-Identifier: MIT */
/* Bounds and deadlines of a dictionary: what goes when there is no more room. The words stand in dict.h. */
#include <errno.h>

#include "shm/container/dict_internal.h"

static uint64_t hash_of(mp_shm_dict *d, mp_shm_entry *e) {
  mp_shm_shape s = mp_shm_entry_shape(e);
  const void *key = (const void *)&e->more[mp_shm_at_key(&s)];
  return s.ktype == MP_ITEM_STRING ? mp_shm_hash_bytes(key, s.keylen, d->seed)
                                   : mp_shm_hash_word(*(const uint64_t *)key, d->seed);
}

_Atomic uint64_t *mp_shm_dict_slot_of(mp_shm_dict *d, mp_shm_stripe *s, uint64_t place) {
  mp_shm_table *t = mp_shm_table_at(s->table);
  uint64_t mask = mp_shm_index_size(s->table) - 1, hash = hash_of(d, mp_shm_entry_at(t, place));
  for (uint64_t i = 0; i <= mask; i++) {
    uint64_t slot = t->index[(hash + i) & mask];
    if (!slot) break;
    if (mp_shm_slot_filled(slot) && mp_shm_slot_place(slot) == place) return &t->index[(hash + i) & mask];
  }
  return NULL;
}

/* Whether it was read since the last walk; that is forgotten. */
static bool was_read(mp_shm_dict *d, uint32_t hash) {
  _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)((char *)d + MP_PAGE) + (hash & (d->recent_bits - 1)) / 64;
  uint64_t bit = UINT64_C(1) << hash % 64;
  if (!(atomic_load_explicit(word, memory_order_relaxed) & bit)) return false;
  atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
  return true;
}

static bool is_expired(mp_shm_entry *e) {
  mp_shm_shape s = mp_shm_entry_shape(e);
  mp_shm_item v = {.deadline = s.expires ? e->more[0] : 0};
  return mp_shm_dict_expired(&v);
}

typedef struct bound { /* of one stripe */
  uint64_t entries, bytes;
} bound;

static uint64_t share_of(uint64_t whole, uint32_t stripes) {
  if (!whole) return UINT64_MAX / 4;
  return whole / stripes ? whole / stripes : 1;
}

static uint64_t bytes_of(const mp_shm_stripe *s) { return mp_shm_live_bytes(s) + s->outside; }
static bool within(const mp_shm_stripe *s, bound b) { return s->live <= b.entries && bytes_of(s) <= b.bytes; }

/* From the oldest entry on, until what is left is within the bound. */
static int walk(mp_shm_dict *d, const mp_shm_store *st, bound b, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  uint64_t next;
  for (uint64_t place = mp_shm_log_begin(mp_shm_table_order(s->table)); place < s->end && !within(s, b); place = next) {
    mp_shm_entry *e = mp_shm_entry_at(mp_shm_table_at(s->table), place);
    next = place + mp_shm_entry_span(e);
    _Atomic uint64_t *p = mp_shm_dict_slot_of(d, s, place);
    if (!p || !mp_shm_slot_is_of(st, *p, d->mask)) continue;
    if (was_read(d, mp_shm_slot_hash(*p)) && !is_expired(e)) continue;
    int err = mp_shm_dict_remove(d, st, p, *p, w);
    if (err) return err;
    d->evictions++;
  }
  return 0;
}

/* An entry that takes more than the stripe's share is alone there. */
int mp_shm_dict_evict(mp_shm_dict *d, const mp_shm_store *st, uint64_t bytes, bool one_more, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  bound b = {share_of(d->options.max_entries, d->mask + 1), share_of(d->options.max_bytes, d->mask + 1)};
  if (d->options.max_bytes && bytes > d->options.max_bytes) return -EFBIG;
  if (bytes > b.bytes) b.bytes = bytes;
  if (!s->table || (s->live + one_more <= b.entries && bytes_of(s) + bytes <= b.bytes)) return 0;
  uint64_t rest = b.bytes - bytes, most = b.bytes / 4 * 3;
  bound target = {b.entries - (b.entries + 3) / 4, rest < most ? rest : most};
  int err = walk(d, st, target, w);
  if (!err && !within(s, target)) err = walk(d, st, target, w);
  return err;
}

/* What takes room and is there no more. */
int mp_shm_dict_drop_expired(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  for (uint64_t i = 0; s->table && i < mp_shm_index_size(s->table); i++) {
    _Atomic uint64_t *p = &mp_shm_table_at(s->table)->index[i];
    if (!mp_shm_slot_is_of(st, *p, d->mask) ||
        !is_expired(mp_shm_entry_at(mp_shm_table_at(s->table), mp_shm_slot_place(*p))))
      continue;
    int err = mp_shm_dict_remove(d, st, p, *p, w);
    if (err) return err;
  }
  return 0;
}
