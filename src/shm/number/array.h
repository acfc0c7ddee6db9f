/* SPDX-License-Identifier: MIT */
/*
 * Numbers in shared memory (layer 1): Value and Array. Called by L3. A Value is an array of one element.
 *
 * word             written by, order                            what a survivor sees
 * elements kind    the maker, before the birth; never again
 * data             the maker zeroes all between the birth and   zeroes of a maker killed meanwhile die with it: nobody
 *                  the return of mp_shm_array_new                   else can have the handle yet
 *                  then by elements.h
 * lock             see mutex.h. No word here depends on it: it is what Lua code holds round several accesses.
 */
#ifndef MP_SHM_NUMBER_ARRAY_H
#define MP_SHM_NUMBER_ARRAY_H

#include "shm/number/elements.h"
#include "shm/sync/mutex.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_ARRAY = 9 };

enum { MP_ARRAY_LIST, MP_ARRAY_VALUE };

typedef struct mp_shm_array {
  mp_shm_mutex lock; /* first: MP_PART_LOCK */
  _Alignas(MP_LINE) mp_shm_elements elements;
  uint32_t kind;
  _Alignas(MP_LINE) unsigned char data[];
} mp_shm_array;
_Static_assert(offsetof(mp_shm_array, lock) == 0, "MP_PART_LOCK is what the block begins with");
_Static_assert(offsetof(mp_shm_array, data) == 2 * MP_LINE, "the elements' place is part of the layout");

/* n elements of that type, zeroed. 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_array_new(unsigned type, unsigned kind, uint64_t n, const mp_shm_wait *w, mp_shm_handle *out);

#pragma GCC visibility pop
#endif
