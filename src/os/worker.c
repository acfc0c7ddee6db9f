/* SPDX-License-Identifier: MIT */
/* What a worker process asks of the system for itself: a CPU, limits, to be left alone by Ctrl-C. */
#define _GNU_SOURCE
#include "os/process.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int mp_os_cpu_pin(int nth) {
  cpu_set_t set, one;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return -errno;
  int count = CPU_COUNT(&set);
  if (count < 1) return -EINVAL;
  size_t cpu = 0;
  for (int left = nth % count;; cpu++)
    if (CPU_ISSET(cpu, &set) && left-- == 0) break;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return sched_setaffinity(0, sizeof one, &one) != 0 ? -errno : 0;
}

#if defined(__GLIBC__)
typedef __rlimit_resource_t resource_id;
#else
typedef int resource_id;
#endif

static const struct {
  const char *name;
  resource_id resource;
} limits[] = {
    {"as", RLIMIT_AS},       {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},     {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK},
};

int mp_os_limit(const char *name, uint64_t amount) {
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit r;
    if (strcmp(limits[i].name, name) != 0) continue;
    if (getrlimit(limits[i].resource, &r) != 0) return -errno;
    r.rlim_cur = amount < r.rlim_max ? amount : r.rlim_max;
    return setrlimit(limits[i].resource, &r) != 0 ? -errno : 0;
  }
  return -EINVAL;
}

static void nothing(int sig) { (void)sig; }

void mp_os_sigint_ends(void) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGINT);
  signal(SIGINT, SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
}

void mp_os_sigint_nothing(void) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = nothing;
  a.sa_flags = SA_RESTART;
  sigaction(SIGINT, &a, NULL);
}

void mp_os_heed_children(void) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = nothing;
  sigaction(SIGCHLD, &a, NULL);
  signal(SIGINT, SIG_IGN);
}

bool mp_os_sigint_caught(void) {
  struct sigaction a;
  return sigaction(SIGINT, NULL, &a) == 0 && a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN;
}

void mp_os_on_sigterm(void (*f)(int sig)) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = f;
  sigaction(SIGTERM, &a, NULL);
}

uint64_t mp_os_resident(void) {
  char text[128];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  const char *second = strchr(text, ' ');
  return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
