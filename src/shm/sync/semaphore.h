/* SPDX-License-Identifier: MIT */
/*
 * Semaphores (layer 1): permits that any process takes and any process gives back. Called by L3.
 *
 * A plain one is a counter: what a dead process took stays taken. A bounded one knows who has what, lets no more come
 * back than are out, and takes a dead or leaving process's permits back.
 *
 * word      written by, order                                what a survivor sees
 * value     plain: acquire and release, by CAS: THE COMMIT   the truth
 *           bounded: under m, after the commit               a cache, max - the sum of slots; who waits must not trust
 *                                                            it while m is abandoned: it recovers
 *  bounded only, under m:
 * slot[p]   acquire by p, +1: THE COMMIT of acquire          how many permits p has out. THE TRUTH while target is 0
 *           reap, 0: THE COMMIT of reap
 *           release, down, after target                        between target - 1 and the sum before: recovery goes on
 * releaser  release, before target                           whose slot is lowered first
 * target    release: 1 + what shall be out: THE COMMIT of    0: no release was under way. Else it has happened, and
 *           release; 0 once slots and value say so           recovery lowers slots, in the same order, until their sum
 *                                                            is target - 1
 *
 * A store that lets somebody in is made with the wait queue pending, so a waiter is woken whoever dies; it then finds the
 * value, or m abandoned. Any process may release what another took: its own slot is lowered first, then the others' in
 * their order. A slot that is not 0 stands in an object its process holds: a claim (object.h). Nobody observes a
 * semaphore (wait_set.h).
 */
#ifndef MP_SHM_SYNC_SEMAPHORE_H
#define MP_SHM_SYNC_SEMAPHORE_H

#include "shm/arena/object.h"
#include "shm/arena/per_process.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_SEMAPHORE = 3 };

#define MP_SEMAPHORE_MOST ((uint64_t)INT64_MAX)
enum { MP_SEMAPHORE_PLAIN, MP_SEMAPHORE_BOUNDED };

typedef struct mp_shm_semaphore {
  uint32_t kind, pad;
  uint64_t max; /* bounded */
  _Alignas(MP_LINE) _Atomic uint64_t value;
  mp_os_mutex m;
  _Atomic uint64_t target;
  _Atomic uint32_t releaser;
  mp_shm_wait_queue wait_queue;
  mp_shm_per_process slots; /* there in bounded ones only */
} mp_shm_semaphore;

extern const mp_shm_object_type_info mp_shm_semaphore_type; /* for types.c */
/* n permits, at most MP_SEMAPHORE_MOST. 0 -ENOMEM -EINTR -ETIMEDOUT */
int mp_shm_semaphore_new(uint32_t kind, uint64_t n, const mp_shm_wait *w, mp_shm_handle *out);

/* Takes one permit: 0, -ETIMEDOUT, -EINTR. */
int mp_shm_semaphore_acquire(mp_shm_semaphore *s, const mp_shm_wait *w);
/* Gives back k >= 1 permits, all or none: 0; -EOVERFLOW: bounded, fewer are out; plain, there would be more than
 * MP_SEMAPHORE_MOST; -EINTR, -ETIMEDOUT: a stopped process is in the way. */
int mp_shm_semaphore_release(mp_shm_semaphore *s, uint64_t k, const mp_shm_wait *w);
/* Permits there. 0, -EINTR, -ETIMEDOUT. */
int mp_shm_semaphore_value(mp_shm_semaphore *s, const mp_shm_wait *w, uint64_t *value);
/* The first process from *proc on that has permits of a bounded one out, and how many; 0 at the end. A glance: for
 * messages. */
uint64_t mp_shm_semaphore_holder(mp_shm_semaphore *s, uint32_t *proc, mp_shm_proc_ref *who);

#pragma GCC visibility pop
#endif
