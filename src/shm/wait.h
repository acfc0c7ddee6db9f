/* SPDX-License-Identifier: MIT */
/*
 * How long a call may wait and who may end it early (layer 1). Filled by L3, read by every wait of shm.
 * Invariant: no wait sleeps longer than MP_SLICE at a time; after each slice and each signal it asks `interrupted`.
 */
#ifndef MP_SHM_WAIT_H
#define MP_SHM_WAIT_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

#define MP_SLICE (100 * MP_MS)
/* What a call may overstay its deadline when a process is stopped inside a critical section. */
#define MP_GRACE (100 * MP_MS)

typedef struct mp_wait {
  uint64_t deadline;             /* ns, MP_FOREVER, or 0: do not wait */
  int (*interrupted)(void *arg); /* may be NULL; nonzero ends the wait with -EINTR. Must not throw. */
  void *arg;
} mp_wait;

/* min(now + MP_SLICE, the deadline) */
uint64_t mp_wait_slice(const mp_wait *w);
/* After a slice or a signal: -EINTR, -ETIMEDOUT, or 0 to go on. */
int mp_wait_check(const mp_wait *w);

#pragma GCC visibility pop
#endif
