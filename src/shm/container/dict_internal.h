/* SPDX-License-Identifier: MIT */
/* What the files of the dictionary share. The words stand in dict.h. */
#ifndef MP_SHM_CONTAINER_DICT_INTERNAL_H
#define MP_SHM_CONTAINER_DICT_INTERNAL_H

#include "shm/container/dict.h"

#pragma GCC visibility push(hidden)

#define MP_SLOT_DELETED UINT64_C(1)

static inline bool mp_shm_slot_filled(uint64_t slot) { return slot > MP_SLOT_DELETED; }
static inline uint64_t mp_shm_slot_word(uint32_t hash, uint64_t place) { return (uint64_t)hash << 32 | place / 8; }
static inline uint64_t mp_shm_slot_place(uint64_t slot) { return (slot & 0xffffffff) * 8; }
static inline uint32_t mp_shm_slot_hash(uint64_t slot) { return (uint32_t)(slot >> 32); }
static inline uint32_t mp_shm_stripe_index(uint32_t hash, uint32_t mask) { return hash >> 24 & mask; }
_Static_assert(MP_DICT_STRIPES == 256, "the stripe is the hash's first byte");

static inline uint64_t mp_shm_index_size(uint64_t w) { return UINT64_C(1) << mp_shm_table_order(w); }
static inline uint64_t mp_shm_log_begin(unsigned order) { return sizeof(mp_shm_table) + (UINT64_C(8) << order); }

static inline uint64_t mp_shm_live_bytes(const mp_shm_stripe *s) {
  return s->table ? s->end - mp_shm_log_begin(mp_shm_table_order(s->table)) - s->dead : 0;
}
static inline bool mp_shm_slot_is_of(const mp_shm_store *st, uint64_t slot, uint32_t mask) {
  return mp_shm_slot_filled(slot) && mp_shm_stripe_index(mp_shm_slot_hash(slot), mask) == st->part;
}

/* i > 0: the stripes are claimed. */
static inline mp_shm_stripe *mp_shm_dict_stripe(mp_shm_dict *d, uint32_t i) {
  if (!i) return &d->first;
  return (mp_shm_stripe *)mp_shm_chunk_data(d->rest - 1) + (i - 1);
}
static inline uint32_t mp_shm_dict_mask(mp_shm_dict *d) { return atomic_load_explicit(&d->mask, memory_order_acquire); }
mp_shm_store mp_shm_dict_store(mp_shm_dict *d, uint32_t i);
static inline mp_shm_dict *mp_shm_dict_of(const mp_shm_store *st) {
  return mp_shm_chunk_data(mp_shm_object_at(st->object)->chunk);
}
extern const mp_shm_layout mp_shm_dict_layout;

/* The slot that has the key and what it held, or NULL; *gap: the first that may be filled, or NULL. */
_Atomic uint64_t *mp_shm_dict_find(uint64_t w, const mp_shm_key *k, uint64_t *slot, _Atomic uint64_t **gap);
bool mp_shm_dict_expired(const mp_shm_item *v);

/* With the stripe's lock: */

/* Whether there is room for one more entry of that size; a table with such room, smaller or larger. 0, -errno. */
bool mp_shm_dict_has_room(mp_shm_stripe *s, uint64_t span);
int mp_shm_dict_remake(mp_shm_dict *d, const mp_shm_store *st, uint64_t span, const mp_shm_wait *w);
/* Whether stripe 0 is to be split, and with its lock: does it. */
bool mp_shm_dict_should_split(mp_shm_dict *d, const mp_shm_stripe *s);
int mp_shm_dict_split(mp_shm_dict *d, const mp_shm_wait *w);
/* Deletes those whose time is over. */
int mp_shm_dict_drop_expired(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_wait *w);
/* Deletes entry `slot` at p. */
int mp_shm_dict_remove(mp_shm_dict *d, const mp_shm_store *st, _Atomic uint64_t *p, uint64_t slot,
                       const mp_shm_wait *w);
/* Makes room for so many bytes, those of its blob among them, in a bounded one, by deleting what is old and was not read
 * lately. -EFBIG: the bound is smaller than the entry. */
int mp_shm_dict_evict(mp_shm_dict *d, const mp_shm_store *st, uint64_t bytes, bool one_more, const mp_shm_wait *w);
/* The slot that names the entry at that place, or NULL: it is dead. */
_Atomic uint64_t *mp_shm_dict_slot_of(mp_shm_dict *d, mp_shm_stripe *s, uint64_t place);
#pragma GCC visibility pop
#endif
