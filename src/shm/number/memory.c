/* SPDX-License-Identifier: MIT */
/* Shared memory without a name. Who writes which word stands in memory.h. */
#include "shm/number/memory.h"

#include <errno.h>

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  ((mp_shm_memory *)block)->n = *(const uint64_t *)arg;
}

/* Zeroed after the birth: that may take long, and the birth is under the arena lock. */
int mp_shm_memory_new(uint64_t n, const mp_shm_wait *w, mp_shm_handle *out) {
  if (n > mp_shm_header->size) return -ENOMEM;
  int err = mp_shm_object_new(MP_TYPE_MEMORY, sizeof(mp_shm_memory) + n, init, &n, w, out);
  if (err) return err;
  mp_shm_memory *m = mp_shm_object_block(*out, MP_TYPE_MEMORY);
  mp_os_zero(m->data, n);
  return 0;
}

const mp_shm_object_type_info mp_shm_memory_type = {.use_is_no_claim = true};
