/* SPDX-License-Identifier: MIT */
/*
 * Robust process-shared mutexes. Where the C library keeps the owner's thread id is known here and in os.h alone.
 * The timed lock must follow the monotonic clock: a deadline on the wall clock hangs when that is set back.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define OWNER_DIED 0x40000000u
#define WAITERS 0x80000000u

/* A build may ask for the second way, so that it is tried where the first is to be had (make reach). */
#if !defined(MP_OS_OWN_TIMED_LOCK) && defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 30)
#define HAS_CLOCKLOCK
#endif
#endif

#if defined(HAS_CLOCKLOCK)
#define NS_PER_S UINT64_C(1000000000)

static int lock_until(mp_os_mutex *m, uint64_t deadline) {
  struct timespec t = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t);
}
#else
/* musl and glibc before 2.30 have a timed lock on the wall clock alone. Both keep one protocol for the word of a robust
 * mutex: 0 or the holder's id, and a bit that says that somebody sleeps on it, whom the holder then wakes. Who has slept
 * sets the bit again once it holds the lock, for others may sleep still. The word is named to the kernel during the sleep: a
 * sleeper that is killed after its wake passes that on. The lock itself is taken by trylock, with all that this does
 * for deaths. */
static bool fell_asleep_on(_Atomic uint32_t *word, uint64_t deadline, int *err) {
  uint32_t w = *word;
  if (!(w & MP_OS_OWNER)) return false;
  if (!(w & WAITERS) && !atomic_compare_exchange_strong(word, &w, w | WAITERS)) return false;
  mp_os_pending(word);
  *err = mp_os_futex_wait(word, w | WAITERS, deadline);
  mp_os_pending(NULL);
  return true;
}

static int lock_until(mp_os_mutex *m, uint64_t deadline) {
  _Atomic uint32_t *word = (_Atomic uint32_t *)(uintptr_t)mp_os_mutex_word_of(m);
  bool slept = false;
  int slept_as = 0, err;
  while ((err = pthread_mutex_trylock(m)) == EBUSY) {
    if (slept_as == -ETIMEDOUT) return ETIMEDOUT;
    slept |= fell_asleep_on(word, deadline, &slept_as);
  }
  if (slept && (err == 0 || err == EOWNERDEAD)) atomic_fetch_or(word, WAITERS);
  return err;
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

int mp_os_mutex_until(mp_os_mutex *m, uint64_t deadline) { return outcome(lock_until(m, deadline)); }

void mp_os_mutex_consistent(mp_os_mutex *m) { pthread_mutex_consistent(m); }

bool mp_os_mutex_abandoned(const mp_os_mutex *m) {
  uint32_t w = mp_os_mutex_word(m);
  return (w & MP_OS_OWNER) == 0 && (w & OWNER_DIED) != 0;
}
