/* SPDX-License-Identifier: MIT */
/* Processes that sleep in a call while others are killed. The contracts stand in witness.h. */
#define _GNU_SOURCE
#include "witness.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 4
#define SLOW_TRIES 50
#define PAUSE_US 50

t_witness *t_witnesses;

void t_witness_map(void) { t_witnesses = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }

static int slice_begins(void *arg) {
  ((t_witness *)arg)->armed = mp_os_now();
  return 0;
}

mp_wait t_witness_wait(t_witness *s) { return (mp_wait){MP_FOREVER, slice_begins, s}; }

static void be_witness(t_witness *s, void (*f)(t_witness *)) {
  f(s);
  s->woken = mp_os_now();
  for (;;) pause();
}

void t_witness_sleep(int i, void (*f)(t_witness *)) {
  t_witness *s = &t_witnesses[i];
  memset(s, 0, sizeof *s);
  s->armed = mp_os_now();
  pid_t pid = fork();
  if (pid == 0) be_witness(s, f);
  s->pid = pid;
  for (int seen = 0; seen < 3 && !s->woken; usleep(PAUSE_US)) seen = t_asleep(pid) ? seen + 1 : 0;
}

bool t_witness_woken(const t_witness *s, uint64_t deadline) {
  while (!s->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return s->woken && s->woken < deadline;
}

int t_witness_judge(int n) {
  bool young = true;
  uint64_t since = mp_os_now();
  for (int i = 0; i < n; i++) young = young && (t_witness_young(&t_witnesses[i]) || t_witnesses[i].woken);
  for (int i = 0; i < n; i++) {
    if (t_witness_woken(&t_witnesses[i], since + T_PROMPT)) continue;
    return young ? T_LATE : T_SLOW;
  }
  return T_IN_TIME;
}

void t_witness_end(int n) {
  for (int i = 0; i < n; i++) t_end(t_witnesses[i].pid);
}

static void run_to_stop(pid_t pid) {
  int status;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  waitpid(pid, &status, 0);
}

static int try_point(const t_witnessed *s, long k, bool *done) {
  t_deadline(30);
  s->before();
  pid_t killed = t_trace(s->run, NULL);
  if (s->starts_late) run_to_stop(killed);
  if (s->asleep) s->asleep();
  *done = t_step(killed, k);
  t_end(killed);
  return s->after(*done);
}

static bool in_time(const t_witnessed *s, long k, bool *done) {
  int late = 0, slow = 0;
  t_point = k;
  while (late < TRIES && slow < SLOW_TRIES) {
    int r = try_point(s, k, done);
    if (r == T_IN_TIME) return true;
    late += r == T_LATE;
    slow += r == T_SLOW;
  }
  fprintf(stderr, "%s, kill point %ld: %s\n", s->name, k, late == TRIES ? "the wake was lost" : "too slow to tell");
  return false;
}

long t_witness_run(const t_witnessed *s) {
  long points = 0;
  bool done = false;
  t_what = s->name;
  for (long k = t_first();; k += t_stride(), points++) {
    CHECK(in_time(s, k, &done));
    if (done) break;
  }
  printf("  %-44s %6ld kill points\n", s->name, points);
  return points;
}
