/* SPDX-License-Identifier: MIT */
/* Numbers in shared memory. Who writes which word stands in array.h. */
#include "shm/number/array.h"

#include <errno.h>

typedef struct plan {
  unsigned type, kind;
  uint64_t n;
} plan;

static void init(uint32_t slot, void *block, const void *arg) {
  const plan *p = arg;
  mp_shm_array *a = block;
  (void)slot;
  mp_shm_mutex_init(&a->lock, MP_MUTEX_PLAIN);
  a->kind = p->kind;
  a->elements = (mp_shm_elements){.at = (int64_t)(offsetof(mp_shm_array, data) - offsetof(mp_shm_array, elements)),
                                  .n = p->n,
                                  .type = p->type,
                                  .shift = mp_shm_number_infos[p->type].shift};
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
