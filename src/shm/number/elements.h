/* SPDX-License-Identifier: MIT */
/*
 * Numbers in a row (layer 1), wherever they lie in memory that others share: an Array's, a Value's one, what a view of
 * shared memory shows. Called by L3.
 *
 * word             written by, order                            what a survivor sees
 * at n type shift  who makes it, before anyone else knows it;   -
 *                  never again
 * element i        anyone: one atomic access each, THE COMMIT   the element before or after, never a mixture
 *
 * There is no inner lock, so nothing is ever half done but what takes many elements: a process killed in such a call
 * has written a part of them. Single accesses are sequentially consistent. Those of a bulk copy are relaxed, and in no
 * order among each other; but all of them come after what its process accessed before, and before what it stores
 * afterwards; before what it loads afterwards, too, if they are loads (mp_os_bulk_begin). So a flag that is set behind a
 * copy, or a counter that is looked at before and behind one, means what it says on every processor.
 */
#ifndef MP_SHM_NUMBER_ELEMENTS_H
#define MP_SHM_NUMBER_ELEMENTS_H

#include "shm/number/number.h"

#pragma GCC visibility push(hidden)

typedef struct mp_shm_elements {
  int64_t at; /* of the first, in bytes from here */
  uint64_t n;
  uint32_t type, shift; /* MP_*; of its size */
} mp_shm_elements;
_Static_assert(__atomic_always_lock_free(8, 0), "a lock in the C library's memory would be no shared one");

/* Element i of elements of 1 << shift bytes: one atomic access. order: a constant __ATOMIC_*. */
#define MP_ELEMENT(bits, data, i) ((uint##bits##_t *)(data) + (i))

static inline uint64_t mp_shm_element_load(void *data, unsigned shift, uint64_t i, int order) {
  switch (shift) {
    case 0:
      return __atomic_load_n(MP_ELEMENT(8, data, i), order);
    case 1:
      return __atomic_load_n(MP_ELEMENT(16, data, i), order);
    case 2:
      return __atomic_load_n(MP_ELEMENT(32, data, i), order);
    default:
      return __atomic_load_n(MP_ELEMENT(64, data, i), order);
  }
}

static inline void mp_shm_element_store(void *data, unsigned shift, uint64_t i, uint64_t bits, int order) {
  switch (shift) {
    case 0:
      __atomic_store_n(MP_ELEMENT(8, data, i), (uint8_t)bits, order);
      break;
    case 1:
      __atomic_store_n(MP_ELEMENT(16, data, i), (uint16_t)bits, order);
      break;
    case 2:
      __atomic_store_n(MP_ELEMENT(32, data, i), (uint32_t)bits, order);
      break;
    default:
      __atomic_store_n(MP_ELEMENT(64, data, i), bits, order);
  }
}

/* Single accesses; i < n, not checked. bits: those of mp_shm_number_encode. */
static inline void *mp_shm_elements_data(mp_shm_elements *e) { return (char *)e + e->at; }
static inline uint64_t mp_shm_elements_get(mp_shm_elements *e, uint64_t i) {
  return mp_shm_element_load(mp_shm_elements_data(e), e->shift, i, __ATOMIC_SEQ_CST);
}
static inline void mp_shm_elements_set(mp_shm_elements *e, uint64_t i, uint64_t bits) {
  mp_shm_element_store(mp_shm_elements_data(e), e->shift, i, bits, __ATOMIC_SEQ_CST);
}

/* Of an element of 8 bytes: adds, wrapping, and returns the sum. */
static inline uint64_t mp_shm_elements_add64(mp_shm_elements *e, uint64_t i, uint64_t n) {
  return __atomic_add_fetch(MP_ELEMENT(64, mp_shm_elements_data(e), i), n, __ATOMIC_SEQ_CST);
}

/* The bits before. */
uint64_t mp_shm_elements_exchange(mp_shm_elements *e, uint64_t i, uint64_t bits);
/* Replaces exactly these bits; else false, and *old is what stands there. */
bool mp_shm_elements_replace(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits);
/* Replaces what is the same number as *old (mp_shm_number_same); *old is what stood there in any case. */
bool mp_shm_elements_compare_exchange(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits);
/* mp_shm_number_add as one access; on an error nothing has changed. *was and *sum are bits. */
int mp_shm_elements_add(mp_shm_elements *e, uint64_t i, mp_shm_number n, uint64_t *was, uint64_t *sum);

/* Many, in turn. from + n <= e->n. elements: n of the same size. */
void mp_shm_elements_fill(mp_shm_elements *e, uint64_t bits);
void mp_shm_elements_copy_in(mp_shm_elements *e, uint64_t from, const void *elements, uint64_t n);

#pragma GCC visibility pop
#endif
