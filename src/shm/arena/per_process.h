/* SPDX-License-Identifier: MIT */
/*
 * Cells (layer 1): one 64-bit word per process slot, at the end of an object's block, for objects that must know what
 * each process has of them. Included by the objects that have them.
 *
 * ready   how many cells have been cleared. Raised, never lowered, by a process that needs its own cell, under the
 *         object's inner lock and after the clearing: one killed between the two leaves cells that are cleared again.
 * cell[p] process p's; what it means, and who else may write it, each object says. A cell of a process that died is
 *         put to 0 by the object's settle, before the slot can be another's.
 *
 * Memory is touched up to the highest slot that used the object, so that a cell costs 8 bytes for each process there is.
 */
#ifndef MP_SHM_CELLS_H
#define MP_SHM_CELLS_H

#include "shm/proc.h"

#pragma GCC visibility push(hidden)

typedef struct mp_cells { /* the last member of a block */
  _Atomic uint32_t ready, pad;
  _Atomic uint64_t cell[];
} mp_cells;

/* What the cells add to the size of a block. */
static inline size_t mp_cells_bytes(void) { return (size_t)mp_a->nprocs * sizeof(uint64_t); }

static inline uint64_t mp_cell(mp_cells *c, uint32_t proc) {
  uint32_t ready = atomic_load_explicit(&c->ready, memory_order_acquire);
  return proc < ready ? atomic_load_explicit(&c->cell[proc], memory_order_acquire) : 0;
}

/* The cells there are to look at: [0, mp_cells_count). */
static inline uint32_t mp_cells_count(mp_cells *c) { return atomic_load_explicit(&c->ready, memory_order_acquire); }

/* This process's own cell, or NULL before mp_cells_reach. */
static inline _Atomic uint64_t *mp_cell_own(mp_cells *c) {
  return mp_me < atomic_load_explicit(&c->ready, memory_order_relaxed) ? &c->cell[mp_me] : NULL;
}

/* With the object's inner lock: makes sure of this process's cell. */
static inline _Atomic uint64_t *mp_cells_reach(mp_cells *c) {
  mp_noted = true;
  for (uint32_t i = c->ready; i <= mp_me; i++) atomic_store_explicit(&c->cell[i], 0, memory_order_relaxed);
  if (c->ready <= mp_me) atomic_store_explicit(&c->ready, mp_me + 1, memory_order_release);
  return &c->cell[mp_me];
}

#pragma GCC visibility pop
#endif
