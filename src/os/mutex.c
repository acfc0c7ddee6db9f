/* SPDX-License-Identifier: MIT */
/*
 * Robust process-shared mutexes. Where the C library keeps the owner's thread id is known here and in os.h alone.
 * The timed lock must follow the monotonic clock: a deadline on the wall clock hangs when that is set back.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <time.h>

#define OWNER_DIED 0x40000000u
#define NS_PER_S UINT64_C(1000000000)

#if defined(__GLIBC__)
static int lock_until(mp_os_mutex *m, const struct timespec *t) {
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, t);
}
#else
/* musl: the lock word is the second int; its timed lock waits for a difference, so that the wall clock's
 * steps cannot stretch a wait once it has begun. */
static int lock_until(mp_os_mutex *m, const struct timespec *t) {
  struct timespec mono, wall;
  clock_gettime(CLOCK_MONOTONIC, &mono);
  clock_gettime(CLOCK_REALTIME, &wall);
  wall.tv_sec += t->tv_sec - mono.tv_sec;
  wall.tv_nsec += t->tv_nsec - mono.tv_nsec;
  if (wall.tv_nsec < 0) {
    wall.tv_nsec += (long)NS_PER_S;
    wall.tv_sec--;
  } else if (wall.tv_nsec >= (long)NS_PER_S) {
    wall.tv_nsec -= (long)NS_PER_S;
    wall.tv_sec++;
  }
  return pthread_mutex_timedlock(m, &wall);
}
#endif

static int outcome(int err) { return err == EOWNERDEAD ? MP_ABANDONED : -err; }

int mp_os_mutex_init(mp_os_mutex *m, bool robust) {
  pthread_mutexattr_t a;
  int err = pthread_mutexattr_init(&a);
  if (err) return -err;
  err = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  if (!err && robust) err = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  if (!err) err = pthread_mutex_init(m, &a);
  pthread_mutexattr_destroy(&a);
  return -err;
}

int mp_os_mutex_until(mp_os_mutex *m, uint64_t deadline) {
  struct timespec t = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
  return outcome(lock_until(m, &t));
}

void mp_os_mutex_consistent(mp_os_mutex *m) { pthread_mutex_consistent(m); }

bool mp_os_mutex_abandoned(const mp_os_mutex *m) {
  uint32_t w = mp_os_mutex_word(m);
  return (w & MP_OS_OWNER) == 0 && (w & OWNER_DIED) != 0;
}
