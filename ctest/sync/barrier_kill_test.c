/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of what it does to a barrier, while others sleep in it. Those must leave with
 * the fate of their generation: released or broken, all alike, at once where the dead process had decided it, else when a
 * sweep has found it dead; or they still wait, and meet who comes. Then the barrier works, and nothing is left.
 * MP_STRIDE=n tries every nth instruction only (default 1), MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/sync/barrier.h"
#include "waiter.h"

#define PARTIES 3
#define OTHERS 2
#define RESETTING 2u /* white box: turn's phase */

static mp_shm_barrier *b;
static mp_shm_handle bh;
static uint64_t turn_before;
static const mp_shm_wait now = {0, NULL, NULL};

static void make(void *arg) {
  uint64_t parties = PARTIES;
  (void)arg;
  CHECK(mp_shm_barrier_new(parties, &t_soon, &bh) == 0);
  b = mp_shm_object_block(bh, MP_TYPE_BARRIER);
}

static void begin(void) { make(NULL); }

static void sleep_in_wait(t_waiter *s) {
  mp_shm_wait w = t_watched(s);
  uint64_t index = 0;
  s->result = mp_shm_barrier_wait(b, false, &w, &index);
  s->number = index;
  s->woken = mp_os_now();
}

static void others_wait(void) {
  for (int i = 0; i < OTHERS; i++) t_witness(i, sleep_in_wait);
  CHECK(mp_shm_barrier_waiting(b) == OTHERS);
  turn_before = b->turn;
}

static void all_came_to(int result) {
  for (int i = 0; i < OTHERS; i++) CHECK(t_witness_result(i) == result);
}

/* Here, and with as many others as it needs, after a reset if it is broken. */
static void works(void) {
  uint64_t index;
  mp_shm_sweep();
  mp_shm_barrier_reset(b);
  CHECK(!mp_shm_barrier_broken(b) && mp_shm_barrier_waiting(b) == 0);
  others_wait();
  CHECK(mp_shm_barrier_wait(b, false, &t_soon, &index) == 0 && index == OTHERS);
  all_came_to(0);
  for (int i = 0; i < OTHERS; i++) CHECK(t_waiters[i].number == (uint64_t)i);
  t_witness_end_all(OTHERS);
  mp_shm_object_unuse(bh);
  t_nothing_left();
}

/* The fate is decided: they are awake, or wake in time. */
static int check_fate(int result) {
  int r = t_witness_judge(OTHERS);
  all_came_to(result);
  t_witness_end_all(OTHERS);
  works();
  return r;
}

/* Undecided when the process died: this one comes in its place, or finds that it had come and broke it by its death. */
static int check_undecided(void) {
  uint64_t index;
  mp_shm_sweep();
  int r = mp_shm_barrier_wait(b, false, &t_soon, &index);
  CHECK(r == 0 || r == -EPIPE);
  CHECK(r != 0 || index == OTHERS);
  return check_fate(r);
}

/* --- coming --- */

static void come(void *arg) {
  uint64_t index;
  (void)arg;
  mp_shm_barrier_wait(b, false, &now, &index);
}

/* Broken: a sleeper whose slice has ended has found the dead one before we look. */
static int after_last(bool done) {
  bool broken = mp_shm_barrier_broken(b);
  CHECK(!done || (b->turn != turn_before && !broken));
  if (broken) return check_fate(-EPIPE);
  return b->turn == turn_before ? check_undecided() : check_fate(0);
}

/* One of the others is missing: who comes without waiting breaks it. */
static void one_waits(void) {
  t_witness(0, sleep_in_wait);
  turn_before = b->turn;
}

static int after_late(bool done) {
  CHECK(!done || mp_shm_barrier_broken(b));
  mp_shm_sweep();
  int r = T_IN_TIME;
  if (mp_shm_barrier_broken(b)) {
    r = t_witness_judge(1);
    CHECK(t_witness_result(0) == -EPIPE);
  } else {
    CHECK(mp_shm_barrier_waiting(b) == 1);
  }
  t_witness_end_all(1);
  works();
  return r;
}

static void come_first(void *arg) { come(arg); }

static int after_first(bool done) {
  CHECK(!done || mp_shm_barrier_broken(b));
  works();
  return T_IN_TIME;
}

/* --- the action --- */

static void act(void *arg) {
  uint64_t index;
  (void)arg;
  if (mp_shm_barrier_wait(b, true, &now, &index) == MP_BARRIER_ACT) mp_shm_barrier_release(b);
}

static void act_and_fail(void *arg) {
  uint64_t index;
  (void)arg;
  if (mp_shm_barrier_wait(b, true, &now, &index) == MP_BARRIER_ACT) mp_shm_barrier_leave(b);
}

static bool decided(void) { return b->turn >> 16 != turn_before >> 16 || b->turn & 3; }

static int after_action(bool done) {
  CHECK(!done || decided());
  return decided() ? check_fate(mp_shm_barrier_broken(b) ? -EPIPE : 0) : check_undecided();
}

