/* SPDX-License-Identifier: MIT */
/*
 * condition_campaign_test [seconds]: a producer hands out items over a condition to consumers that are killed, or stopped
 * for a while, at random moments (every 0 to 2 ms), and started anew. MP_SECONDS (5), MP_SEED (the clock).
 *
 * A burst of items is notified one by one, at once, or to all; the next burst comes when all of it has been taken. A
 * consumer that waits looks at the items only once it is notified, whatever timeouts its waits have, and a killed one is
 * replaced after the burst: so a notification that reaches nobody living leaves an item there, and the burst stalls. In the second half producers are killed as well;
 * then, as anywhere, whoever gets the lock "abandoned" wakes all, for the dead owner may have changed what it could not tell.
 *
 * Items are a count that changes by one store, so that what consumers have taken and what killed ones had in hand (at
 * most one each) is all that was made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/bell.h"
#include "shm/condition.h"

#define CONSUMERS 5
#define WORKERS (CONSUMERS + 1) /* the last one is the producer */
#define BURST 8                 /* at most; often 1 */
#define KILL_EVERY_US 2000
#define STOP_ONE_IN 8
#define TIMEOUT_US 500
#define STALL (2000 * MP_MS)
#define PAUSE_US 30
#define HOLD 8000 /* pauses, at times */
#define SALT UINT64_C(0x9e3779b97f4a7c15)

typedef struct audit { /* in memory that mproc knows nothing of */
  _Atomic int stop, producers_die;
  _Atomic uint64_t items;       /* there to be taken; changes under the lock */
  _Atomic uint64_t made, taken; /* the producer's, after it has made one; a consumer's, after the release */
  _Atomic uint64_t bursts, notified, timeouts, abandoned;
} audit;

static audit *a;
static mp_condition *c;
static mp_mutex *x;
static mp_handle ch, xh;
static pid_t pids[WORKERS];
static mp_proc_ref refs[WORKERS];
static bool stopped[WORKERS];
static uint64_t random_state, kills, stops, producers_killed;

static uint64_t rnd(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state >> 11;
}

/* --- workers --- */

static void notify(uint64_t n) { CHECK(mp_condition_notify(c, ch, xh, n, &t_soon) == 0); }

static void came(bool abandoned) {
  if (!abandoned) return;
  a->abandoned++;
  if (a->producers_die) notify(UINT64_MAX);
}

static void acquire(void) {
  int r = mp_mutex_acquire(x, xh, &t_soon);
  CHECK(r >= 0);
  came(r == MP_ABANDONED);
}

static void wait_until_notified(bool patient) {
  bool abandoned;
  int r;
  do {
    mp_wait w = t_soon;
    if (!patient) w.deadline = mp_os_now() + rnd() % TIMEOUT_US * 1000;
    r = mp_condition_wait(c, ch, x, xh, &w, &abandoned);
    CHECK(r == 0 || r == -ETIMEDOUT);
    came(abandoned);
    a->timeouts += r != 0;
  } while (r != 0 && !a->stop);
  a->notified += r == 0;
}

/* Time to be killed in, with the notification in hand. */
static void hold_on(void) {
  for (uint64_t i = rnd() % 4 ? 0 : rnd() % HOLD; i > 0; i--) mp_os_pause();
}

static bool take_one(bool patient) {
  acquire();
  while (!a->items && !a->stop) wait_until_notified(patient);
  hold_on();
  bool one = a->items != 0;
  if (one) a->items--;
  mp_mutex_release(x, xh);
  return one;
}

static void consume(void) {
  bool patient = rnd() % 2;
  while (take_one(patient)) a->taken++;
}

/* All in one go of the lock, or each in one of its own. */
static void make(uint64_t n) {
  unsigned how = (unsigned)(rnd() % 4);
  acquire();
  for (uint64_t i = 0; i < n; i++) {
    a->items++;
    a->made++;
    if (how < 2) notify(1);
    if (how > 0) continue;
    mp_mutex_release(x, xh);
    acquire();
  }
  if (how == 2) notify(n);
  if (how == 3) notify(UINT64_MAX);
  mp_mutex_release(x, xh);
}

static void await_taken(void) {
  uint64_t since = mp_os_now(), left = a->items;
  while (a->items) {
    usleep(PAUSE_US);
    uint64_t t = mp_os_now();
    if (a->items != left) left = a->items, since = t;
    if (t < since + STALL) continue;
    fprintf(stderr, "stalled with %lu items, %u waiting, ticket %lu, upto %lu\n", (long)left, mp_condition_waiting(c),
            (long)c->ticket, (long)c->upto);
    _exit(1);
  }
}

static void produce(void) {
  while (!a->stop) {
    await_taken(); /* a killed one's */
    make(rnd() % 2 ? 1 : 1 + rnd() % BURST);
    await_taken();
    a->bursts++;
  }
}

