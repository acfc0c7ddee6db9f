/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of each operation on semaphores, the cleaner of its remains as well; then a
 * survivor must find each permit once. And while others sleep for a permit: no wake may be lost (sleeper.h).
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/sync/semaphore.h"
#include "waiter.h"

static mp_shm_semaphore *s;
static mp_shm_handle h;
static uint32_t me; /* the slot of the process that tests */
static pid_t helper;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- pieces of before and after --- */

static void make(uint32_t kind, uint64_t n) {
  CHECK(mp_shm_semaphore_new(kind, n, &t_soon, &h) == 0);
  s = mp_shm_object_block(h, MP_TYPE_SEMAPHORE);
}

static void acquire(int n) {
  while (n-- > 0) CHECK(mp_shm_semaphore_acquire(s, &t_soon) == 0);
}

static void release(uint64_t k) { CHECK(mp_shm_semaphore_release(s, k, &t_soon) == 0); }

static uint64_t value(void) {
  uint64_t n;
  CHECK(mp_shm_semaphore_value(s, &t_soon, &n) == 0);
  return n;
}

static uint64_t own(void) { return mp_shm_per_process_load(&s->slots, me); }

static uint64_t out_in_all(void) {
  mp_shm_proc_ref who;
  uint64_t sum = 0, n;
  for (uint32_t p = 0; (n = mp_shm_semaphore_holder(s, &p, &who)) != 0; p++) sum += n;
  return sum;
}

/* Exactly n permits are there to be had; they come back. */
static void has(uint64_t n) {
  CHECK(value() == n);
  if (s->kind == MP_SEMAPHORE_BOUNDED) CHECK(s->target == 0 && out_in_all() == s->max - n);
  for (uint64_t i = 0; i < n; i++) CHECK(mp_shm_semaphore_acquire(s, &now) == 0);
  CHECK(mp_shm_semaphore_acquire(s, &now) == -ETIMEDOUT);
  if (n) release(n);
  CHECK(value() == n);
}

static void let_go(void) {
  mp_shm_object_unuse(h);
  t_nothing_left();
}

static void has_either(uint64_t a, uint64_t b) {
  mp_shm_sweep();
  has(value() == a ? a : b);
  let_go();
}

/* --- plain --- */

static void plain_0(void) { make(MP_SEMAPHORE_PLAIN, 0); }
static void plain_2(void) { make(MP_SEMAPHORE_PLAIN, 2); }
static void run_acquire(void *arg) { (void)arg, acquire(1); }
static void run_release_3(void *arg) { (void)arg, release(3); }
static void after_acquire(void) { has_either(1, 2); }
static void after_release(void) { has_either(0, 3); }

/* --- bounded --- */

static void bounded(uint64_t n) { make(MP_SEMAPHORE_BOUNDED, n); }
static void bounded_1(void) { bounded(1); }
static void bounded_2(void) { bounded(2); }
static void bounded_2_of_3(void) { bounded(3), acquire(2); }
static void bounded_1_of_2(void) { bounded(2), acquire(1); }

/* Nobody but who waits does anything: the permit of the dead process comes to it. */
static void after_last_acquire(void) {
  acquire(1);
  CHECK(own() == 1 && value() == 0);
  release(1);
  has(1);
  let_go();
}

static void run_acquire_release(void *arg) { (void)arg, acquire(1), release(1); }
static void run_release_2(void *arg) { (void)arg, release(2); }
static void run_acquire_release_3(void *arg) { (void)arg, acquire(1), release(3); }

static void run_too_many(void *arg) {
  (void)arg;
  CHECK(mp_shm_semaphore_release(s, 2, &t_soon) == -EOVERFLOW);
}

static void all_are_back(void) { has_either(s->max, s->max); }
static void one_is_out(void) { has_either(1, 1); }

/* The two that this process has are all released, or none. */
static void after_release_of_others(void) {
  mp_shm_sweep();
  uint64_t n = value();
  CHECK(n == 1 || n == 3);
  CHECK(own() == 3 - n);
  has(n);
  let_go();
}

static void hold_one_and_pause(void) {
  acquire(1);
  for (;;) pause();
}

