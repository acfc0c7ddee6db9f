/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of taking and letting go the lock that Lua code holds: free, abandoned, held,
 * in line, as the starving one; then a survivor must get it at once, and so must those who sleep for it (sleeper.h).
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/sync/mutex.h"
#include "waiter.h"

#define BRIEF (3 * MP_MS)           /* long enough to become starving */
#define PATIENT_AFTER (140 * MP_MS) /* who has waited that long sleeps for whole slices */
#define FRESH (20 * MP_MS)          /* + some stepping < T_YOUNG */

static mp_shm_mutex *x;
static mp_shm_handle h;
static pid_t helper;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- pieces of before and after --- */

static void make(void) {
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  x = mp_shm_object_block(h, MP_TYPE_MUTEX);
}

static void acquire(void) { CHECK(mp_shm_mutex_acquire(x, h, &t_soon) >= 0); }
static void release(void) { mp_shm_mutex_release(x, h); }
static void make_held(void) { make(), acquire(); }

static void let_go(void) {
  mp_shm_object_unuse(h);
  t_nothing_left();
}

/* Taken once more it says who has it, and no longer that somebody died. */
static void works(void) {
  acquire();
  CHECK(mp_shm_mutex_mine(x) && mp_shm_mutex_owner(x) == mp_shm_proc_self() && x->depth == 1 &&
        mp_shm_mutex_count() == 1);
  release();
  CHECK(!mp_shm_mutex_locked(x) && mp_shm_mutex_owner(x) == 0 && mp_shm_mutex_count() == 0);
  CHECK(mp_shm_mutex_acquire(x, h, &now) == MP_LOCKED);
  release();
  mp_shm_sweep();
  let_go();
}

static void release_and_works(void) { release(), works(); }

static void run_acquire(void *arg) { (void)arg, acquire(); }
static void run_acquire_release(void *arg) { (void)arg, acquire(), release(); }

static void run_try(void *arg) {
  (void)arg;
  CHECK(mp_shm_mutex_acquire(x, h, &now) == -ETIMEDOUT);
}

static void run_acquire_briefly(void *arg) {
  mp_shm_wait w = {mp_os_now() + BRIEF, NULL, NULL};
  (void)arg;
  CHECK(mp_shm_mutex_acquire(x, h, &w) == -ETIMEDOUT);
}

static void start_helper(void (*f)(void)) {
  helper = fork();
  if (helper) return;
  f();
  for (;;) pause();
}

static void abandoned(void) {
  make();
  start_helper(acquire);
  while (!mp_shm_mutex_locked(x)) usleep(50);
  t_end(helper);
}

static void hold_until_starving(void) {
  acquire();
  while (!x->starving) usleep(50);
  release();
}

static void held_until_starving(void) {
  make();
  start_helper(hold_until_starving);
  while (!mp_shm_mutex_locked(x)) usleep(50);
}

static void end_helper_and_works(void) {
  t_end(helper);
  works();
}

/* This process holds it, and another is the next one: who is killed stands behind that one. */
static void with_next_one(void) {
  make_held();
  start_helper(acquire);
  while (!x->starving) usleep(50);
}

static void next_one_has_it(void) {
  release();
  while (!mp_shm_mutex_owner(x)) usleep(50);
  CHECK(mp_shm_mutex_owner(x) != mp_shm_proc_self());
  end_helper_and_works();
}

static void nothing(void) {}

