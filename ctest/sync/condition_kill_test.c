/* SPDX-License-Identifier: MIT */
/*
 * Conditions: a waiter, a notifier, or the one that reaps for a dead one is killed at every instruction while others
 * wait. A notification either did not happen or reaches those it was for; what a dead waiter had not used up reaches the
 * next one; nobody is woken for nothing but by a reaper that was killed itself. MP_STRIDE, MP_OFFSET as in
 * killpoints_test.c.
 *
 * What was notified must also be prompt when its notifier is killed after it has released the lock, but for the few
 * instructions before it names a sleeper in its pending entry: a sleeper whose slice was young must wake within PROMPT, half
 * a slice. A late wake is tried again, for it may be the machine that was slow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/condition_scenario.h"

#define PROMPT (50 * MP_MS)
#define YOUNG (40 * MP_MS) /* + PROMPT < MP_SLICE */
#define TRIES 4
#define SPARSE 5
#define LATE_MOST 24       /* instructions between a release and naming the first word in the pending entry */
#define FIRST_MOST 900     /* instructions of a notify, about */
#define MOST_FOR_NOTHING 8 /* instructions between a reaper's two stores, times the two that may be given it */

static uint64_t asked; /* how many the operation notifies */
static long first_notifier;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- operations that nobody else is at --- */

static void run_short_wait(void *arg) {
  bool abandoned;
  (void)arg;
  cond_acquire();
  CHECK(mp_shm_condition_wait(cond_c, cond_handle, cond_lock, cond_lock_handle, &now, &abandoned) == -ETIMEDOUT);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
}

static void run_notify(void *arg) {
  (void)arg;
  cond_acquire();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, asked, &t_soon) == 0);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
}

static void make_and_drop(void *arg) {
  (void)arg;
  cond_begin();
  mp_shm_object_unuse(cond_handle);
  mp_shm_object_unuse(cond_lock_handle);
}

static void nothing(void) { asked = 1; }
static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void with_none(void) { cond_begin(), asked = UINT64_MAX; }
static void with_one(void) { cond_begin(), cond_start(0); }

/* The one that waits has not been touched. */
static void after_short_wait(void) {
  CHECK(!cond_w[0].pid || cond_waiting() >= 1);
  cond_finish();
}

static const t_op alone[] = {
    {"wait, its time is over", cond_begin, run_short_wait, after_short_wait, NULL, NULL},
    {"wait beside another, its time is over", with_one, run_short_wait, after_short_wait, NULL, NULL},
    {"notify nobody", with_none, run_notify, cond_finish, NULL, NULL},
    {"make and drop a condition", nothing, make_and_drop, after_nothing, NULL, NULL},
};

/* --- the notifier is killed --- */

enum { IN_TIME, LATE };

/* Those whose slice was young when the notifier died must be quick, if it had released the lock. */
static int all_prompt(uint64_t n, uint64_t killed, bool released) {
  int r = IN_TIME;
  for (uint64_t i = 0; i < n; i++) {
    bool young = released && killed < cond_w[i].armed + YOUNG;
    cond_must_wake(&cond_w[i]);
    if (young && cond_w[i].woken > killed + PROMPT) r = LATE;
  }
  return r;
}

/* All that were asked for, the oldest first, or none. */
static int try_notify(long k, bool *done) {
  cond_begin();
  cond_start_all();
  *done = t_kill_after(k, run_notify, NULL, NULL);
  uint64_t killed = mp_os_now(), n = asked < COND_WITNESSES ? asked : COND_WITNESSES;
  bool committed = cond_c->upto != 0, released = !mp_os_mutex_abandoned(&cond_lock->m);
  CHECK(committed || !*done);
  CHECK(cond_waiting() == (committed ? COND_WITNESSES - n : COND_WITNESSES));
  int r = committed ? all_prompt(n, killed, released) : IN_TIME;
  for (uint64_t i = committed ? n : 0; i < COND_WITNESSES; i++) CHECK(!cond_w[i].woken);
  cond_finish();
  return r;
}

/* --- a waiter is killed on its way out, another waits behind it --- */

