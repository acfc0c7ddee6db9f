/* SPDX-License-Identifier: MIT */
/* Numbers in a row. Who writes which word stands in elements.h. */
#include "shm/number/elements.h"

#include <string.h>

#include "os/os.h"

uint64_t mp_shm_elements_exchange(mp_shm_elements *e, uint64_t i, uint64_t bits) {
  switch (e->shift) {
    case 0:
      return __atomic_exchange_n(MP_ELEMENT(8, mp_shm_elements_data(e), i), (uint8_t)bits, __ATOMIC_SEQ_CST);
    case 1:
      return __atomic_exchange_n(MP_ELEMENT(16, mp_shm_elements_data(e), i), (uint16_t)bits, __ATOMIC_SEQ_CST);
    case 2:
      return __atomic_exchange_n(MP_ELEMENT(32, mp_shm_elements_data(e), i), (uint32_t)bits, __ATOMIC_SEQ_CST);
    default:
      return __atomic_exchange_n(MP_ELEMENT(64, mp_shm_elements_data(e), i), bits, __ATOMIC_SEQ_CST);
  }
}

#define REPLACE(e, size, i, old, bits)                                                                                 \
  uint##size##_t expected = (uint##size##_t) * (old);                                                                  \
  bool done = __atomic_compare_exchange_n(MP_ELEMENT(size, mp_shm_elements_data(e), i), &expected,                     \
                                          (uint##size##_t)(bits), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  *(old) = expected;                                                                                                   \
  return done

static bool replace8(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(e, 8, i, old, bits); }
static bool replace16(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(e, 16, i, old, bits); }
static bool replace32(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(e, 32, i, old, bits); }
static bool replace64(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(e, 64, i, old, bits); }

bool mp_shm_elements_replace(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) {
  switch (e->shift) {
    case 0:
      return replace8(e, i, old, bits);
    case 1:
      return replace16(e, i, old, bits);
    case 2:
      return replace32(e, i, old, bits);
    default:
      return replace64(e, i, old, bits);
  }
}

bool mp_shm_elements_compare_exchange(mp_shm_elements *e, uint64_t i, uint64_t *old, uint64_t bits) {
  uint64_t wanted = *old;
  *old = mp_shm_elements_get(e, i);
  while (mp_shm_number_same(e->type, *old, wanted))
    if (mp_shm_elements_replace(e, i, old, bits)) return true;
  return false;
}

int mp_shm_elements_add(mp_shm_elements *e, uint64_t i, mp_shm_number n, uint64_t *was, uint64_t *sum) {
  int err;
  *was = mp_shm_elements_get(e, i);
  do {
    err = mp_shm_number_add(e->type, *was, n, sum);
    if (err) return err;
  } while (!mp_shm_elements_replace(e, i, was, *sum));
  return 0;
}

#define STORE_ALL(size, e, from, n, bits)                                                                              \
  for (uint64_t k = 0; k < (n); k++)                                                                                   \
  __atomic_store_n(MP_ELEMENT(size, mp_shm_elements_data(e), (from) + k), (uint##size##_t)(bits), __ATOMIC_RELAXED)

static void fill(mp_shm_elements *e, uint64_t bits) {
  switch (e->shift) {
    case 0:
      memset(mp_shm_elements_data(e), (int)bits, (size_t)e->n);
      break;
    case 1:
      STORE_ALL(16, e, 0, e->n, bits);
      break;
    case 2:
      STORE_ALL(32, e, 0, e->n, bits);
      break;
    default:
      STORE_ALL(64, e, 0, e->n, bits);
  }
}

static void copy_in(mp_shm_elements *e, uint64_t from, const void *elements, uint64_t n) {
  switch (e->shift) {
    case 0:
      memcpy((char *)mp_shm_elements_data(e) + from, elements, (size_t)n);
      break;
    case 1:
      STORE_ALL(16, e, from, n, ((const uint16_t *)elements)[k]);
      break;
    case 2:
      STORE_ALL(32, e, from, n, ((const uint32_t *)elements)[k]);
      break;
    default:
      STORE_ALL(64, e, from, n, ((const uint64_t *)elements)[k]);
  }
}

void mp_shm_elements_fill(mp_shm_elements *e, uint64_t bits) {
  mp_os_bulk_begin();
  fill(e, bits);
  mp_os_bulk_end();
}

void mp_shm_elements_copy_in(mp_shm_elements *e, uint64_t from, const void *elements, uint64_t n) {
  mp_os_bulk_begin();
  copy_in(e, from, elements, n);
  mp_os_bulk_end();
}
