/* SPDX-License-Identifier: MIT */
/*
 * Dictionaries (layer 1): a hash table that all processes share. Readers take no lock and store nothing; writers lock one
 * stripe. Called by L3. Words of a stripe stand in stripe.h; these are the dictionary's own:
 *
 * word       written by                                    what a survivor sees
 * slot       (index of a table) hash 32 | place / 8 32;    before or after
 *            0 empty, 1 deleted. Stripe's lock; release:
 *            THE COMMIT of set and delete
 * mask       0 -> MP_DICT_STRIPES - 1, once, under stripe  before: the other stripes mean nothing, the next split frees
 *            0's lock, after all others are filled: THE    what lies there; after: what stripe 0 still has of others
 *            COMMIT of the split                           is skipped, and dropped by its next copy
 * rest       the claim of the chunk of the other stripes,  in use or not, it says itself; claimed again if not
 *            before its own commit
 * ready      1 once those stripes are initialised          0: their words mean nothing
 * carried    1 before the first handle comes; destroy,     1: no table has been freed, some entry may have handles
 *            once none is left
 * gone       destroy: how many stripes have no handles       as it stands: what is done again finds nothing to do
 *            any more; then 0; then how many no chunks
 * expiring   1 before the first entry with a deadline       0: none has one
 * evictions  a count
 * recent     (bounded ones) readers, relaxed: a bit by     a hint: which entries were read since the last walk
 *            hash
 * the rest   the maker, before the birth; never again
 *
 * Linearization: a get at its load of the slot (of a number: of its word; if the entry has been replaced since, its last
 * number was current until then). A reader takes the stripe by mask, loads version, and looks whether mask still gives that
 * stripe: it might have been split before that version.
 */
#ifndef MP_SHM_CONTAINER_DICT_H
#define MP_SHM_CONTAINER_DICT_H

#include "shm/container/stripe.h"
#include "shm/sync/mutex.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_DICT = 10 };
enum { MP_DICT_STRIPES = 256 };
enum { MP_DICT_PLAIN, MP_DICT_SET, MP_DICT_NAMESPACE };

typedef struct mp_shm_dict_options {
  uint32_t kind;
  uint64_t max_entries, max_bytes; /* 0: none */
  uint64_t ttl;                    /* ns; 0: none. For L3, which sets deadlines */
} mp_shm_dict_options;

typedef struct mp_shm_dict {
  mp_shm_mutex user; /* first: MP_PART_LOCK */
  _Alignas(MP_LINE) uint64_t seed;
  uint32_t slot;
  _Atomic uint32_t mask, rest, ready, carried;
  _Atomic uint32_t evictions, expiring, gone;
  uint64_t recent_bits; /* a power of two; 0: not bounded */
  mp_shm_dict_options options;
  mp_shm_stripe first;
  unsigned char own[]; /* stripe 0's first table, up to the page's end; then recent */
} mp_shm_dict;
_Static_assert(offsetof(mp_shm_dict, user) == 0, "MP_PART_LOCK is what the block begins with");
_Static_assert(sizeof(mp_shm_dict) < MP_PAGE / 4, "most of a small dictionary's page is its table");

/* 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_dict_new(const mp_shm_dict_options *o, const mp_shm_wait *w, mp_shm_handle *out);
extern const mp_shm_object_type_info mp_shm_dict_type;

/* Without a lock. 1: *v, whose bytes are in buf, MP_ITEM_ROOM bytes, 8-aligned; 0: absent. */
int mp_shm_dict_get(mp_shm_dict *d, const mp_shm_key *k, void *buf, mp_shm_item *v);
/* expected: NULL, or what must be there (MP_ITEM_NONE: nothing), by content. v NONE: deletes. What v carries is held by
 * this process. 1: done; 0: something else is there; or -errno, and nothing has happened. */
int mp_shm_dict_set(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_item *v, const mp_shm_item *expected,
                    const mp_shm_wait *w);
/* 1: there was one; 0; -errno. */
int mp_shm_dict_delete(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_wait *w);
/* Adds the number n as Lua would; absent counts as `initial`. -EINVAL: no number is there, and *sum is of its type. */
int mp_shm_dict_add(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_item *n, const mp_shm_item *initial,
                    mp_shm_item *sum, const mp_shm_wait *w);
/* Deletes all, stripe by stripe. */
int mp_shm_dict_clear(mp_shm_dict *d, const mp_shm_wait *w);
/* 0, or -errno. Exact while nobody writes. */
int mp_shm_dict_count(mp_shm_dict *d, const mp_shm_wait *w, uint64_t *n);

/* Copies the live entries of stripe i, one after another, to buf: the bytes used, and the mask that it went by in *mask (0:
 * stripe 0 had all there is); or -ENOSPC and *need, a guess; or -errno. */
int64_t mp_shm_dict_copy(mp_shm_dict *d, uint32_t i, void *buf, uint64_t room, uint32_t *mask, uint64_t *need,
                         const mp_shm_wait *w);
/* The same of all at one instant. This process has a use of every handle in the copy. */
int64_t mp_shm_dict_copy_all(mp_shm_dict *d, void *buf, uint64_t room, uint64_t *need, const mp_shm_wait *w);

typedef struct mp_shm_dict_numbers {
  uint64_t entries, bytes, dead, copies, evictions;
  uint32_t stripes;
} mp_shm_dict_numbers;
void mp_shm_dict_stats(mp_shm_dict *d, mp_shm_dict_numbers *n);

/* How many entries stripe 0 has when it is split; tests lower it. */
extern uint32_t mp_shm_dict_split_at;

#pragma GCC visibility pop
#endif
