/* SPDX-License-Identifier: MIT */
/*
 * The barrier (layer 1): a number of processes wait until all of them have come. Called by L3.
 *
 * turn     gen << 16 | came << 2 | OPEN, BROKEN, RESETTING: the one truth, and every change of it is one CAS, made with
 *          no lock held, so that nobody, stopped or dead, is in the way of a process whose time is over.
 *            who comes           OPEN(g, n)       -> OPEN(g, n + 1)
 *            the last one        OPEN(g, most-1)  -> OPEN(g + 1, 0): all of g are released; with an action it comes as
 *                                the others do and makes OPEN(g, most) -> OPEN(g + 1, 0) when the action has returned
 *            break               OPEN(g, n)       -> BROKEN(g): all of g leave with "broken", and who comes as well.
 *                                By who is late, interrupted, aborts, or finds one of g dead
 *            reset               OPEN(g, n), BROKEN(g) -> RESETTING(g): the commit; all of g leave with "broken"
 *            whoever finds that  RESETTING(g)     -> OPEN(g + 1, 0), once every slot of g is marked
 *          A generation has one fate. It is cut short by a death between two of these changes only: a reset is finished
 *          by the next one who comes, breaks or resets; the rest has been done or has not.
 * slot[p]  gen << 2 | 0 nothing, IN, MARKED. IN(g): process p came, or is about to, stored by itself before its CAS. A dead
 *          process that is IN breaks g, were it killed a moment before it was counted. IN(g)->MARKED(g): CAS by who
 *          finishes a reset, so that p, looking when turn has gone on to g + 1, tells that g was not released. 0: p has
 *          left, or reap has seen to its death; before the slot is another's.
 * wait_queues
 *          those of g sleep on wait_queues[g % 4], and are ready all at once: nobody whose time has not come gets into the
 *          line before them, unless three generations have passed meanwhile. Who finds g full sleeps there too.
 * slots_lock
 *          held to make one's slot the first time; nothing to recover.
 *
 * So a sleeper looks at one word that no death leaves half changed. What it cannot see, a death among those of g, the
 * sweep of its slice finds (reap) and the last to come.
 */
#ifndef MP_SHM_SYNC_BARRIER_H
#define MP_SHM_SYNC_BARRIER_H

#include "shm/arena/object.h"
#include "shm/arena/per_process.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_BARRIER = 5 };

enum { MP_BARRIER_WAIT_QUEUES = 4 };

typedef struct mp_shm_barrier {
  _Alignas(MP_LINE) _Atomic uint64_t turn;
  uint64_t parties;
  mp_os_mutex slots_lock;
  mp_shm_wait_queue wait_queues[MP_BARRIER_WAIT_QUEUES];
  mp_shm_per_process slots;
} mp_shm_barrier;

int mp_shm_barrier_new(uint64_t parties, const mp_shm_wait *w, mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */

/* Waits for the others: 0, and *index is 0 .. parties - 1 in the order of coming. MP_BARRIER_ACT, when this process is
 * the last one and `acts`: it now runs the action, and then calls _release or _leave. -ETIMEDOUT, -EINTR: this process
 * has broken the barrier (unless it waited for a generation before its own to be released). -EPIPE: it is broken.
 * -EDEADLK: this process is running its action. */
enum { MP_BARRIER_ACT = 1 };
int mp_shm_barrier_wait(mp_shm_barrier *b, bool acts, const mp_shm_wait *w, uint64_t *index);
int mp_shm_barrier_release(mp_shm_barrier *b); /* 0, or -EPIPE: it was broken meanwhile */
void mp_shm_barrier_leave(mp_shm_barrier *b);  /* breaks the generation that this process is in */

void mp_shm_barrier_abort(mp_shm_barrier *b);
void mp_shm_barrier_reset(mp_shm_barrier *b);
/* Those who wait and live. */
uint64_t mp_shm_barrier_waiting(mp_shm_barrier *b);
bool mp_shm_barrier_broken(mp_shm_barrier *b);

extern const mp_shm_object_type_info mp_shm_barrier_type; /* for types.c */

#pragma GCC visibility pop
#endif
