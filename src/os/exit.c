/* SPDX-License-Identifier: MIT */
/* The ends of a process: exit() with what was registered for it, and leaving past it. */
#define _GNU_SOURCE
#include "os/process.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Coverage is written at exit(), which a child never calls. A build for coverage defines MP_COVERAGE. */
#if defined(MP_COVERAGE)
extern void __gcov_dump(void);
static void dump_coverage(void) { __gcov_dump(); }
#else
static void dump_coverage(void) {}
#endif

void mp_os_pin(const void *inside) {
  Dl_info info;
  if (dladdr(inside, &info) && info.dli_fname) dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

static void (*exit_hook)(int status);

#if defined(__GLIBC__)
static void at_exit(int status, void *unused) {
  (void)unused;
  exit_hook(status);
}

static int arm(void) { return on_exit(at_exit, NULL); }
#else
static void at_exit(void) { exit_hook(-1); }

static int arm(void) { return atexit(at_exit); }
#endif

int mp_os_at_exit(void (*hook)(int status)) {
  if (exit_hook) return 0;
  exit_hook = hook;
  if (arm() == 0) return 0;
  exit_hook = NULL;
  return -ENOMEM;
}

/* Not fork(), whose handlers would give the copy a place in the registry; and no signal tells of its end. */
int mp_os_exit_status(void) {
  int status;
  fflush(NULL);
  pid_t copy = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
  if (copy <= 0) return -1;
  while (waitpid(copy, &status, __WALL) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

void mp_os_leave_files(void) {
  fflush(NULL);
  mp_os_close_fds();
}

MP_HOT_AFTER_FORK _Noreturn void mp_os_leave(int code) {
  fflush(NULL);
  dump_coverage();
  _exit(code);
}
