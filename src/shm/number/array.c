/* SPDX-License-Identifier: MIT */
/* Numbers in shared memory. Who writes which word stands in array.h. */
#include "shm/number/array.h"

#include <errno.h>
#include <string.h>

typedef struct plan {
  unsigned type, kind;
  uint64_t n;
} plan;

static void init(uint32_t slot, void *block, const void *arg) {
  const plan *p = arg;
  mp_shm_array *a = block;
  (void)slot;
  mp_shm_mutex_init(&a->lock, MP_MUTEX_PLAIN);
  a->n = p->n;
  a->type = p->type;
  a->kind = p->kind;
  a->shift = mp_shm_number_infos[p->type].shift;
}

/* Zeroed after the birth: that may take long, and the birth is under the arena lock. */
int mp_shm_array_new(unsigned type, unsigned kind, uint64_t n, const mp_shm_wait *w, mp_shm_handle *out) {
  const plan p = {type, kind, n};
  unsigned shift = mp_shm_number_infos[type].shift;
  if (n > mp_shm_header->size >> shift) return -ENOMEM;
  int err = mp_shm_object_new(MP_TYPE_ARRAY, sizeof(mp_shm_array) + (n << shift), init, &p, w, out);
  if (err) return err;
  mp_shm_array *a = mp_shm_object_block(*out, MP_TYPE_ARRAY);
  mp_os_zero(a->data, n << shift);
  return 0;
}

uint64_t mp_shm_array_exchange(mp_shm_array *a, uint64_t i, uint64_t bits) {
  switch (a->shift) {
    case 0:
      return __atomic_exchange_n(MP_ELEMENT(8, mp_shm_array_data(a), i), (uint8_t)bits, __ATOMIC_SEQ_CST);
    case 1:
      return __atomic_exchange_n(MP_ELEMENT(16, mp_shm_array_data(a), i), (uint16_t)bits, __ATOMIC_SEQ_CST);
    case 2:
      return __atomic_exchange_n(MP_ELEMENT(32, mp_shm_array_data(a), i), (uint32_t)bits, __ATOMIC_SEQ_CST);
    default:
      return __atomic_exchange_n(MP_ELEMENT(64, mp_shm_array_data(a), i), bits, __ATOMIC_SEQ_CST);
  }
}

#define REPLACE(a, size, i, old, bits)                                                                                 \
  uint##size##_t expected = (uint##size##_t) * (old);                                                                  \
  bool done = __atomic_compare_exchange_n(MP_ELEMENT(size, mp_shm_array_data(a), i), &expected,                        \
                                          (uint##size##_t)(bits), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  *(old) = expected;                                                                                                   \
  return done

static bool replace8(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(a, 8, i, old, bits); }
static bool replace16(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(a, 16, i, old, bits); }
static bool replace32(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(a, 32, i, old, bits); }
static bool replace64(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) { REPLACE(a, 64, i, old, bits); }

bool mp_shm_array_replace(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) {
  switch (a->shift) {
    case 0:
      return replace8(a, i, old, bits);
    case 1:
      return replace16(a, i, old, bits);
    case 2:
      return replace32(a, i, old, bits);
    default:
      return replace64(a, i, old, bits);
  }
}

bool mp_shm_array_compare_exchange(mp_shm_array *a, uint64_t i, uint64_t *old, uint64_t bits) {
  uint64_t wanted = *old;
  *old = mp_shm_array_get(a, i);
  while (mp_shm_number_same(a->type, *old, wanted))
    if (mp_shm_array_replace(a, i, old, bits)) return true;
  return false;
}

int mp_shm_array_add(mp_shm_array *a, uint64_t i, mp_shm_number n, uint64_t *was, uint64_t *sum) {
  int err;
  *was = mp_shm_array_get(a, i);
  do {
    err = mp_shm_number_add(a->type, *was, n, sum);
    if (err) return err;
  } while (!mp_shm_array_replace(a, i, was, *sum));
  return 0;
}

#define STORE_ALL(size, a, from, n, bits)                                                                              \
  for (uint64_t k = 0; k < (n); k++)                                                                                   \
  __atomic_store_n(MP_ELEMENT(size, mp_shm_array_data(a), (from) + k), (uint##size##_t)(bits), __ATOMIC_RELAXED)

void mp_shm_array_fill(mp_shm_array *a, uint64_t bits) {
  switch (a->shift) {
    case 0:
      memset(a->data, (int)bits, a->n);
      break;
    case 1:
      STORE_ALL(16, a, 0, a->n, bits);
      break;
    case 2:
      STORE_ALL(32, a, 0, a->n, bits);
      break;
    default:
      STORE_ALL(64, a, 0, a->n, bits);
  }
}

void mp_shm_array_copy_in(mp_shm_array *a, uint64_t from, const void *elements, uint64_t n) {
  switch (a->shift) {
    case 0:
      memcpy(a->data + from, elements, n);
      break;
    case 1:
      STORE_ALL(16, a, from, n, ((const uint16_t *)elements)[k]);
      break;
    case 2:
      STORE_ALL(32, a, from, n, ((const uint32_t *)elements)[k]);
      break;
    default:
      STORE_ALL(64, a, from, n, ((const uint64_t *)elements)[k]);
  }
}