static void run_make(void *arg) {
  (void)arg;
  make_held();
  mp_shm_object_unuse(h);
  release();
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void run_recovery(void *arg) {
  (void)arg;
  mp_shm_sweep();
  acquire();
}

static const t_op ops[] = {
    {"acquire and release", make, run_acquire_release, works, NULL, run_recovery},
    {"acquire an abandoned one", abandoned, run_acquire, works, NULL, NULL},
    {"acquire a held one, not waiting", make_held, run_try, release_and_works, NULL, NULL},
    {"acquire a held one, starving, in vain", make_held, run_acquire_briefly, release_and_works, NULL, NULL},
    {"acquire a held one, starving", held_until_starving, run_acquire_release, end_helper_and_works, NULL,
     run_recovery},
    {"acquire from behind the next one, in vain", with_next_one, run_acquire_briefly, next_one_has_it, NULL, NULL},
    {"make, acquire, drop and release", nothing, run_make, after_nothing, NULL, NULL},
};

/* --- others sleep --- */

static void sleep_in_acquire(t_waiter *t) {
  mp_shm_wait w = t_watched(t);
  t->result = mp_shm_mutex_acquire(x, h, &w);
  uint64_t now_awake = mp_os_now();
  if (t->result >= 0) release();
  t->woken = now_awake; /* last: it may be ended then */
}

static void run_release(void *arg) {
  (void)arg;
  acquire();
  raise(SIGSTOP);
  release();
}

static pid_t start_waiter(int i) {
  pid_t pid = t_sleep(&t_waiters[i], sleep_in_acquire);
  t_await_asleep(pid);
  return pid;
}

/* Who waits looks often at first. Once it sleeps for whole slices, and a new one has begun, a look is none of them. */
static bool patient(const t_waiter *t, uint64_t since) {
  return mp_os_now() > since + PATIENT_AFTER && mp_os_now() < t->armed + FRESH;
}

static void await_patient(void) {
  uint64_t since = mp_os_now();
  while (!patient(&t_waiters[1], since)) usleep(50);
}

static void await_both_patient(void) {
  uint64_t since = mp_os_now();
  while (!patient(&t_waiters[0], since) || !patient(&t_waiters[1], since)) usleep(50);
}

static int judge(int i, uint64_t since) {
  return t_woken_by(&t_waiters[i], since + T_PROMPT) && t_waiters[i].result >= 0 ? T_IN_TIME : T_LATE;
}

/* Its death lets others in as well as its release. */
static int try_release(const void *arg, long k, bool *done) {
  (void)arg;
  t_deadline(20);
  make();
  pid_t owner = t_trace(run_release, NULL);
  t_run_to_stop(owner);
  pid_t first = start_waiter(0), second = start_waiter(1);
  await_both_patient();
  *done = t_step(owner, k);
  uint64_t since = mp_os_now();
  int r = t_young(&t_waiters[0]) && t_young(&t_waiters[1]) ? T_IN_TIME : T_SLOW;
  t_end(owner);
  if (r == T_IN_TIME) r = judge(0, since);
  if (r == T_IN_TIME) r = judge(1, since);
  t_end(first);
  t_end(second);
  mp_shm_sweep();
  let_go();
  return r;
}

/* --- the next one is killed while another waits behind it --- */

static void run_sleep(void *arg) { sleep_in_acquire(arg); }

static int try_going_to_sleep(const void *arg, long k, bool *done) {
  (void)arg;
  t_deadline(20);
  make_held();
  t_waiters[0].woken = 0;
  pid_t first = t_trace(run_sleep, &t_waiters[0]);
  *done = t_step_waiter(first, &t_waiters[0], k);
  pid_t second = start_waiter(1);
  await_patient();
  t_end(first);
  uint64_t since = mp_os_now();
  int r = t_young(&t_waiters[1]) ? T_IN_TIME : T_SLOW;
  release();
  if (r == T_IN_TIME) r = judge(1, since);
  t_end(second);
  mp_shm_sweep();
  let_go();
  return r;
}

/* The next one is let run until it is starving, and stopped; then it has the lock, or is about to, when it is killed. */
static int try_waking_up(const void *arg, long k, bool *done) {
  int status;
  (void)arg;
  t_deadline(20);
  make_held();
  t_waiters[0].woken = 0;
  pid_t first = t_trace(run_sleep, &t_waiters[0]);
  ptrace(PTRACE_CONT, first, NULL, NULL);
  while (!x->starving) usleep(50);
  pid_t second = start_waiter(1);
  await_patient();
  CHECK(kill(first, SIGSTOP) == 0 && waitpid(first, &status, 0) == first);
  release();
  *done = t_step_waiter(first, &t_waiters[0], k);
  uint64_t since = mp_os_now();
  int r = t_young(&t_waiters[1]) ? T_IN_TIME : T_SLOW;
  t_end(first);
  if (r == T_IN_TIME) r = judge(1, since);
  t_end(second);
  mp_shm_sweep();
  let_go();
  return r;
}

int main(void) {
  t_waiters_setup();
  t_start();
  long n = 0, points = t_run_ops(ops, sizeof ops / sizeof *ops, NULL, &n);
  printf("%ld kill points\n", points);
  long lost = t_run_points("owner killed while two sleep", try_release, NULL);
  lost += t_run_points("next one killed going to sleep", try_going_to_sleep, NULL);
  lost += t_run_points("next one killed waking up", try_waking_up, NULL);
  if (lost) return 1;
  printf("ok %ld\n", n + 3);
  return 0;
}