/* What the victim was notified of reaches the one behind, unless it came to releasing the lock. */
static void judge_heir(void) {
  mp_shm_sweep();
  if (!cond_victim()->releasing) {
    cond_must_wake(&cond_w[0]);
    cond_must_wait(1);
  }
  if (cond_victim()->released) CHECK(cond_waiting() == 2 && !cond_w[0].woken);
  if (cond_victim()->woken && !cond_victim()->releasing) CHECK(cond_w[0].abandoned);
}

static void kill_victim(pid_t pid, long k, bool *done) {
  *done = t_step(pid, k);
  t_end(pid);
}

static int try_notified(long k, bool *done) {
  cond_begin();
  pid_t pid = cond_stopped_asleep();
  cond_start(0);
  cond_start(1);
  cond_notify(1);
  CHECK(cond_waiting() == 2);
  kill_victim(pid, k, done);
  CHECK(!*done || cond_victim()->result == 0);
  judge_heir();
  cond_finish();
  return IN_TIME;
}

/* Traced; its time is over, and it is stopped while it waits for the lock, which we hold. */
static pid_t stopped_in_line(void) {
  pid_t pid = t_trace(cond_wait_once, cond_victim());
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  cond_await_asleep(cond_victim());
  cond_start(0);
  cond_start(1);
  cond_acquire();
  cond_victim()->wait.deadline = 1;
  cond_look_now(cond_victim());
  while (!cond_lock->starving) usleep(COND_PAUSE_US);
  cond_stop(pid);
  return pid;
}

/* It is notified then: that is a success, or the next one's. */
static int try_notified_late(long k, bool *done) {
  cond_begin();
  pid_t pid = stopped_in_line();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  kill_victim(pid, k, done);
  CHECK(!*done || cond_victim()->result == 0);
  judge_heir();
  cond_finish();
  return IN_TIME;
}

static long too_many; /* woken for nothing */

/* The heir has it. Another one has it too, if a reaper was killed between its two stores. */
static void reaped(void) {
  cond_must_wake(&cond_w[0]);
  too_many += cond_waiting() == 0;
  CHECK(too_many <= MOST_FOR_NOTHING && cond_waiting() <= 1);
}

/* --- Ctrl-C ends a wait, and the lock is not to be had --- */

static int interrupted_at(long k, bool *done, bool notified) {
  cond_begin();
  pid_t pid = cond_stopped_asleep();
  cond_start(0);
  cond_start(1);
  cond_acquire();
  if (notified) CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  cond_victim()->interrupt = 1;
  cond_look_now(cond_victim());
  kill_victim(pid, k, done);
  if (*done) CHECK(cond_victim()->result == -EINTR);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  mp_shm_sweep();
  if (!notified) cond_must_wait(2);
  CHECK(notified || !cond_w[0].woken);
  if (notified) reaped();
  cond_finish();
  return IN_TIME;
}

static int try_interrupted(long k, bool *done) { return interrupted_at(k, done, false); }
static int try_notified_interrupted(long k, bool *done) { return interrupted_at(k, done, true); }

/* --- the one that reaps for a dead waiter is killed --- */

static void run_sweep(void *arg) {
  (void)arg;
  mp_shm_sweep();
}

/* Notified, and dead before it could use that up: how far it came. */
static void die_notified(long steps) {
  bool done;
  pid_t pid = cond_stopped_asleep();
  cond_start(0);
  cond_start(1);
  cond_notify(1);
  kill_victim(pid, steps, &done);
  CHECK(!cond_victim()->releasing);
}

static int reaper_at(long k, bool *done, long steps) {
  cond_begin();
  die_notified(steps);
  *done = t_kill_after(k, run_sweep, NULL, NULL);
  mp_shm_sweep();
  reaped();
  cond_finish();
  return IN_TIME;
}

static int try_reaper(long k, bool *done) { return reaper_at(k, done, 0); }

/* --- nobody is killed: a waiter leaves at its time's end while it is given a dead one's notification --- */

static void end_stopped_notified(int i) {
  cond_stop(cond_w[i].pid);
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  t_end(cond_w[i].pid);
  cond_w[i].pid = 0;
}

