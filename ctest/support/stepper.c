/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "stepper.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define SURELY_RUN 1000000 /* ns: a step that takes longer may be a sleep */
enum { WAYS = 4, LENGTH_MOST = 1 << 20, BACK = 256 };

typedef struct moment {
  uint64_t at;   /* the instruction that comes next */
  uint32_t seen; /* how often the child had come to it before, on this way */
} moment;

typedef struct way {
  void (*f)(void *);
  const char *what;
  long tried;      /* the last point */
  long n;          /* moments[0 .. n - 1]: after so many steps */
  moment *moments; /* LENGTH_MOST of them, touched as needed */
} way;

static way ways[WAYS];
static unsigned oldest;
static volatile int *ended; /* shared with the child: f has */
static pid_t fresh;         /* the child that has not been stepped yet */
static way *goes;           /* its way */

/* --- breakpoints --- */

#if defined(__x86_64__)
static bool set_register(pid_t pid, int i, uint64_t value) {
  return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + (size_t)i * sizeof value, value) == 0;
}
static bool set_breakpoint(pid_t pid, uint64_t at) { return set_register(pid, 0, at) && set_register(pid, 7, 1); }
static void clear_breakpoint(pid_t pid) { (void)set_register(pid, 7, 0); }
static uint64_t next_instruction(pid_t pid) {
  return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
}
#else /* always stepped */
static bool set_breakpoint(pid_t pid, uint64_t at) { return (void)pid, (void)at, false; }
static void clear_breakpoint(pid_t pid) { (void)pid; }
static uint64_t next_instruction(pid_t pid) { return (void)pid, 0; }
#endif

/* --- ways --- */

static way *way_of(void (*f)(void *)) {
  for (way *w = ways; w < ways + WAYS; w++)
    if (w->f == f && w->what == t_what) return w;
  way *w = &ways[oldest++ % WAYS];
  void *room = w->moments ? w->moments : t_shared(LENGTH_MOST * sizeof *w->moments);
  *w = (way){f, t_what, 0, 0, room};
  return w;
}

/* An instruction that repeats itself is come to once. */
static void remember(way *w, uint64_t at) {
  if (w->n == LENGTH_MOST) return;
  uint32_t seen = 0;
  for (long i = 0; i < w->n; i++) seen += w->moments[i].at == at && (i == 0 || w->moments[i - 1].at != at);
  w->moments[w->n++] = (moment){at, seen};
}

/* The moment, no later than after `steps`, from which on least is to be done; 0: the start. */
static long best_moment(const way *w, long steps) {
  long best = 0, least = steps, last = steps < w->n - 1 ? steps : w->n - 1;
  for (long i = last; i > 0 && i > last - BACK; i--) {
    const moment *m = &w->moments[i];
    if (m->at == m[-1].at || m->seen + steps - i >= least) continue;
    best = i;
    least = m->seen + steps - i;
  }
  return best;
}

static bool is_over(int status) { return *ended || WIFEXITED(status) || WIFSIGNALED(status); }

/* Runs the child to that moment. 0 when it cannot be stopped there, -1 when it has ended instead. */
static long run_to(pid_t pid, const way *w, long i) {
  int status = 0;
  if (i == 0 || !set_breakpoint(pid, w->moments[i].at)) return 0;
  for (uint32_t left = w->moments[i].seen + 1; left > 0;) {
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    waitpid(pid, &status, 0);
    if (is_over(status)) return -1;
    left -= WSTOPSIG(status) == SIGTRAP;
  }
  clear_breakpoint(pid);
  return i;
}

/* --- children --- */

static void child(void (*f)(void *), void *arg) {
  ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  raise(SIGSTOP);
  f(arg);
  *ended = 1;
  raise(SIGSTOP);
  _exit(0);
}

void t_follow(pid_t pid, void (*f)(void *)) {
  fresh = pid;
  goes = way_of(f);
}

pid_t t_trace(void (*f)(void *), void *arg) {
  int status;
  if (!ended) ended = t_shared(sizeof *ended);
  *ended = 0;
  pid_t pid = fork();
  if (pid == 0) child(f, arg);
  CHECK(pid > 0);
  waitpid(pid, &status, 0);
  t_follow(pid, f);
  return pid;
}

/* A fresh child's way; NULL when it has been stepped before. A search that begins again, or its last point, may have
 * changed what is tried. */
static way *take_way(pid_t pid, long steps) {
  if (pid != fresh) return NULL;
  fresh = 0;
  if (steps < goes->tried) goes->n = 0;
  goes->tried = steps;
  if (goes->n == 0) remember(goes, next_instruction(pid));
  return goes;
}

bool t_step(pid_t pid, long steps) {
  int status;
  way *w = take_way(pid, steps);
  long done = w ? run_to(pid, w, best_moment(w, steps)) : 0;
  if (done < 0) {
    w->n = 0;
    return false;
  }
  for (; done < steps && !*ended; done++) {
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status)) return true;
    if (w && !*ended && done + 1 == w->n) remember(w, next_instruction(pid));
  }
  return *ended;
}

void t_finish(pid_t pid) {
  int status;
  while (!*ended) {
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status)) return;
  }
}

void t_end(pid_t pid) {
  int status;
  CHECK(pid > 0); /* a fork that failed: kill(-1) would end everything */
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
}

/* --- asleep or not --- */

bool t_asleep(pid_t pid) {
  char name[64], state = 0;
  snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(name, "r");
  CHECK(f);
  int n = fscanf(f, "%*d (%*[^)]) %c", &state);
  fclose(f);
  return n == 1 && state == 'S';
}

static sigset_t sigchld(void) {
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  return chld;
}

void t_block_sigchld(void) {
  sigset_t chld = sigchld();
  sigprocmask(SIG_BLOCK, &chld, NULL);
}

bool t_step_awake(pid_t pid) {
  int status;
  sigset_t chld = sigchld();
  const struct timespec t = {0, SURELY_RUN};
  ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
  while (waitpid(pid, &status, WNOHANG) == 0)
    if (sigtimedwait(&chld, NULL, &t) < 0 && t_asleep(pid)) return false;
  return true;
}
