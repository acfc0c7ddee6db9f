/* SPDX-License-Identifier: MIT */
/*
 * Shared memory without a name (layer 1): bytes in a block of the arena, which goes with its last holder. Called by L3.
 *
 * word      written by                                          what a survivor sees
 * n         the maker, before the birth; never again            -
 * data      the maker zeroes all between the birth and the      zeroes of a maker killed meanwhile die with it
 *           return of mp_shm_memory_new; then anyone, bytes as  bytes before and after, in any mixture; elements of a
 *           he likes, elements by elements.h                    view before or after
 */
#ifndef MP_SHM_NUMBER_MEMORY_H
#define MP_SHM_NUMBER_MEMORY_H

#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_MEMORY = 15 };

typedef struct mp_shm_memory {
  uint64_t n;
  _Alignas(MP_LINE) unsigned char data[];
} mp_shm_memory;

/* n bytes, zeroed. 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_memory_new(uint64_t n, const mp_shm_wait *w, mp_shm_handle *out);

extern const mp_shm_object_type_info mp_shm_memory_type;

#pragma GCC visibility pop
#endif