/* --- abort and reset --- */

static void run_abort(void *arg) { (void)arg, mp_shm_barrier_abort(b); }
static void run_reset(void *arg) { (void)arg, mp_shm_barrier_reset(b); }

/* Who aborts or resets is no party: what it has not decided stays undecided. */
static int after_abort(bool done) {
  CHECK(!done || decided());
  return decided() ? check_fate(-EPIPE) : check_undecided();
}

static void broken_with_others(void) {
  begin();
  others_wait();
  mp_shm_barrier_abort(b);
}

/* They left, or have not looked yet, when it is reset. */
static int after_reset_of_broken(bool done) {
  CHECK(!done || !mp_shm_barrier_broken(b));
  return check_fate(-EPIPE);
}

/* --- what a reset that was cut short leaves, with two who have not looked yet --- */

static void begun_reset(void) {
  begin();
  others_wait();
  for (int i = 0; i < OTHERS; i++) kill(t_witness_pid(i), SIGSTOP);
  atomic_store(&b->turn, (turn_before & ~UINT64_C(0xffff)) | RESETTING);
}

static int after_begun_reset(bool done) {
  (void)done;
  CHECK(!mp_shm_barrier_broken(b) || decided());
  for (int i = 0; i < OTHERS; i++) kill(t_witness_pid(i), SIGCONT);
  mp_shm_barrier_reset(b);
  all_came_to(-EPIPE);
  t_witness_end_all(OTHERS);
  works();
  return T_IN_TIME;
}

/* --- a party dies; the one who cleans up is killed --- */

static void sweep(void *arg) { (void)arg, mp_shm_sweep(); }

static void one_is_dead(void) {
  begin();
  others_wait();
  t_witness_end(1);
}

static int after_sweep(bool done) {
  CHECK(!done || b->turn != turn_before);
  if (b->turn == turn_before) mp_shm_sweep();
  int r = t_witness_judge(1);
  CHECK(t_witness_result(0) == -EPIPE && mp_shm_barrier_broken(b));
  t_witness_end(0);
  works();
  return r;
}

/* The last one comes before anybody has swept: it must not be released with a dead one. */
static int after_last_with_dead(bool done) {
  CHECK(b->turn >> 16 == turn_before >> 16);
  return after_sweep(done);
}

/* Another process is in the middle of its cleaning, and goes no further: the dead one is no less dead. */
static long beside_cleaners(void) {
  long points = 0;
  uint64_t index;
  t_what = "the last one comes while another cleans up";
  for (long k = t_first();; k += t_stride(), points++) {
    t_deadline(30);
    t_point = k;
    one_is_dead();
    pid_t cleaner = t_trace(sweep, NULL);
    bool done = t_step(cleaner, k);
    CHECK(mp_shm_barrier_wait(b, false, &now, &index) == -EPIPE);
    CHECK(t_witness_result(0) == -EPIPE);
    t_end(cleaner);
    t_witness_end(0);
    works();
    if (done) break;
  }
  printf("  %-44s %6ld points\n", t_what, points);
  return points;
}

/* --- life --- */

static void nothing(void) {}

static int after_make(bool done) {
  mp_shm_sweep();
  if (done) mp_shm_sweep();
  t_nothing_left();
  return T_IN_TIME;
}

static void let_go(void) { mp_shm_object_unuse(bh); }

static const t_witnessed scenarios[] = {
    {"the last one comes", begin, come, others_wait, after_last, false},
    {"one comes too early and leaves", begin, come, one_waits, after_late, false},
    {"the first one comes and leaves", begin, come_first, NULL, after_first, false},
    {"the last one runs the action", begin, act, others_wait, after_action, false},
    {"the last one's action fails", begin, act_and_fail, others_wait, after_action, false},
    {"abort", begin, run_abort, others_wait, after_abort, false},
    {"reset", begin, run_reset, others_wait, after_abort, false},
    {"reset of a broken one", broken_with_others, run_reset, NULL, after_reset_of_broken, false},
    {"one comes into a reset cut short", begun_reset, come, NULL, after_begun_reset, false},
    {"reset of a reset cut short", begun_reset, run_reset, NULL, after_begun_reset, false},
    {"abort of a reset cut short", begun_reset, run_abort, NULL, after_begun_reset, false},
    {"recovery: a sweep finds a dead party", one_is_dead, sweep, NULL, after_sweep, false},
    {"the last one finds a dead party", one_is_dead, come, NULL, after_last_with_dead, false},
    {"make", nothing, make, NULL, after_make, false},
    {"the last holder comes", begin, come, let_go, after_make, false},
};

int main(int argc, char **argv) {
  size_t n = sizeof scenarios / sizeof *scenarios;
  t_waiters_setup();
  t_start();
  if (t_run_witnessed(scenarios, n, argc > 1 ? argv[1] : NULL)) return 1;
  if (argc < 2) n += beside_cleaners() > 0;
  printf("ok %zu\n", n);
  return 0;
}
