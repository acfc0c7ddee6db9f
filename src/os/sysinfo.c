/* SPDX-License-Identifier: MIT */
/* Facts the system knows about a process. */
#define _GNU_SOURCE
#include "os/os.h"

#include <sched.h>
#include <sys/stat.h>

uint64_t mp_os_pid_namespace(void) {
  struct stat st;
  return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Each thread is a directory there, and a link to the one above. */
int mp_os_threads(void) {
  struct stat st;
  return stat("/proc/self/task", &st) == 0 && st.st_nlink > 2 ? (int)st.st_nlink - 2 : 0;
}

int mp_os_cpu_usable(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int n = CPU_COUNT(&set);
  return n > 0 ? n : 1;
}
