/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of each operation on an event, with nobody waiting and while others sleep:
 * each of them must be released at once (sleeper.h), even when the flag is down again and when the one whom the kernel
 * woke in the dead one's place is killed as well. MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at
 * the m modulo nth.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "shm/sync/event.h"
#include "waiter.h"

static mp_shm_event *e;
static mp_shm_handle h;
static const mp_shm_wait now = {0, NULL, NULL};

static uint64_t generation(void) { return e->state >> 1; }

/* --- nobody waits --- */

static void make(void) {
  CHECK(mp_shm_event_new(&t_soon, &h) == 0);
  e = mp_shm_object_block(h, MP_TYPE_EVENT);
}

static void make_set(void) { make(), mp_shm_event_set(e); }
static void nothing(void) {}
static void run_set(void *arg) { (void)arg, mp_shm_event_set(e); }
static void run_clear(void *arg) { (void)arg, mp_shm_event_clear(e); }

static void run_wait(void *arg) {
  (void)arg;
  CHECK(mp_shm_event_wait(e, &now) == 0);
}

static void run_make(void *arg) {
  (void)arg;
  make_set();
  mp_shm_object_unuse(h);
}

static void let_go(void) {
  mp_shm_object_unuse(h);
  t_nothing_left();
}

static void works(void) {
  uint64_t g = generation();
  bool set = mp_shm_event_is_set(e);
  CHECK(mp_shm_event_wait(e, &now) == (set ? 0 : -ETIMEDOUT));
  mp_shm_event_set(e);
  CHECK(mp_shm_event_is_set(e) && generation() == (set ? g : g + 1));
  CHECK(mp_shm_event_wait(e, &t_soon) == 0);
  mp_shm_event_clear(e);
  CHECK(!mp_shm_event_is_set(e) && mp_shm_event_wait(e, &now) == -ETIMEDOUT);
  mp_shm_sweep();
  let_go();
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static const t_op ops[] = {
    {"set", make, run_set, works, NULL, NULL},
    {"set when set", make_set, run_set, works, NULL, NULL},
    {"clear", make_set, run_clear, works, NULL, NULL},
    {"wait for a set one", make_set, run_wait, works, NULL, NULL},
    {"make, set and drop", nothing, run_make, after_nothing, NULL, NULL},
};

/* --- others sleep --- */

static void sleep_in_wait(t_waiter *t) {
  mp_shm_wait w = t_watched(t);
  t->result = mp_shm_event_wait(e, &w);
  t->woken = mp_os_now();
}

static void run_set_killed(void *arg) {
  (void)arg;
  t_without_kernel();
  mp_shm_event_set(e);
}

/* A pulse: the flag goes down before any sleeper has looked. */
static bool was_set(void) {
  bool set = generation() > 0;
  mp_shm_event_clear(e);
  return set;
}

static void pulse(void) {
  mp_shm_event_set(e);
  mp_shm_event_clear(e);
}

static void all_released(const t_waiter *t) {
  for (int i = 0; i < 3; i++) CHECK(t[i].result == 0);
  CHECK(!mp_shm_event_is_set(e));
}

static const t_scenario scenario = {
    "three sleep, set killed", make, sleep_in_wait, run_set_killed, was_set, pulse, all_released, let_go, 3, false};

/* --- a waiter is killed while others sleep --- */

static void run_sleep(void *arg) { sleep_in_wait(arg); }

static void start_others(pid_t *pids) {
  for (int i = 1; i < 3; i++) pids[i] = t_sleep(&t_waiters[i], sleep_in_wait);
  for (int i = 1; i < 3; i++) t_await_asleep(pids[i]);
}

static int judge_others(void) {
  uint64_t since = mp_os_now();
  for (int i = 1; i < 3; i++)
    if (!t_woken_by(&t_waiters[i], since + T_PROMPT)) return T_LATE;
  return T_IN_TIME;
}

static void end_others(pid_t *pids) {
  for (int i = 1; i < 3; i++) t_end(pids[i]);
  mp_shm_sweep();
  let_go();
}

static int try_going_to_sleep(const void *arg, long k, bool *done) {
  pid_t pids[3];
  (void)arg;
  t_deadline(20);
  make();
  t_waiters[0].woken = 0;
  pids[0] = t_trace(run_sleep, &t_waiters[0]);
  *done = t_step_waiter(pids[0], &t_waiters[0], k);
  start_others(pids);
  t_end(pids[0]);
  int r = t_young(&t_waiters[1]) ? T_IN_TIME : T_SLOW;
  pulse();
  if (r == T_IN_TIME) r = judge_others();
  end_others(pids);
  return r;
}

/* Steps through set() until it has committed, and kills it there. */
static void set_and_die(void) {
  pid_t setter = t_trace(run_set, NULL);
  while (generation() == 0) CHECK(!t_step(setter, 1));
  mp_shm_event_clear(e);
  t_end(setter);
}

/* The dead setter's wake has gone to the first sleeper, which is killed at its k-th instruction from there on. */
static int try_passing_on(const void *arg, long k, bool *done) {
  pid_t pids[3];
  int status;
  (void)arg;
  t_deadline(20);
  make();
  t_waiters[0].woken = 0;
  pids[0] = t_trace(run_sleep, &t_waiters[0]);
  CHECK(t_step_waiter(pids[0], &t_waiters[0], LONG_MAX) && !t_waiters[0].woken);
  start_others(pids);
  set_and_die();
  bool young = t_young(&t_waiters[1]) && t_young(&t_waiters[2]);
  CHECK(waitpid(pids[0], &status, 0) == pids[0] && WIFSTOPPED(status));
  *done = t_step_waiter(pids[0], &t_waiters[0], k - 1);
  young = young && t_young(&t_waiters[1]) && t_young(&t_waiters[2]);
  t_end(pids[0]);
  int r = judge_others();
  if (r == T_LATE && !young) r = T_SLOW;
  end_others(pids);
  return r;
}

static long run_wakes(void) {
  long lost = t_run_points(scenario.name, t_try_scenario, &scenario);
  lost += t_run_points("first of three killed going to sleep", try_going_to_sleep, NULL);
  lost += t_run_points("first of three killed passing a wake on", try_passing_on, NULL);
  return lost;
}

/* A test that cannot fail would be noticed here: without the kernel's part wakes are lost. */
static void control(void) {
  t_control = true;
  printf("control: no pending cell\n");
  CHECK(t_run_points(scenario.name, t_try_scenario, &scenario) > 0);
  t_control = false;
}

int main(void) {
  long points = 0, n = 0;
  t_waiters_setup();
  t_start();
  if (!t_control) points += t_run_ops(ops, sizeof ops / sizeof *ops, NULL, &n);
  printf("%ld kill points\n", points);
  long lost = run_wakes();
  if (!t_control) control();
  if (lost) return 1;
  printf("ok %ld\n", n + 4);
  return 0;
}
