/* SPDX-License-Identifier: MIT */
/* Processes that sleep while another is killed. The contracts stand in sleeper.h. */
#define _GNU_SOURCE
#include "waiter.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 4
#define SLOW_TRIES 50
#define LOST_MOST 3 /* per scenario; more would only take time */
#define PAUSE_US 50
#define SURELY_ASLEEP 3 /* seen so often in a row: a lock may be slept on for a moment */

t_waiter *t_waiters;
bool t_control;

void t_waiters_setup(void) {
  setenv("MPROC_SPIN", "0", 1);
  t_block_sigchld();
  const char *mode = getenv("MP_CONTROL");
  t_control = mode && strcmp(mode, "nopending") == 0;
  t_waiters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void t_without_kernel(void) {
  if (t_control) mp_os_robust = NULL;
}

static int slice_begins(void *arg) {
  ((t_waiter *)arg)->armed = mp_os_now();
  return 0;
}

mp_shm_wait t_watched(t_waiter *s) { return (mp_shm_wait){MP_FOREVER, slice_begins, s}; }

pid_t t_sleep(t_waiter *s, void (*f)(t_waiter *)) {
  memset(s, 0, sizeof *s);
  s->armed = mp_os_now();
  pid_t pid = fork();
  if (pid) return pid;
  f(s);
  for (;;) pause();
}

void t_await_armed(mp_shm_wait_queue *b) {
  while (b->word & MP_WORD_IDLE) usleep(PAUSE_US);
}

void t_await_asleep(pid_t pid) {
  while (!t_asleep(pid)) usleep(PAUSE_US);
}

bool t_woken_by(const t_waiter *s, uint64_t deadline) {
  while (!s->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return s->woken && s->woken < deadline;
}

bool t_young(const t_waiter *s) { return mp_os_now() < s->armed + T_YOUNG; }

void t_run_to_stop(pid_t pid) {
  int status;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  waitpid(pid, &status, 0);
}

bool t_step_waiter(pid_t pid, const t_waiter *s, long steps) {
  for (long i = 0; i < steps; i++)
    if (s->woken || !t_step_awake(pid)) return true;
  return false;
}

pid_t t_stopped_asleep(void (*run)(void *), t_waiter *s, mp_shm_wait_queue *b) {
  int status;
  s->woken = 0;
  pid_t pid = t_trace(run, s);
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  t_await_armed(b);
  CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, 0) == pid);
  return pid;
}

/* --- sleepers of many kinds --- */

static pid_t pids[T_SLEEPERS];

void t_witness(int i, void (*f)(t_waiter *)) {
  t_waiter *s = &t_waiters[i];
  pids[i] = t_sleep(s, f);
  for (int seen = 0; seen < SURELY_ASLEEP && !s->woken; usleep(PAUSE_US)) seen = t_asleep(pids[i]) ? seen + 1 : 0;
}

pid_t t_witness_pid(int i) { return pids[i]; }
void t_witness_end(int i) { t_end(pids[i]); }

void t_witness_end_all(int n) {
  for (int i = 0; i < n; i++) t_witness_end(i);
}

static bool all_young(int n) {
  for (int i = 0; i < n; i++)
    if (!t_young(&t_waiters[i]) && !t_waiters[i].woken) return false;
  return true;
}

static bool all_woken_by(int n, uint64_t deadline) {
  for (int i = 0; i < n; i++)
    if (!t_woken_by(&t_waiters[i], deadline)) return false;
  return true;
}

int t_witness_judge(int n) {
  uint64_t since = mp_os_now();
  bool young = all_young(n);
  return all_woken_by(n, since + T_PROMPT) ? T_IN_TIME : young ? T_LATE : T_SLOW;
}

int t_witness_result(int i) {
  t_woken_by(&t_waiters[i], MP_FOREVER);
  return t_waiters[i].result;
}

/* --- scenarios --- */

static pid_t trace(void (*run)(void *), bool starts_late) {
  pid_t pid = t_trace(run, NULL);
  if (starts_late) t_run_to_stop(pid);
  return pid;
}

static bool step_and_end(pid_t pid, long k) {
  bool done = t_step(pid, k);
  t_end(pid);
  return done;
}

int t_try_witnessed(const void *witnessed, long k, bool *done) {
  const t_witnessed *o = witnessed;
  t_deadline(30);
  o->before();
  pid_t killed = trace(o->run, o->starts_late);
  if (o->meanwhile) o->meanwhile();
  *done = step_and_end(killed, k);
  return o->after(*done);
}

/* The sleepers must wake by themselves, or at once when they get what the dead process did not give them. */
static int judge(const t_scenario *o, int n) {
  bool helped = !o->committed();
  if (!all_young(n)) return T_SLOW;
  uint64_t since = mp_os_now();
  if (helped) o->help();
  return all_woken_by(n, since + T_PROMPT) ? T_IN_TIME : T_LATE;
}

int t_try_scenario(const void *scenario, long k, bool *done) {
  const t_scenario *o = scenario;
  int n = o->waiters ? (int)o->waiters : 1;
  t_deadline(30);
  o->before();
  pid_t killed = trace(o->run, o->starts_late);
  for (int i = 0; i < n; i++) t_witness(i, o->sleep);
  *done = step_and_end(killed, k);
  int r = judge(o, n);
  t_witness_end_all(n);
  if (r == T_IN_TIME) o->after(t_waiters);
  o->let_go();
  return r;
}

/* --- points --- */

/* True when it was in time at least once. */
static bool in_time(t_try *f, const void *arg, long k, bool *done) {
  int late = 0, slow = 0;
  t_point = k;
  while (late < TRIES) {
    int r = f(arg, k, done);
    if (r == T_IN_TIME) return true;
    late += r == T_LATE;
    slow += r == T_SLOW;
    CHECK(slow < SLOW_TRIES);
  }
  return false;
}

long t_run_points(const char *name, t_try *f, const void *arg) {
  long points = 0, lost = 0;
  bool done = false;
  t_what = name;
  long stride = t_control ? 1 : t_stride(); /* a sample could miss the few instructions that control is about */
  for (long k = t_control ? 1 : t_first(); !done && lost < LOST_MOST; k += stride, points++) {
    if (in_time(f, arg, k, &done)) continue;
    if (!t_control) fprintf(stderr, "%s, kill point %ld: the wake was lost\n", name, k);
    lost++;
  }
  printf("  %-44s %6ld kill points, %ld wakes lost\n", name, points, lost);
  return lost;
}

long t_run_witnessed(const t_witnessed *list, size_t n, const char *part) {
  long lost = 0;
  for (size_t i = 0; i < n; i++)
    if (!part || strstr(list[i].name, part)) lost += t_run_points(list[i].name, t_try_witnessed, &list[i]);
  return lost;
}
