/* SPDX-License-Identifier: MIT */
/* Making, signalling and waiting for processes. Tolerates a host that ignores SIGCHLD or reaps first. */
#define _GNU_SOURCE
#include "os/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

/* What a fork must find at its default action, and not blocked, even where it was ignored. */
static bool is_ours(int sig) { return sig == SIGINT || sig == SIGTERM || sig == SIGCHLD; }

/* Handlers of these are for the faults of the program itself, whichever process runs it. */
static bool is_fault(int sig) {
  return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP;
}

/* A handler serves the parent: it may write where the parent reads. What is ignored stays so. */
static bool has_handler(int sig) {
  struct sigaction now;
  return sigaction(sig, NULL, &now) == 0 && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
}

/* In the child, with all blocked: from here on a signal does to it what it does to a fresh program. */
static void default_signals(sigset_t *mask) {
  for (int sig = 1; sig < NSIG; sig++) {
    if (is_ours(sig)) sigdelset(mask, sig);
    if (is_ours(sig) || (!is_fault(sig) && has_handler(sig))) signal(sig, SIG_DFL);
  }
}

bool mp_os_signal_is_reset(int sig) { return is_ours(sig) || has_handler(sig); }

void mp_os_child_mask(const sigset_t *parents, sigset_t *to) {
  *to = *parents;
  for (int sig = 1; sig < NSIG; sig++)
    if (is_ours(sig)) sigdelset(to, sig);
}

MP_HOT_AFTER_FORK pid_t mp_os_fork(void) {
  sigset_t hold, mask;
  sigfillset(&hold);
  fflush(NULL);
  pthread_sigmask(SIG_BLOCK, &hold, &mask);
  pid_t pid = fork();
  if (pid < 0) pid = -errno;
  if (pid == 0) default_signals(&mask);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  return pid;
}

int mp_os_reap(pid_t pid, int *status) {
  pid_t got = waitpid(pid, status, WNOHANG);
  if (got == pid) return 1;
  return got < 0 ? -errno : 0;
}

pid_t mp_os_reap_any(int *status) {
  pid_t got = waitpid(-1, status, WNOHANG);
  return got < 0 ? -errno : got;
}

int mp_os_kill(pid_t pid, int sig) { return kill(pid, sig) < 0 ? -errno : 0; }

int mp_os_exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

static const struct {
  int sig;
  const char *name;
} signals[] = {
    {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},   {SIGTRAP, "SIGTRAP"},
    {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"},
    {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"}, {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},
    {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},
};

const char *mp_os_signal_name(int sig) {
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    if (signals[i].sig == sig) return signals[i].name;
  return NULL;
}

int mp_os_pidfd(pid_t pid) { return mp_os_descriptor((int)syscall(SYS_pidfd_open, pid, 0)); }

/* A pid is given again only once its process has been reaped, which its pidfd tells before. */
int mp_os_pidfd_signal(int pidfd, pid_t pid, int sig) {
  if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0) return 0;
  if (errno == ESRCH || mp_os_poll(pidfd, 0) == 1) return -ESRCH;
  return kill(pid, sig) < 0 ? -errno : 0;
}

int mp_os_pid_signal(pid_t pid, uint64_t since, int sig) {
  if (mp_os_started_after(pid, since)) return -ESRCH;
  return kill(pid, sig) < 0 ? -errno : 0;
}

bool mp_os_gone(pid_t pid) {
  int fd = mp_os_pidfd(pid);
  if (fd < 0) return fd == -ESRCH || (kill(pid, 0) < 0 && errno == ESRCH);
  bool gone = mp_os_poll(fd, 0) == 1;
  mp_os_close(fd);
  return gone;
}

int mp_os_ready_fd(void) { return mp_os_descriptor(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

int mp_os_poll(int fd, uint64_t deadline) {
  struct pollfd p = {fd, POLLIN, 0};
  uint64_t now = mp_os_now(), left = deadline > now ? deadline - now : 0;
  struct timespec t = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
  int n = ppoll(&p, 1, deadline == MP_FOREVER ? NULL : &t, NULL);
  return n < 0 ? -errno : n;
}

void mp_os_sigint_default(void) {
  struct sigaction now;
  if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler != SIG_IGN) signal(SIGINT, SIG_DFL);
}
