/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded: the wall clock steps. Every look at it is one to two hours before or after the last; whoever
 * measures a wait by it waits too long or not at all. The monotonic clock is left alone. A lock with a deadline on the
 * wall clock ends the program.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
enum { STEP = 3600 };

SHOWN int clock_gettime(clockid_t clock, struct timespec *t);
SHOWN time_t time(time_t *t);
SHOWN int gettimeofday(struct timeval *restrict t, void *restrict zone);
SHOWN int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict t);

static time_t step(void) {
  static unsigned looks;
  unsigned n = __atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED);
  return n % 2 ? STEP + (time_t)(n % STEP) : -STEP - (time_t)(n % STEP);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  long r = syscall(SYS_clock_gettime, clock, t);
  if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += step();
  return (int)r;
}

time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int r = clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return r;
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict t) {
  (void)m;
  (void)t;
  static const char text[] = "a lock was given a deadline on the wall clock\n";
  if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(4);
  abort();
}
