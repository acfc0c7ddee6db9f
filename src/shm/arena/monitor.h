/* SPDX-License-Identifier: MIT */
/*
 * What each process tells a viewer of itself (layer 1): 64 bytes for each slot of the registry. Nothing in the tree reads it.
 * Written by wait_queue.c and by the pools' workers (L3); read by shm/view.
 *
 * word     written by, order                               what a viewer, or who comes after a death, sees
 * waits    the process itself, relaxed, where it says that  kind << 56 | what: an offset in the arena, a pid. 0: it is
 *          it is asleep; 0 when it is awake                 awake. A dead process's means nothing
 * since    the same, before waits                           when that wait began, to some milliseconds (the coarse clock)
 * done     a worker, relaxed, with each report              items and single tasks that it has run; of those, failed ones;
 * failed                                                    nanoseconds that they took. One store behind each other: a
 * busy                                                      sum may lag by a report
 * pool     a worker, once, before its first task            its owner's slot + 1 << 32 | the pool's number there; 0: none
 * words    the same                                         handle of the array that says what runs (pool_worker.c)
 * queues   the same                                         the tasks' queue's slot + 1 << 32 | the results'
 *
 * The reserver of a slot clears all before the slot is STARTING. The words are independent; a viewer that finds the slot's
 * generation unchanged behind its reads has read words of one process, each of them whole.
 */
#ifndef MP_SHM_ARENA_MONITOR_H
#define MP_SHM_ARENA_MONITOR_H

#include "shm/arena/proc.h"

#pragma GCC visibility push(hidden)

/* Kinds of waits. ON: for what lies at an offset; MANY: for several things, the first of which lies there, or 0. */
enum { MP_WAITS_NOT, MP_WAITS_ON, MP_WAITS_PROCESS, MP_WAITS_MANY, MP_WAITS_SLEEP };
#define MP_WAITS_SHIFT 56
#define MP_WAITS(kind, what) ((uint64_t)(kind) << MP_WAITS_SHIFT | (uint64_t)(what))

typedef struct mp_shm_monitor {
  _Alignas(64) _Atomic uint64_t waits;
  _Atomic uint64_t since, done, failed, busy, pool, words, queues;
} mp_shm_monitor;
_Static_assert(sizeof(mp_shm_monitor) == 64, "the monitor page's stride is part of the layout");

static inline mp_shm_monitor *mp_shm_monitor_at(uint32_t slot) {
  return (mp_shm_monitor *)mp_shm_at(mp_shm_header->monitors) + slot;
}

/* What waits for the thing there is, as a word. */
static inline uint64_t mp_shm_waits_on(const void *p) { return MP_WAITS(MP_WAITS_ON, mp_shm_offset(p)); }

static inline void mp_shm_monitor_add(_Atomic uint64_t *word, uint64_t n) {
  atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

/* This process, a worker, has run so many items in so many nanoseconds. */
static inline void mp_shm_monitor_work(uint64_t items, uint64_t failed, uint64_t nanoseconds) {
  mp_shm_monitor *m = mp_shm_monitor_at(mp_shm_my_slot);
  mp_shm_monitor_add(&m->done, items);
  mp_shm_monitor_add(&m->busy, nanoseconds);
  if (failed) mp_shm_monitor_add(&m->failed, failed);
}

#pragma GCC visibility pop
#endif
