/* SPDX-License-Identifier: MIT */
/* What a freshly forked child puts right about itself, and what it must not share with its parent. */
#define _GNU_SOURCE
#include "os/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The parent may have died before the system was told to watch it. */
void mp_os_die_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) kill(getpid(), SIGKILL);
}

/* As the lowest free descriptor. Where there is no /dev/null, the reading end of a pipe that nobody writes is as empty. */
static void open_empty(void) {
  const char null[] = "/dev/null"; /* on the stack: constants lie in pages of their own */
  int ends[2];
  if (open(null, O_RDONLY) < 0 && pipe(ends) == 0) close(ends[1]);
}

/* Asking first keeps a page that nobody has read into from being copied. */
#if defined(__GLIBC__)
static bool has_input(const FILE *f) { return f->_IO_read_ptr != f->_IO_read_end; }
static bool has_output(const FILE *f) { return f->_IO_write_ptr != f->_IO_write_base; }
static int number_of(const FILE *f) { return f->_fileno; }
#else
static bool has_input(const FILE *f) { return f != NULL; }
static bool has_output(FILE *f) { return __fpending(f) > 0; }
static int number_of(FILE *f) { return fileno(f); }
#endif

static bool stdin_known, has_stdin;

/* A file that is written to is the program's, opened before mproc was loaded. */
static bool is_input(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
}

void mp_os_learn_stdin(void) {
  if (!stdin_known) has_stdin = is_input(STDIN_FILENO);
  stdin_known = true;
}

MP_HOT_AFTER_FORK void mp_os_child_stdio(void) {
  if (has_stdin && number_of(stdin) == STDIN_FILENO) {
    close(STDIN_FILENO);
    open_empty();
  }
  if (has_input(stdin)) __fpurge(stdin);
  if (has_output(stdout)) __fpurge(stdout);
}

void mp_os_follow_folder(pid_t pid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
  if (chdir(path) != 0) return; /* it has gone, or there is no /proc */
}

enum { FIRST_CLOSED = STDERR_FILENO + 1, FDS_WITHOUT_LIMIT = 1 << 16 };

/* One by one where the system has no call for it. */
static void close_range_of(unsigned from, unsigned to) {
  if (from > to) return;
#if defined(SYS_close_range)
  if (syscall(SYS_close_range, from, to, 0) == 0) return;
#endif
  long most = sysconf(_SC_OPEN_MAX);
  if (most < 0) most = FDS_WITHOUT_LIMIT;
  for (unsigned fd = from; fd <= to && fd < (unsigned)most; fd++) close((int)fd);
}

void mp_os_close_fds(void) {
  unsigned from = FIRST_CLOSED;
  for (int i = 0, kept; (kept = mp_os_descriptor_kept(i)) >= 0; i++) {
    close_range_of(from, (unsigned)kept - 1);
    from = (unsigned)kept + 1;
  }
  close_range_of(from, ~0U);
}

void mp_os_close_fds_from(int first) { close_range_of((unsigned)first, ~0U); }
