/* SPDX-License-Identifier: MIT */
/*
 * When processes began, as /proc tells it: in ticks of the clock that runs on while the machine sleeps. No malloc: a wait
 * runs it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/process.h"

#define NS_PER_S UINT64_C(1000000000)

/* A time on the monotonic clock on the one by which processes' starts are told. A container may have shifted either: then
 * the two differ by more than the time the machine slept. */
static uint64_t since_boot(uint64_t since) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  uint64_t boot = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec, age = mp_os_now() - since;
  return boot > age ? boot - age : 0;
}

/* The tick in which it began: its first moment in ns, and how long a tick is. False when it has gone. */
static bool start_tick(pid_t pid, uint64_t *from, uint64_t *tick) {
  char path[64], text[1024];
  unsigned long long ticks = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *rest = strrchr(text, ')'); /* the name, before, may contain anything */
  if (!rest ||
      sscanf(rest, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &ticks) != 1)
    return false;
  *tick = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
  *from = ticks * *tick;
  return true;
}

bool mp_os_started_since(pid_t pid, uint64_t since) {
  uint64_t from, tick, moment = since_boot(since);
  return !start_tick(pid, &from, &tick) || from + tick >= (moment < since ? moment : since);
}

bool mp_os_started_after(pid_t pid, uint64_t since) {
  uint64_t from, tick, moment = since_boot(since);
  return start_tick(pid, &from, &tick) && from > (moment > since ? moment : since);
}
