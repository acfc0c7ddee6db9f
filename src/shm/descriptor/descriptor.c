/* SPDX-License-Identifier: MIT */
/* Descriptors as objects. The words stand in descriptor.h. */
#include "shm/descriptor/descriptor.h"

mp_shm_descriptor_hooks mp_shm_descriptor_hook;
static MP_PROCESS_LOCAL mp_shm_handle last_dead;
static MP_PROCESS_LOCAL unsigned ndead;

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot, (void)arg;
  ((mp_shm_descriptor *)block)->epoch = 0;
}

int mp_shm_descriptor_new(const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_DESCRIPTOR, sizeof(mp_shm_descriptor), init, NULL, w, out);
}

void mp_shm_descriptor_stored(mp_shm_handle h, uint64_t epoch) {
  mp_shm_descriptor *d = mp_shm_object_block(h, MP_TYPE_DESCRIPTOR);
  atomic_store_explicit(&d->epoch, epoch, memory_order_release);
}

uint64_t mp_shm_descriptor_epoch(mp_shm_handle h) {
  mp_shm_descriptor *d = mp_shm_object_block(h, MP_TYPE_DESCRIPTOR);
  return d ? atomic_load_explicit(&d->epoch, memory_order_acquire) : 0;
}

static void tell(void) {
  unsigned n = ndead;
  ndead = 0;
  mp_shm_unlocked = NULL;
  if (n && mp_shm_descriptor_hook.died) mp_shm_descriptor_hook.died(last_dead, n);
}

/* The file goes once the arena lock is free: telling the store is a system call. */
static void destroy(uint32_t slot, void *block, bool thorough) {
  (void)block, (void)thorough;
  if (MP_MUTANT(DIED)) return;
  mp_shm_header->fd_store.died++;
  last_dead = mp_shm_object_handle(slot);
  ndead++;
  mp_shm_unlocked = tell;
}

const mp_shm_object_type_info mp_shm_descriptor_type = {.destroy = destroy};
