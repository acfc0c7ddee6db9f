/* SPDX-License-Identifier: MIT */
/*
 * The joinable queue (layer 1): a queue that knows which messages were taken and are not done. Called by L3.
 *
 * word      written by                                        what a survivor sees
 * slot[p]   p: raised before it takes a message, under the     of a dead process: whatever it says, that process will
 *           consumers' lock; lowered by whoever says that a    finish nothing: reap clears it. So it need not agree
 *           task is done (its own first), by CAS               with the queue at its owner's death
 * lost      reap, when it clears a slot; cleared by join     a task was given up with the process that had it
 *
 * Nothing is unfinished when no message is in the queue or coming back and all per-process slots are 0. A taker raises its
 * slot before the message leaves the queue, and who says that a task is done has put its successors before: so a look at
 * the queue and then at the per-process slots, with both locks held, is exact.
 */
#ifndef MP_SHM_QUEUE_JOINABLE_H
#define MP_SHM_QUEUE_JOINABLE_H

#include "shm/arena/per_process.h"
#include "shm/queue/queue.h"

#pragma GCC visibility push(hidden)

typedef struct mp_shm_joinable {
  mp_shm_queue q;
  mp_shm_wait_queue idle; /* woken when the last task is done */
  _Atomic uint32_t lost, pad;
  mp_shm_per_process slots;
} mp_shm_joinable;

/* One task is done. 0, or -ERANGE: more often than messages were taken. */
int mp_shm_joinable_done(mp_shm_queue *q);
/* Waits until nothing is unfinished: 0, or MP_ABANDONED when a process died with tasks since the last join;
 * -ETIMEDOUT, -EINTR. */
int mp_shm_joinable_join(mp_shm_queue *q, const mp_shm_wait *w);
/* How many messages were put and are not done; exact while nobody moves. */
uint64_t mp_shm_joinable_unfinished(mp_shm_queue *q);

#pragma GCC visibility pop
#endif