/* This process has one, another has one, and one is there. */
static void two_have_one(void) {
  bounded(3);
  acquire(1);
  helper = fork();
  if (helper == 0) hold_one_and_pause();
  while (s->value > 1) usleep(50);
}

static void after_release_of_two(void) {
  uint64_t n = value();
  CHECK(n == 1 || n == 3);
  t_end(helper);
  mp_shm_sweep();
  has(n == 1 ? 2 : 3);
  let_go();
}

/* All are out, and in the hands of a dead process. */
static void dead_has(int n) {
  pid_t pid = fork();
  if (pid == 0) {
    acquire(n);
    for (;;) pause();
  }
  while (s->value > 0) usleep(50);
  t_end(pid);
}

static void dead_has_2_of_2(void) { bounded(2), dead_has(2); }
static void run_sweep(void *arg) { (void)arg, mp_shm_sweep(); }

/* Its last use of an object that others know, and it has a permit. */
static void run_drop(void *arg) {
  (void)arg;
  acquire(1);
  mp_shm_object_unuse(h);
}

static void nothing(void) {}

static void run_make(void *arg) {
  (void)arg;
  bounded(3);
  acquire(2);
  mp_shm_object_unuse(h);
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void run_recovery(void *arg) {
  (void)arg;
  mp_shm_sweep();
  (void)value();
}

static const t_op ops[] = {
    {"acquire", plain_2, run_acquire, after_acquire, NULL, NULL},
    {"release", plain_0, run_release_3, after_release, NULL, NULL},
    {"acquire, bounded", bounded_1, run_acquire, after_last_acquire, NULL, NULL},
    {"acquire and release, bounded", bounded_2, run_acquire_release, all_are_back, NULL, run_recovery},
    {"release of another's", bounded_2_of_3, run_release_2, after_release_of_others, NULL, NULL},
    {"release of one's own and another's", bounded_2_of_3, run_acquire_release_3, after_release_of_others, NULL,
     run_recovery},
    {"release of two others'", two_have_one, run_release_2, after_release_of_two, NULL, run_recovery},
    {"release of too many", bounded_1_of_2, run_too_many, one_is_out, NULL, NULL},
    {"taking back from the dead", dead_has_2_of_2, run_sweep, all_are_back, NULL, run_recovery},
    {"drop with a permit", bounded_2, run_drop, all_are_back, NULL, run_recovery},
    {"make, acquire and drop", nothing, run_make, after_nothing, NULL, NULL},
};

/* --- wakes --- */

static void sleep_in_acquire(t_waiter *t) {
  mp_shm_wait w = t_watched(t);
  t->result = mp_shm_semaphore_acquire(s, &w);
  t->woken = mp_os_now();
}

static void all_out_1(void) { bounded(1), acquire(1); }
static void all_out_2(void) { bounded(2), acquire(2); }
static void dead_has_1_of_1(void) { bounded(1), dead_has(1); }

static void run_release(void *arg) {
  (void)arg;
  t_without_kernel();
  release(1);
}

static void run_release_both(void *arg) {
  (void)arg;
  t_without_kernel();
  release(2);
}

static void run_clean(void *arg) {
  (void)arg;
  t_without_kernel();
  mp_shm_sweep();
}

/* A sleeper that has taken it but has not said so is helped needlessly, which does no harm. */
static bool is_there(void) { return s->value > 0 || t_waiters[0].woken; }
static bool is_released(void) { return s->target != 0 || own() == 0; }

/* The one permit is another's than the dead process's, or nobody's. */
static bool is_taken_back(void) {
  mp_shm_proc_ref who;
  uint32_t p = 0;
  return mp_shm_semaphore_holder(s, &p, &who) == 0 || !mp_shm_proc_dead(who);
}

static void help_by_release(void) { release(1); }
static void help_by_release_both(void) { release(2); }

static void after_one(const t_waiter *t) { CHECK(t[0].result == 0); }

static void after_both(const t_waiter *t) {
  CHECK(t[0].result == 0 && t[1].result == 0);
  if (s->kind == MP_SEMAPHORE_BOUNDED) CHECK(own() == 0 && value() == 0);
}

static const t_scenario scenarios[] = {
    {"acquire sleeps, release killed", plain_0, sleep_in_acquire, run_release, is_there, help_by_release, after_one,
     let_go, 1, false},
    {"two sleep, release of two killed", plain_0, sleep_in_acquire, run_release_both, is_there, help_by_release_both,
     after_both, let_go, 2, false},
    {"bounded, acquire sleeps, release killed", all_out_1, sleep_in_acquire, run_release, is_released, help_by_release,
     after_one, let_go, 1, false},
    {"bounded, two sleep, release of two killed", all_out_2, sleep_in_acquire, run_release_both, is_released,
     help_by_release_both, after_both, let_go, 2, false},
    {"bounded, acquire sleeps, cleaner killed", dead_has_1_of_1, sleep_in_acquire, run_clean, is_taken_back,
     mp_shm_sweep, after_one, let_go, 1, false},
};

/* --- the first in line is killed while another waits behind it --- */

static void run_sleep(void *arg) { sleep_in_acquire(arg); }

static pid_t start_second(void) {
  pid_t pid = t_sleep(&t_waiters[1], sleep_in_acquire);
  t_await_asleep(pid);
  return pid;
}

static int judge_second(void (*help)(void)) {
  const t_waiter *t = &t_waiters[1];
  if (t->woken) return T_IN_TIME;
  if (!t_young(t)) return T_SLOW;
  uint64_t since = mp_os_now();
  if (help) help();
  return t_woken_by(t, since + T_PROMPT) && t->result == 0 ? T_IN_TIME : T_LATE;
}

typedef struct pair {
  const char *name;
  void (*before)(void);
} pair;

static int try_going_to_sleep(const void *arg, long k, bool *done) {
  const pair *o = arg;
  t_deadline(20);
  o->before();
  t_waiters[0].woken = 0;
  pid_t first = t_trace(run_sleep, &t_waiters[0]);
  *done = t_step_waiter(first, &t_waiters[0], k);
  pid_t second = start_second();
  t_end(first);
  int r = judge_second(help_by_release);
  t_end(second);
  let_go();
  return r;
}

/* What the first one had taken: another is released (plain), or the dead one's is taken back (bounded). */
static void give_again(void) {
  if (s->kind == MP_SEMAPHORE_BOUNDED)
    mp_shm_sweep();
  else
    release(1);
}

static int try_waking_up(const void *arg, long k, bool *done) {
  const pair *o = arg;
  t_deadline(20);
  o->before();
  pid_t first = t_stopped_asleep(run_sleep, &t_waiters[0], &s->wait_queue), second = start_second();
  release(1);
  *done = t_step_waiter(first, &t_waiters[0], k);
  bool taken = s->kind == MP_SEMAPHORE_BOUNDED ? out_in_all() > 0 : s->value == 0;
  t_end(first);
  int r = judge_second(taken ? give_again : NULL);
  t_end(second);
  let_go();
  return r;
}

static const pair pairs[] = {{"plain", plain_0}, {"bounded", all_out_1}};

/* --- all of it --- */

static long run_wakes(void) {
  long lost = 0;
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    lost += t_run_points(scenarios[i].name, t_try_scenario, &scenarios[i]);
  for (size_t i = 0; i < 2; i++) {
    printf("  %s:\n", pairs[i].name);
    lost += t_run_points("first in line killed going to sleep", try_going_to_sleep, &pairs[i]);
    lost += t_run_points("first in line killed waking up", try_waking_up, &pairs[i]);
  }
  return lost;
}

/* A test that cannot fail would be noticed here: without the kernel's part wakes are lost. */
static void control(void) {
  t_control = true;
  printf("control: no pending cell\n");
  CHECK(t_run_points(scenarios[0].name, t_try_scenario, &scenarios[0]) > 0);
  CHECK(t_run_points(scenarios[2].name, t_try_scenario, &scenarios[2]) > 0);
  t_control = false;
}

int main(void) {
  long points = 0, n = 0, lost = 0;
  t_waiters_setup();
  t_start();
  me = mp_shm_my_slot;
  if (!t_control) points += t_run_ops(ops, sizeof ops / sizeof *ops, NULL, &n);
  printf("%ld kill points\n", points);
  lost = run_wakes();
  if (!t_control) control();
  if (lost) return 1;
  printf("ok %ld\n", n + (long)(sizeof scenarios / sizeof *scenarios) + 5);
  return 0;
}
