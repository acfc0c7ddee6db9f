/* SPDX-License-Identifier: MIT */
/*
 * Per-process slots (layer 1): one 64-bit word per process slot, at the end of an object's block, for objects that must know what
 * each process has of them. Included by the objects that have them.
 *
 * ready   how many per-process slots have been cleared. Raised, never lowered, by a process that needs its own slot, under the
 *         object's inner lock and after the clearing: one killed between the two leaves per-process slots that are cleared again.
 * slot[p] process p's; what it means, and who else may write it, each object says. A slot of a process that died is
 *         put to 0 by the object's reap, before the slot can be another's.
 *
 * Memory is touched up to the highest slot that used the object, so that a slot costs 8 bytes for each process there is.
 */
#ifndef MP_SHM_ARENA_PER_PROCESS_H
#define MP_SHM_ARENA_PER_PROCESS_H

#include "shm/arena/proc.h"

#pragma GCC visibility push(hidden)

typedef struct mp_shm_per_process { /* the last member of a block */
  _Atomic uint32_t ready, pad;
  _Atomic uint64_t slot[];
} mp_shm_per_process;

/* What the per-process slots add to the size of a block. */
static inline size_t mp_shm_per_process_bytes(void) { return (size_t)mp_shm_header->nprocs * sizeof(uint64_t); }

static inline uint64_t mp_shm_per_process_load(mp_shm_per_process *c, uint32_t proc) {
  uint32_t ready = atomic_load_explicit(&c->ready, memory_order_acquire);
  return proc < ready ? atomic_load_explicit(&c->slot[proc], memory_order_acquire) : 0;
}

/* The per-process slots there are to look at: [0, mp_shm_per_process_count). */
static inline uint32_t mp_shm_per_process_count(mp_shm_per_process *c) {
  return atomic_load_explicit(&c->ready, memory_order_acquire);
}

/* This process's own slot, or NULL before mp_shm_per_process_ensure_slot. */
static inline _Atomic uint64_t *mp_shm_per_process_mine(mp_shm_per_process *c) {
  return mp_shm_my_slot < atomic_load_explicit(&c->ready, memory_order_relaxed) ? &c->slot[mp_shm_my_slot] : NULL;
}

/* With the object's inner lock: makes sure of this process's slot. */
static inline _Atomic uint64_t *mp_shm_per_process_ensure_slot(mp_shm_per_process *c) {
  mp_shm_has_claims = true;
  for (uint32_t i = c->ready; i <= mp_shm_my_slot; i++) atomic_store_explicit(&c->slot[i], 0, memory_order_relaxed);
  if (c->ready <= mp_shm_my_slot) atomic_store_explicit(&c->ready, mp_shm_my_slot + 1, memory_order_release);
  return &c->slot[mp_shm_my_slot];
}

#pragma GCC visibility pop
#endif
