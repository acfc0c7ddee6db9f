/* SPDX-License-Identifier: MIT */
/* What the files of the list share. The words stand in list.h. */
#ifndef MP_SHM_CONTAINER_LIST_INTERNAL_H
#define MP_SHM_CONTAINER_LIST_INTERNAL_H

#include "shm/container/list.h"

#pragma GCC visibility push(hidden)

static inline uint64_t mp_shm_list_first(uint64_t shape) { return shape >> 32; }
static inline uint64_t mp_shm_list_n(uint64_t shape) { return shape & 0xffffffff; }
static inline uint64_t mp_shm_list_shape(uint64_t first, uint64_t n) { return first << 32 | n; }
static inline uint64_t mp_shm_list_slots(uint64_t w) { return UINT64_C(1) << mp_shm_table_order(w); }
static inline uint64_t mp_shm_list_log(unsigned order) { return sizeof(mp_shm_table) + (UINT64_C(8) << order); }

mp_shm_store mp_shm_list_store(mp_shm_list *l);
static inline mp_shm_list *mp_shm_list_of(const mp_shm_store *st) {
  return mp_shm_chunk_data(mp_shm_object_at(st->object)->chunk);
}
extern const mp_shm_layout mp_shm_list_layout;

/* With the stripe's lock, or by who destroys it: */

typedef struct mp_shm_items { /* n 0: no table perhaps */
  mp_shm_table *t;
  _Atomic uint64_t *index; /* of item 0 */
  uint64_t first, n;
} mp_shm_items;

static inline mp_shm_items mp_shm_list_items(mp_shm_list *l) {
  if (!l->stripe.table) return (mp_shm_items){NULL, NULL, 0, 0};
  mp_shm_table *t = mp_shm_table_at(l->stripe.table);
  uint64_t shape = t->shape, first = mp_shm_list_first(shape);
  return (mp_shm_items){t, &t->index[first], first, mp_shm_list_n(shape)};
}
static inline mp_shm_entry *mp_shm_list_entry(const mp_shm_items *all, uint64_t i) {
  return mp_shm_entry_at(all->t, 8 * all->index[i]);
}
static inline uint64_t mp_shm_list_live_bytes(mp_shm_list *l) {
  uint64_t w = l->stripe.table;
  return w ? l->stripe.end - mp_shm_list_log(mp_shm_table_order(w)) - l->stripe.dead : 0;
}

/* A new table for so many slots and bytes, and more; its word. NULL and *err. */
mp_shm_table *mp_shm_list_table(mp_shm_list *l, uint64_t slots, uint64_t bytes, uint64_t *word, const mp_shm_wait *w,
                                int *err);
/* Copies the entry that `slot` names to `end` of another table, as item i: its end there. */
uint64_t mp_shm_list_move(mp_shm_table *from, uint64_t slot, mp_shm_table *to, uint64_t i, uint64_t end);
/* Removes an item between others. */
int mp_shm_list_remove_inside(mp_shm_list *l, uint64_t i, const mp_shm_wait *w);

#pragma GCC visibility pop
#endif