static int try_leaving(long k, bool *done) {
  cond_begin();
  cond_start(2);
  pid_t pid = stopped_in_line();
  end_stopped_notified(2);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  *done = t_step(pid, k);
  mp_shm_sweep();
  if (!*done) cond_run_to_end(pid);
  t_end(pid);
  CHECK(cond_victim()->result == 0 || cond_victim()->result == -ETIMEDOUT);
  cond_must_wait(cond_victim()->result == 0 ? 2 : 1);
  if (cond_victim()->result != 0) cond_must_wake(&cond_w[0]);
  cond_finish();
  return IN_TIME;
}

/* --- one notifier dies, and the next one too --- */

static int try_second_notifier(long k, bool *done) {
  cond_begin();
  cond_start_all();
  asked = 2;
  bool over = t_kill_after(first_notifier, run_notify, NULL, NULL);
  unsigned n = cond_waiting();
  CHECK(n == COND_WITNESSES - (cond_c->upto ? 2 : 0) && (!over || cond_c->upto));
  asked = 1;
  *done = t_kill_after(k, run_notify, NULL, NULL);
  CHECK(cond_waiting() == n || cond_waiting() == n - 1);
  cond_finish();
  return IN_TIME;
}

/* --- all points --- */

typedef int try_one(long k, bool *done);

static long late; /* points where a wake waited for its slice */

static void try_until_in_time(try_one *f, long k, bool *done) {
  for (int i = 0; i < TRIES; i++) {
    t_deadline(20);
    t_point = k;
    if (f(k, done) == IN_TIME) return;
  }
  CHECK(++late <= LATE_MOST);
}

static long run_all(const char *name, try_one *f, long step) {
  long points = 0;
  bool done = false;
  t_what = name;
  for (long k = t_first(); !done; k += step, points++) try_until_in_time(f, k, &done);
  return points;
}

/* slow: each point takes a slice or two, so that a sample is a smaller one. */
static long run_points(const char *name, try_one *f, bool slow) {
  long points = run_all(name, f, t_stride() > 1 && slow ? SPARSE * t_stride() : t_stride());
  printf("  %-44s %6ld kill points\n", name, points);
  return points;
}

static long run_notifies(const char *name, uint64_t n) {
  asked = n;
  late = 0;
  long points = run_points(name, try_notify, false);
  printf("  %-44s %6ld late\n", "", late);
  return points;
}

static const char second_notify[] = "notify after a killed notify";

static long run_second_notifiers(void) {
  long points = 0;
  for (first_notifier = t_first(); first_notifier < FIRST_MOST; first_notifier += 23 * t_stride())
    points += run_all(second_notify, try_second_notifier, 7 * t_stride());
  printf("  %-44s %6ld kill points\n", second_notify, points);
  return points;
}

int main(int argc, char **argv) {
  long points = 0, n = 0;
  const char *part = argc > 1 ? argv[1] : "";
  static const struct {
    const char *name;
    try_one *f;
    bool slow;
  } scenarios[] = {
      {"a notified waiter", try_notified, false},
      {"a waiter notified after its time", try_notified_late, false},
      {"a waiter after Ctrl-C", try_interrupted, true},
      {"a notified waiter after Ctrl-C", try_notified_interrupted, true},
      {"the reaper of a notified waiter", try_reaper, false},
      {"none, a waiter that leaves is given one", try_leaving, false},
  };
  cond_setup();
  points += t_run_ops(alone, sizeof alone / sizeof *alone, part, &n);
  if (strstr("notify", part)) {
    points += run_notifies("notify one of three", 1);
    points += run_notifies("notify two of three", 2);
    points += run_notifies("notify all", UINT64_MAX);
  }
  if (strstr(second_notify, part)) points += run_second_notifiers();
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    if (strstr(scenarios[i].name, part)) points += run_points(scenarios[i].name, scenarios[i].f, scenarios[i].slow);
  printf("%ld kill points, %ld woken for nothing\nok %ld\n", points, too_many, n + 4 + 6);
  return 0;
}
