/* SPDX-License-Identifier: MIT */
/*
 * Lists (layer 1): items by index, in one stripe (stripe.h). Called by L3. Indices are 0-based here.
 *
 * word        written by (stripe's lock)                    what a survivor, or a reader beside, sees
 * slot        (index of a table) place / 8 of item first +  before or after; outside of `shape` it means nothing
 *             i; release: THE COMMIT of set
 * shape       (of a table) first 32 | n 32; release: THE    before or after: a table has its own, so that a new one comes
 *             COMMIT of append, extend, pop, shift          with its items in one store
 * table       release: THE COMMIT of insert, remove, sort
 * changes     +1 before each commit                        a sort that copied meanwhile begins again
 * carried     1 before the first handle comes; destroy,     1: no table has been freed, some entry may have handles
 *             once none is left
 *
 * A reader loads version, table, shape, slot, entry, then shape and version again: the item was in the list at some moment
 * between if `first` stayed the same, the index is below n still, and version is the same.
 */
#ifndef MP_SHM_CONTAINER_LIST_H
#define MP_SHM_CONTAINER_LIST_H

#include "shm/container/stripe.h"
#include "shm/sync/mutex.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_LIST = 12 };
#define MP_LIST_LAST UINT64_MAX /* the index of the last item */
#define MP_LIST_MOST ((UINT64_C(1) << 31) - 1)

typedef struct mp_shm_list {
  mp_shm_mutex user; /* first: MP_PART_LOCK */
  _Alignas(MP_LINE) uint32_t slot;
  _Atomic uint32_t carried;
  _Atomic uint64_t changes;
  mp_shm_stripe stripe;
  unsigned char own[]; /* its first table, up to the page's end */
} mp_shm_list;
_Static_assert(offsetof(mp_shm_list, user) == 0, "MP_PART_LOCK is what the block begins with");

int mp_shm_list_new(const mp_shm_wait *w, mp_shm_handle *out);
extern const mp_shm_object_type_info mp_shm_list_type;

/* Without a lock. 1: *v, whose bytes are in buf, MP_ITEM_ROOM bytes, 8-aligned; 0: outside. */
int mp_shm_list_get(mp_shm_list *l, uint64_t i, void *buf, mp_shm_item *v);
uint64_t mp_shm_list_count(mp_shm_list *l);

/* All below: what an item carries is held by this process. -ERANGE: outside; other errors: nothing has happened.
 * expected: NULL, or what must be there, by content. 1: done; 0: something else is there. */
int mp_shm_list_set(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_item *expected,
                    const mp_shm_wait *w);
int mp_shm_list_remove(mp_shm_list *l, uint64_t i, const mp_shm_item *expected, const mp_shm_wait *w);
/* Adds the number n as Lua would. -EINVAL: no number is there, and *sum is of its type. */
int mp_shm_list_add(mp_shm_list *l, uint64_t i, const mp_shm_item *n, mp_shm_item *sum, const mp_shm_wait *w);
/* n items at once. -E2BIG: too many, or too many handles. */
int mp_shm_list_append(mp_shm_list *l, const mp_shm_item *items, uint64_t n, const mp_shm_wait *w);
/* Before item i; i == n: behind the last. */
int mp_shm_list_insert(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_wait *w);
int mp_shm_list_clear(mp_shm_list *l, const mp_shm_wait *w);

/* Copies the entries of items [from, from + n), or those of them that there are, at one instant: the bytes used, and
 * *changes then; this process has a use of every handle in the copy. -ENOSPC and *need; or -errno. */
typedef struct mp_shm_list_part {
  uint64_t from, n;
  uint64_t changes; /* out: for mp_shm_list_permute */
} mp_shm_list_part;
int64_t mp_shm_list_copy(mp_shm_list *l, mp_shm_list_part *part, void *buf, uint64_t room, uint64_t *need,
                         const mp_shm_wait *w);
/* Puts the items in another order: item order[i] becomes item i. 1; 0: it is not as it was when `changes` was taken. */
int mp_shm_list_permute(mp_shm_list *l, const uint32_t *order, uint64_t n, uint64_t changes, const mp_shm_wait *w);

#pragma GCC visibility pop
#endif