/* --- the supervisor --- */

static void start(unsigned i) {
  uint64_t seed = rnd() | 1;
  pid_t parent = getpid();
  CHECK(mp_proc_reserve(&refs[i]) == 0);
  pids[i] = fork();
  stopped[i] = false;
  if (pids[i]) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(3);
  random_state = seed;
  (i < CONSUMERS ? consume : produce)();
  _exit(0);
}

/* At once, or with the next one: then a waiter's slice may find it dead first. */
static void let_go(mp_proc_ref ref) {
  static mp_proc_ref later;
  if (later) mp_proc_release(later, true);
  later = rnd() % 2 ? ref : 0;
  if (!later && ref) mp_proc_release(ref, true);
}

static void reap(unsigned i, bool killed) {
  int status;
  CHECK(waitpid(pids[i], &status, 0) == pids[i]);
  CHECK(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0);
  pids[i] = 0;
  let_go(refs[i]);
}

static void producer_must_live(void) {
  int status;
  if (waitpid(pids[CONSUMERS], &status, WNOHANG) == 0) return;
  for (unsigned i = 0; i < CONSUMERS; i++)
    if (pids[i]) t_end(pids[i]);
  exit(1);
}

/* A new consumer looks at the items before it waits: it must not do so for the one that a dead one was notified of. */
static void await_burst(void) {
  uint64_t bursts = a->bursts;
  while (a->items && a->bursts == bursts) {
    producer_must_live();
    usleep(PAUSE_US);
  }
}

static void kill_one(unsigned i) {
  kill(pids[i], SIGKILL);
  reap(i, true);
  kills++;
  producers_killed += i == CONSUMERS;
  if (i < CONSUMERS) await_burst();
  start(i);
}

static void go_on_all(void) {
  for (unsigned i = 0; i < WORKERS; i++)
    if (stopped[i]) kill(pids[i], SIGCONT), stopped[i] = false;
}

static void harass(void) {
  unsigned i = (unsigned)(rnd() % (CONSUMERS + (unsigned)a->producers_die));
  go_on_all();
  if (rnd() % STOP_ONE_IN) {
    kill_one(i);
  } else {
    kill(pids[i], SIGSTOP);
    stopped[i] = true;
    stops++;
  }
}

static void rampage(uint64_t until) {
  while (mp_os_now() < until) {
    usleep((useconds_t)(rnd() % KILL_EVERY_US));
    harass();
    producer_must_live();
  }
}

static void finish(void) {
  go_on_all();
  a->stop = 1;
  t_deadline(30);
  reap(CONSUMERS, false);
  acquire();
  notify(UINT64_MAX);
  mp_mutex_release(x, xh);
  for (unsigned i = 0; i < CONSUMERS; i++) reap(i, false);
  let_go(0);
  let_go(0);
}

static void report(uint64_t in_hand) {
  printf("  %lu kills (%lu of producers), %lu stops, %lu bursts, %lu items\n", (long)kills, (long)producers_killed,
         (long)stops, (long)a->bursts, (long)a->made);
  printf("  %lu waits notified, %lu timed out, %lu abandoned locks; %lu items in a dead hand, 0 stalls\n",
         (long)a->notified, (long)a->timeouts, (long)a->abandoned, (long)in_hand);
}

static void set_up(void) {
  const char *seed = getenv("MP_SEED");
  random_state = seed ? strtoull(seed, NULL, 0) : mp_os_now();
  printf("  MP_SEED=%lu\n", (long)random_state);
  random_state = random_state * SALT | 1;
  a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(mp_mutex_new(MP_MUTEX_PLAIN, &t_soon, &xh) == 0);
  CHECK(mp_condition_new(&t_soon, &ch) == 0);
  x = mp_object_block(xh, MP_TYPE_MUTEX);
  c = mp_object_block(ch, MP_TYPE_CONDITION);
}

static double wanted_seconds(int argc, char **argv) {
  const char *s = argc > 1 ? argv[1] : getenv("MP_SECONDS");
  double seconds = s ? atof(s) : 5;
  return seconds > 0 ? seconds : 5;
}

int main(int argc, char **argv) {
  double seconds = wanted_seconds(argc, argv);
  t_start();
  t_what = "campaign";
  t_deadline((unsigned)seconds + 60);
  set_up();
  for (unsigned i = 0; i < WORKERS; i++) start(i);
  rampage(mp_os_deadline(seconds / 2));
  a->producers_die = 1;
  rampage(mp_os_deadline(seconds / 2));
  finish();
  uint64_t in_hand = a->made - a->items - a->taken;
  report(in_hand);
  CHECK(a->bursts > 0 && a->notified > 0);
  CHECK(in_hand <= 2 * kills);
  mp_object_unuse(ch);
  mp_object_unuse(xh);
  t_nothing_left();
  printf("ok 4\n");
  return 0;
}
