/* SPDX-License-Identifier: MIT */
/* Slices of a wait, and the wait for a mutex of shared memory. */
#include "shm/arena/deadline.h"

#include <errno.h>

#define SPINS 200

uint64_t mp_shm_wait_deadline(const mp_shm_wait *w) {
  uint64_t d = w->deadline;
  if (d == MP_FOREVER || !(d & MP_FROM_NOW)) return d;
  return ((mp_shm_wait *)(uintptr_t)w)->deadline = mp_os_now() + (d & ~MP_FROM_NOW);
}

uint64_t mp_shm_wait_longer(const mp_shm_wait *w, uint64_t *slice, uint64_t most) {
  uint64_t deadline = mp_shm_wait_deadline(w), end = mp_os_now() + *slice;
  *slice = 2 * *slice < most ? 2 * *slice : most;
  return deadline < end ? deadline : end;
}

uint64_t mp_shm_wait_slice(const mp_shm_wait *w) {
  uint64_t slice = MP_SLICE;
  return mp_shm_wait_longer(w, &slice, MP_SLICE);
}

int mp_shm_wait_check(const mp_shm_wait *w) {
  if (w->interrupted && w->interrupted(w->arg)) return -EINTR;
  return w->deadline != MP_FOREVER && mp_os_now() >= mp_shm_wait_deadline(w) ? -ETIMEDOUT : 0;
}

/* The owner is running or stopped. Its section is a few dozen instructions, so a call that must not wait still
 * gives it MP_GRACE: without that, a get of a full queue could say "empty". */
static int lock_slowly(mp_os_mutex *m, const mp_shm_wait *w) {
  for (int i = 0; i < SPINS; i++) {
    mp_os_pause();
    if (!mp_os_mutex_held(m)) {
      int r = mp_os_mutex_try(m);
      if (r != -EBUSY) return r;
    }
  }
  mp_shm_wait late = {mp_shm_wait_deadline(w), w->interrupted, w->arg};
  if (late.deadline != MP_FOREVER) {
    uint64_t now = mp_os_now();
    late.deadline = (late.deadline > now ? late.deadline : now) + MP_GRACE;
  }
  for (;;) {
    int r = mp_os_mutex_until(m, mp_shm_wait_slice(&late));
    if (r != -ETIMEDOUT) return r;
    r = mp_shm_wait_check(&late);
    if (r) return r;
  }
}

int mp_shm_lock_word(mp_os_mutex *m, const mp_shm_wait *w) {
  int r = mp_os_mutex_try(m);
  return r == -EBUSY ? lock_slowly(m, w) : r;
}
