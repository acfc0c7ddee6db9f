/* SPDX-License-Identifier: MIT */
/*
 * The lock that many may read and one may write (layer 1). Called by L3.
 *
 * m        the writers' mutex. Its holder alone changes gate.
 * gate     phase << 3 | TORN | WRITES | CLOSED. CLOSED: a writer waits for the readers to leave, or WRITES; who does not
 *          read already waits. TORN: the last writer died while it wrote; all who come are told, until one writes.
 *            a writer            0 -> CLOSED; once no reader is left, CLOSED -> CLOSED | WRITES, and TORN goes
 *            it releases, or     -> phase + 1, 0 (TORN stays when it gives up): THE COMMIT of both
 *            gives up
 *            who finds m         CLOSED | WRITES -> CLOSED | TORN. A writer goes on from there, in the same phase; a reader,
 *            abandoned           or reap, goes on to phase + 1, TORN or 0
 * slot[p]  depth << 2 | READS, or WAITS, GIVEN, or 0. Process p: 0 -> READS, then a look at gate: closed, it steps back.
 *          -> WAITS while it sleeps. WAITS -> GIVEN: CAS by m's holder before it opens gate, so that who waited reads
 *          before the next write, however soon that comes; GIVEN -> READS: CAS by p when it wakes; GIVEN -> WAITS: CAS by
 *          the next holder of m, when p has not come for a slice (it may be stopped). A writer waits while any living
 *          process is at READS or GIVEN; what a dead one left means nothing, and reap puts it to 0.
 * readers  those who found gate closed in a phase sleep on readers[phase % 4], and are ready all at once
 * drained  m's holder sleeps there; woken by who stops reading, after the store of its slot
 * slots_lock
 *          held to make one's slot the first time; nothing to recover.
 *
 * A sleeping reader looks at its slot and gate, and whether m is abandoned: then it opens gate itself. A sleeping writer
 * looks at all per-process slots and at the life of those that read. Neither is a cache that a death can leave stale.
 */
#ifndef MP_SHM_SYNC_RWLOCK_H
#define MP_SHM_SYNC_RWLOCK_H

#include "shm/arena/per_process.h"
#include "shm/sync/mutex.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_RWLOCK = 7 };

enum { MP_RWLOCK_WAIT_QUEUES = 4 };

typedef struct mp_shm_rwlock {
  mp_shm_mutex m;
  mp_os_mutex slots_lock;
  _Alignas(MP_LINE) _Atomic uint64_t gate;
  mp_shm_wait_queue drained, readers[MP_RWLOCK_WAIT_QUEUES];
  mp_shm_per_process slots;
} mp_shm_rwlock;

int mp_shm_rwlock_new(const mp_shm_wait *w, mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */

/* One more reading, or the one writing, by this process: MP_LOCKED; MP_ABANDONED: the same, and the last writer died while
 * it wrote (who reads already is not told again); -ETIMEDOUT; -EINTR; -EDEADLK: it would wait for itself (a reader that
 * would write, a writer that would read); -ENOLCK (as mp_shm_mutex_acquire). h: its handle. _write: not for one that writes
 * already. */
int mp_shm_rwlock_read(mp_shm_rwlock *x, const mp_shm_wait *w);
int mp_shm_rwlock_write(mp_shm_rwlock *x, mp_shm_handle h, const mp_shm_wait *w);
/* By a process that does so. */
void mp_shm_rwlock_end_read(mp_shm_rwlock *x);
void mp_shm_rwlock_end_write(mp_shm_rwlock *x, mp_shm_handle h);

/* How often this process reads. */
uint64_t mp_shm_rwlock_depth(mp_shm_rwlock *x);
static inline bool mp_shm_rwlock_mine(const mp_shm_rwlock *x) { return mp_shm_mutex_mine(&x->m); }
/* Who writes, or *waits to; or 0. */
mp_shm_proc_ref mp_shm_rwlock_writer(mp_shm_rwlock *x, bool *waits);
/* The next living process from slot *at on that reads, or 0 after the last one. */
mp_shm_proc_ref mp_shm_rwlock_reader(mp_shm_rwlock *x, uint32_t *at);

extern const mp_shm_object_type_info mp_shm_rwlock_type; /* for types.c */

#pragma GCC visibility pop
#endif
