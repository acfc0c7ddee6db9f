/* SPDX-License-Identifier: MIT */
/* Programs that are run beside this process: started without copying it, their output kept in files without a name. */
#define _GNU_SOURCE
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FREE = STDERR_FILENO + 1, SEND_MOST = 1 << 30 };

static void default_signals(bool ignored_too) {
  for (int sig = 1; sig < NSIG; sig++)
    if (sig != SIGKILL && sig != SIGSTOP && (ignored_too || mp_os_signal_is_reset(sig))) signal(sig, SIG_DFL);
}

static int take_descriptors(const mp_os_command *c) {
  if (dup2(c->in, STDIN_FILENO) < 0 || dup2(c->out, STDOUT_FILENO) < 0 || dup2(c->err, STDERR_FILENO) < 0) return -1;
  if (!c->passed) return 0;
  if (c->passed == MP_OS_PASSED ? fcntl(MP_OS_PASSED, F_SETFD, 0) < 0 : dup2(c->passed, MP_OS_PASSED) < 0) return -1;
  mp_os_close_fds_from(MP_OS_PASSED + 1);
  return 0;
}

typedef struct spawning {
  const mp_os_command *c;
  pid_t parent;
  sigset_t mask;
  volatile int err;
  volatile pid_t detached;
} spawning;

/* In the child, which borrows its parent's memory: nothing here may write what the parent reads, but *s. */
static void become(spawning *s) {
  const mp_os_command *c = s->c;
  if (c->how & MP_OS_OWN_GROUP) setpgid(0, 0);
  if (c->how & MP_OS_DIES_WITH) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->parent) _exit(EXIT_FAILURE);
  }
  default_signals(c->how & MP_OS_OWN_GROUP);
  sigprocmask(SIG_SETMASK, &s->mask, NULL);
  if (take_descriptors(c) == 0) execvpe(c->argv[0], c->argv, c->env ? c->env : environ);
  s->err = errno;
  _exit(EXIT_FAILURE);
}

/* In a process between, which ends at once, so that init has what it started. */
static void become_detached(spawning *s) {
  pid_t pid = vfork();
  if (pid == 0) become(s);
  if (pid < 0) s->err = errno;
  s->detached = pid;
  _exit(EXIT_SUCCESS);
}

/* All signals are held back, so that no handler runs in the child. */
static pid_t start(spawning *s) {
  pid_t pid = vfork();
  if (pid != 0) return pid;
  if (s->c->how & MP_OS_DETACHED) become_detached(s);
  become(s);
  _exit(EXIT_FAILURE);
}

static void await_end(pid_t pid) {
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

pid_t mp_os_spawn(const mp_os_command *c) {
  spawning s = {.c = c, .parent = getpid()};
  sigset_t all, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &mask);
  sigemptyset(&s.mask);
  if (!(c->how & MP_OS_OWN_GROUP)) mp_os_child_mask(&mask, &s.mask);
  if (c->passed) sigaddset(&s.mask, SIGINT);
  pid_t pid = start(&s);
  int failed = errno;
  if (pid > 0 && (s.err || c->how & MP_OS_DETACHED)) await_end(pid);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  if (pid < 0) return -failed;
  if (s.err) return -s.err;
  return c->how & MP_OS_DETACHED ? s.detached : pid;
}

static int above_stdio(int fd) {
  if (fd < 0) return -errno;
  if (fd >= FIRST_FREE) return fd;
  int higher = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
  int err = errno;
  close(fd);
  return higher < 0 ? -err : higher;
}

int mp_os_open_null(void) { return above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

/* For file systems that know no nameless files. */
static int open_unlinked(const char *folder) {
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/mproc-XXXXXX", folder);
  if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
  int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
  if (fd >= 0) unlink(path);
  return above_stdio(fd);
}

int mp_os_open_nameless(const char *folder) {
  int fd = above_stdio(open(folder, O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600));
  return fd == -EOPNOTSUPP || fd == -EISDIR || fd == -EINVAL ? open_unlinked(folder) : fd;
}

int mp_os_become(char *const *argv, const char *name, const char *value) {
  if (setenv(name, value, 1) != 0) return -errno;
  mp_os_flush();
  execvp(argv[0], argv);
  return -errno;
}

int mp_os_open_log(const char *path, bool anew) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666);
  return fd < 0 ? -errno : mp_os_descriptor_keep(fd);
}

int mp_os_open_read(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int64_t mp_os_read(int fd, void *p, size_t n) {
  ssize_t got = read(fd, p, n);
  return got < 0 ? -errno : got;
}

int64_t mp_os_file_size(int fd) {
  struct stat s;
  return fstat(fd, &s) < 0 ? -errno : s.st_size;
}

/* Where the system cannot move the bytes by itself: into what was opened for appending, say. */
static ssize_t copy_some(int from, int64_t at, int to) {
  char buffer[1 << 16];
  ssize_t n = pread(from, buffer, sizeof buffer, at);
  if (n <= 0) return n < 0 ? -errno : 0;
  int err = mp_os_write(to, buffer, (size_t)n);
  return err ? err : n;
}

static ssize_t send_some(int from, int64_t at, int to) {
  off_t place = at;
  ssize_t n = sendfile(to, from, &place, SEND_MOST);
  if (n >= 0) return n;
  if (errno == EAGAIN || errno == EINVAL || errno == ENOSYS) return copy_some(from, at, to);
  return errno == EINTR ? 0 : -errno;
}

int mp_os_send_file(int from, int to) {
  int64_t size = mp_os_file_size(from), at = 0;
  if (size < 0) return (int)size;
  while (at < size) {
    ssize_t n = send_some(from, at, to);
    if (n < 0) return (int)n;
    at += n;
  }
  return 0;
}
