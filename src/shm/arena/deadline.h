/* SPDX-License-Identifier: MIT */
/*
 * How long a call may wait and who may end it early (layer 1). Filled by L3, read by every wait of shm.
 * Invariant: no wait sleeps longer than a slice at a time; after each slice and each signal it asks `interrupted`. A slice
 * is MP_SLICE. In a wait that goes on it may grow, twice as long where others count on its looking, more where none does:
 * what sleeps shall cost next to nothing.
 */
#ifndef MP_SHM_ARENA_DEADLINE_H
#define MP_SHM_ARENA_DEADLINE_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

#define MP_SLICE (100 * MP_MS)
#define MP_SLICE_LOOKING (2 * MP_SLICE)
#define MP_SLICE_IDLE (4 * MP_SLICE)
/* What a call may overstay its deadline when a process is stopped inside a critical section. */
#define MP_GRACE (100 * MP_MS)

typedef struct mp_shm_wait {
  uint64_t deadline;             /* ns, MP_FOREVER, or 0: do not wait; or MP_FROM_NOW and so many ns */
  int (*interrupted)(void *arg); /* may be NULL; nonzero ends the wait with -EINTR. Must not throw. */
  void *arg;
} mp_shm_wait;

/* A deadline so many ns after the first time that somebody waits: a call that need not wait does not ask for the time. */
#define MP_FROM_NOW (UINT64_C(1) << 62)
/* The deadline as a time: whoever waits asks by this, not by the word. Then it is one for good, in *w too, which is no constant
 * when it counts from now. */
uint64_t mp_shm_wait_deadline(const mp_shm_wait *w);
/* min(now + MP_SLICE, the deadline) */
uint64_t mp_shm_wait_slice(const mp_shm_wait *w);
/* The same with *slice, MP_SLICE at first, which doubles up to `most`. */
uint64_t mp_shm_wait_longer(const mp_shm_wait *w, uint64_t *slice, uint64_t most);
/* After a slice or a signal: -EINTR, -ETIMEDOUT, or 0 to go on. */
int mp_shm_wait_check(const mp_shm_wait *w);

/* Takes a mutex of shm: MP_LOCKED, MP_ABANDONED, -EINTR, or -ETIMEDOUT once w's deadline has been over for MP_GRACE. */
int mp_shm_lock_word(mp_os_mutex *m, const mp_shm_wait *w);

#pragma GCC visibility pop
#endif
