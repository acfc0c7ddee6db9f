/* SPDX-License-Identifier: MIT */
/* A process that is nobody's child: the kernel gives it to init, so that no host waits for it or reaps it by mistake. */
#define _GNU_SOURCE
#include "os/local.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/process.h"

enum { KEPT = STDERR_FILENO + 1 };

/* Default first: a handler of the host's must not run here. */
static void ignore_what_asks(void) {
  static const int asks[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP, SIGXFSZ};
  for (int sig = 1; sig < NSIG; sig++)
    if (sig != SIGKILL && sig != SIGSTOP) signal(sig, SIG_DFL);
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) signal(asks[i], SIG_IGN);
}

/* Nothing may be kept open, or running, by a process that nobody knows: neither a terminal, nor a pipe, nor a folder. */
static void let_go_of_files(int kept) {
  if (kept != KEPT) dup2(kept, KEPT);
  for (int fd = 0; fd <= STDERR_FILENO; fd++) close(fd);
  for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < STDERR_FILENO;) fd = dup(fd);
  fcntl(KEPT, F_SETFD, FD_CLOEXEC);
  mp_os_close_fds_from(KEPT + 1);
  if (chdir("/") != 0) return;
}

static void raise_limit(void) {
  struct rlimit l;
  if (getrlimit(RLIMIT_NOFILE, &l) != 0) return;
  l.rlim_cur = l.rlim_max;
  setrlimit(RLIMIT_NOFILE, &l);
}

typedef struct life {
  bool remembers; /* its memory is a copy of its maker's */
  void (*run)(int kept, void *arg);
  void *arg;
} life;

static void live(int kept, const life *l) {
  ignore_what_asks();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  let_go_of_files(kept);
  if (!l->remembers) {
    raise_limit();
    prctl(PR_SET_NAME, "mproc-fds");
    mp_os_forget_memory();
  }
  l->run(KEPT, l->arg);
  _exit(EXIT_SUCCESS);
}

/* Not fork(): its handlers would give the copy a place in the registry. Two steps, of which the first borrows this
 * process's memory, so that its pages are shared out once. */
static pid_t start(int kept, const life *l) {
  volatile long pid = -1;
  volatile int err = 0;
  sigset_t all, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &mask);
  pid_t between = vfork();
  if (between == 0) {
    pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) live(kept, l);
    err = errno;
    _exit(EXIT_SUCCESS);
  }
  int failed = errno;
  while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) {}
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  if (between < 0) return -failed;
  return pid > 0 ? (pid_t)pid : -err;
}

pid_t mp_os_detached(int kept, void (*run)(int kept, void *arg), void *arg) {
  return start(kept, &(life){false, run, arg});
}

pid_t mp_os_detached_copy(int kept, void (*run)(int kept, void *arg), void *arg) {
  return start(kept, &(life){true, run, arg});
}
