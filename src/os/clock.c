/* SPDX-License-Identifier: MIT */
/* Monotonic time. The one place where seconds become deadlines. */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
#define LONGEST_S 4e9 /* more than a century: as good as for ever */

uint64_t mp_os_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t mp_os_coarse_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t mp_os_duration(double seconds) {
  if (!(seconds > 0)) return 0;
  return seconds > LONGEST_S ? MP_FOREVER : (uint64_t)(seconds * (double)NS_PER_S);
}

uint64_t mp_os_deadline(double seconds) {
  uint64_t ns = mp_os_duration(seconds);
  return ns == 0 || ns == MP_FOREVER ? ns : mp_os_now() + ns;
}

int mp_os_sleep(uint64_t deadline) {
  struct timespec t = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
  return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
