/* SPDX-License-Identifier: MIT */
/*
 * Conditions: a waiter, a notifier, or the one that settles for a dead one is killed at every instruction while others
 * wait. A notification either did not happen or reaches those it was for; what a dead waiter had not used up reaches the
 * next one; nobody is woken for nothing but by a settler that was killed itself. MP_STRIDE, MP_OFFSET as in
 * killpoints_test.c.
 *
 * What was notified must also be prompt when its notifier is killed after it has released the lock, but for the few
 * instructions before it names a sleeper in its pending cell: a sleeper whose slice was young must wake within PROMPT, half
 * a slice. A late wake is tried again, for it may be the machine that was slow.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/bell.h"
#include "shm/condition.h"

#define WITNESSES 3
#define PROMPT (50 * MP_MS)
#define YOUNG (40 * MP_MS) /* + PROMPT < MP_SLICE */
#define SURELY (5000 * MP_MS)
#define TRIES 4
#define PAUSE_US 20
#define SPARSE 5
#define LATE_MOST 40       /* instructions between a release and naming the first word in the pending cell */
#define FIRST_MOST 900     /* instructions of a notify, about */
#define MOST_FOR_NOTHING 8 /* instructions between a settler's two stores, times the two that may be given it */

/* A process that waits, in memory shared with it. */
typedef struct witness {
  _Atomic uint64_t armed; /* when its present slice began, or a little before */
  _Atomic uint64_t woken; /* when its wait had returned; 0: not yet */
  _Atomic uint32_t slot, interrupt, releasing, released, abandoned;
  _Atomic int32_t result;
  mp_wait wait;
  pid_t pid;
} witness;

static witness *w; /* [WITNESSES + 1]; the last is the one that is killed */
static mp_condition *c;
static mp_mutex *x;
static mp_handle ch, xh;
static uint64_t asked; /* how many the operation notifies */
static long first_notifier;
static const mp_wait now = {0, NULL, NULL};

static witness *victim(void) { return &w[WITNESSES]; }

/* --- those who wait --- */

static int slice_begins(void *arg) {
  witness *s = arg;
  s->armed = mp_os_now();
  return (int)s->interrupt;
}

static void acquire(void) { CHECK(mp_mutex_acquire(x, xh, &t_soon) >= 0); }

static void wait_once(void *arg) {
  witness *s = arg;
  bool abandoned;
  s->slot = mp_me;
  acquire();
  s->armed = mp_os_now();
  s->result = mp_condition_wait(c, ch, x, xh, &s->wait, &abandoned);
  s->abandoned = abandoned;
  s->woken = mp_os_now();
  s->releasing = 1;
  if (mp_mutex_mine(x)) mp_mutex_release(x, xh);
  s->released = 1;
}

static void reset(witness *s) {
  memset(s, 0, sizeof *s);
  s->slot = UINT32_MAX;
  s->wait = (mp_wait){MP_FOREVER, slice_begins, s};
}

static bool sleeps(const witness *s) {
  return s->slot != UINT32_MAX && mp_cell(&c->cells, s->slot) && *mp_nap_word(s->slot) == MP_BELL_ARMED;
}

static void await_asleep(const witness *s) {
  while (!sleeps(s)) usleep(PAUSE_US);
}

/* Ends its slice. */
static void look_now(const witness *s) { mp_word_ring(mp_nap_word(s->slot)); }

static void start(int i) {
  reset(&w[i]);
  pid_t pid = fork();
  if (pid == 0) {
    wait_once(&w[i]);
    for (;;) pause();
  }
  w[i].pid = pid;
  await_asleep(&w[i]);
}

static void start_all(void) {
  for (int i = 0; i < WITNESSES; i++) start(i);
}

static bool woken_by(const witness *s, uint64_t deadline) {
  while (!s->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return s->woken != 0;
}

static void must_wake(const witness *s) {
  CHECK(woken_by(s, mp_os_now() + SURELY));
  CHECK(s->result == 0);
}

static unsigned waiting(void) { return mp_condition_waiting(c); }

/* Soon: another one's slice may be just sweeping, and then ours finds nothing to do. */
static void must_wait(unsigned n) {
  uint64_t deadline = mp_os_now() + SURELY;
  while (waiting() != n && mp_os_now() < deadline) usleep(PAUSE_US);
  CHECK(waiting() == n);
}

static void notify_here(uint64_t n) {
  acquire();
  CHECK(mp_condition_notify(c, ch, xh, n, &t_soon) == 0);
  mp_mutex_release(x, xh);
}

/* --- begin and end of a point --- */

static void begin(void) {
  CHECK(mp_mutex_new(MP_MUTEX_PLAIN, &t_soon, &xh) == 0);
  CHECK(mp_condition_new(&t_soon, &ch) == 0);
  x = mp_object_block(xh, MP_TYPE_MUTEX);
  c = mp_object_block(ch, MP_TYPE_CONDITION);
  reset(victim());
}

static void end_witnesses(void) {
  for (int i = 0; i < WITNESSES; i++) {
    if (w[i].pid) t_end(w[i].pid);
    w[i].pid = 0;
  }
}

static void end(void) {
  end_witnesses();
  mp_object_unuse(ch);
  mp_object_unuse(xh);
  t_nothing_left();
}

/* Whatever happened before: each further notification is one waiter less, and all wake. */
static void works_for_the_rest(void) {
  for (unsigned left = waiting(); left > 0; left = waiting()) {
    notify_here(1);
    CHECK(waiting() < left);
  }
  for (int i = 0; i < WITNESSES; i++)
    if (w[i].pid) must_wake(&w[i]);
  CHECK(waiting() == 0);
}

static void finish(void) {
  mp_shm_sweep();
  works_for_the_rest();
  end_witnesses();
  start(0); /* and the condition is as new */
  notify_here(1);
  must_wake(&w[0]);
  end();
}

/* --- operations that nobody else is at --- */

static void run_short_wait(void *arg) {
  bool abandoned;
  (void)arg;
  acquire();
  CHECK(mp_condition_wait(c, ch, x, xh, &now, &abandoned) == -ETIMEDOUT);
  mp_mutex_release(x, xh);
}

static void run_notify(void *arg) {
  (void)arg;
  acquire();
  CHECK(mp_condition_notify(c, ch, xh, asked, &t_soon) == 0);
  mp_mutex_release(x, xh);
}

static void make_and_drop(void *arg) {
  (void)arg;
  begin();
  mp_object_unuse(ch);
  mp_object_unuse(xh);
}

static void nothing(void) { asked = 1; }
static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void with_none(void) { begin(), asked = UINT64_MAX; }
static void with_one(void) { begin(), start(0); }

/* The one that waits has not been touched. */
static void after_short_wait(void) {
  CHECK(!w[0].pid || waiting() >= 1);
  finish();
}

static const t_op alone[] = {
    {"wait, its time is over", begin, run_short_wait, after_short_wait, NULL},
    {"wait beside another, its time is over", with_one, run_short_wait, after_short_wait, NULL},
    {"notify nobody", with_none, run_notify, finish, NULL},
    {"make and drop a condition", nothing, make_and_drop, after_nothing, NULL},
};

/* --- the notifier is killed --- */

enum { IN_TIME, LATE };

/* Those whose slice was young when the notifier died must be quick, if it had released the lock. */
static int all_prompt(uint64_t n, uint64_t killed, bool released) {
  int r = IN_TIME;
  for (uint64_t i = 0; i < n; i++) {
    bool young = released && killed < w[i].armed + YOUNG;
    must_wake(&w[i]);
    if (young && w[i].woken > killed + PROMPT) r = LATE;
  }
  return r;
}

/* All that were asked for, the oldest first, or none. */
static int try_notify(long k, bool *done) {
  begin();
  start_all();
  *done = t_kill_after(k, run_notify, NULL, NULL);
  uint64_t killed = mp_os_now(), n = asked < WITNESSES ? asked : WITNESSES;
  bool committed = c->upto != 0, released = !mp_os_mutex_abandoned(&x->m);
  CHECK(committed || !*done);
  CHECK(waiting() == (committed ? WITNESSES - n : WITNESSES));
  int r = committed ? all_prompt(n, killed, released) : IN_TIME;
  for (uint64_t i = committed ? n : 0; i < WITNESSES; i++) CHECK(!w[i].woken);
  finish();
  return r;
}

/* --- a waiter is killed on its way out, another waits behind it --- */

static void stop(pid_t pid) {
  int status;
  CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

/* Traced, asleep in its wait, and stopped there. */
static pid_t stopped_asleep(void) {
  pid_t pid = t_trace(wait_once, victim());
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  await_asleep(victim());
  stop(pid);
  return pid;
}

/* What the victim was notified of reaches the one behind, unless it came to releasing the lock. */
static void judge_heir(void) {
  mp_shm_sweep();
  if (!victim()->releasing) {
    must_wake(&w[0]);
    must_wait(1);
  }
  if (victim()->released) CHECK(waiting() == 2 && !w[0].woken);
  if (victim()->woken && !victim()->releasing) CHECK(w[0].abandoned);
}

static void kill_victim(pid_t pid, long k, bool *done) {
  *done = t_step(pid, k);
  t_end(pid);
}

static int try_notified(long k, bool *done) {
  begin();
  pid_t pid = stopped_asleep();
  start(0);
  start(1);
  notify_here(1);
  CHECK(waiting() == 2);
  kill_victim(pid, k, done);
  CHECK(!*done || victim()->result == 0);
  judge_heir();
  finish();
  return IN_TIME;
}

/* Traced; its time is over, and it is stopped while it waits for the lock, which we hold. */
static pid_t stopped_in_line(void) {
  pid_t pid = t_trace(wait_once, victim());
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  await_asleep(victim());
  start(0);
  start(1);
  acquire();
  victim()->wait.deadline = 1;
  look_now(victim());
  while (!x->hungry) usleep(PAUSE_US);
  stop(pid);
  return pid;
}

/* It is notified then: that is a success, or the next one's. */
static int try_notified_late(long k, bool *done) {
  begin();
  pid_t pid = stopped_in_line();
  CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  mp_mutex_release(x, xh);
  kill_victim(pid, k, done);
  CHECK(!*done || victim()->result == 0);
  judge_heir();
  finish();
  return IN_TIME;
}

static long too_many; /* woken for nothing */

/* The heir has it. Another one has it too, if a settler was killed between its two stores. */
static void settled(void) {
  must_wake(&w[0]);
  too_many += waiting() == 0;
  CHECK(too_many <= MOST_FOR_NOTHING && waiting() <= 1);
}

/* --- Ctrl-C ends a wait, and the lock is not to be had --- */

static int interrupted_at(long k, bool *done, bool notified) {
  begin();
  pid_t pid = stopped_asleep();
  start(0);
  start(1);
  acquire();
  if (notified) CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  victim()->interrupt = 1;
  look_now(victim());
  kill_victim(pid, k, done);
  if (*done) CHECK(victim()->result == -EINTR);
  mp_mutex_release(x, xh);
  mp_shm_sweep();
  if (!notified) must_wait(2);
  CHECK(notified || !w[0].woken);
  if (notified) settled();
  finish();
  return IN_TIME;
}

static int try_interrupted(long k, bool *done) { return interrupted_at(k, done, false); }
static int try_notified_interrupted(long k, bool *done) { return interrupted_at(k, done, true); }

/* --- the one that settles for a dead waiter is killed --- */

static void run_sweep(void *arg) {
  (void)arg;
  mp_shm_sweep();
}

/* Notified, and dead before it could use that up: how far it came. */
static void die_notified(long steps) {
  bool done;
  pid_t pid = stopped_asleep();
  start(0);
  start(1);
  notify_here(1);
  kill_victim(pid, steps, &done);
  CHECK(!victim()->releasing);
}

static int settler_at(long k, bool *done, long steps) {
  begin();
  die_notified(steps);
  *done = t_kill_after(k, run_sweep, NULL, NULL);
  mp_shm_sweep();
  settled();
  finish();
  return IN_TIME;
}

static int try_settler(long k, bool *done) { return settler_at(k, done, 0); }

/* --- nobody is killed: a waiter leaves at its time's end while it is given a dead one's notification --- */

static void end_stopped_notified(int i) {
  stop(w[i].pid);
  CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  t_end(w[i].pid);
  w[i].pid = 0;
}

static void run_to_end(pid_t pid) {
  int status;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  CHECK(waitpid(pid, &status, 0) == pid && victim()->released);
}

static int try_leaving(long k, bool *done) {
  begin();
  start(2);
  pid_t pid = stopped_in_line();
  end_stopped_notified(2);
  mp_mutex_release(x, xh);
  *done = t_step(pid, k);
  mp_shm_sweep();
  if (!*done) run_to_end(pid);
  t_end(pid);
  CHECK(victim()->result == 0 || victim()->result == -ETIMEDOUT);
  must_wait(victim()->result == 0 ? 2 : 1);
  if (victim()->result != 0) must_wake(&w[0]);
  finish();
  return IN_TIME;
}

/* --- one notifier dies, and the next one too --- */

static int try_second_notifier(long k, bool *done) {
  begin();
  start_all();
  asked = 2;
  bool over = t_kill_after(first_notifier, run_notify, NULL, NULL);
  unsigned n = waiting();
  CHECK(n == WITNESSES - (c->upto ? 2 : 0) && (!over || c->upto));
  asked = 1;
  *done = t_kill_after(k, run_notify, NULL, NULL);
  CHECK(waiting() == n || waiting() == n - 1);
  finish();
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

static long run_second_notifiers(void) {
  long points = 0;
  const char *name = "notify after a killed notify";
  for (first_notifier = t_first(); first_notifier < FIRST_MOST; first_notifier += 23 * t_stride())
    points += run_all(name, try_second_notifier, 7 * t_stride());
  printf("  %-44s %6ld kill points\n", name, points);
  return points;
}

/* --- a dead waiter that was not notified has nothing to pass on, though upto goes by --- */

static void dead_is_passed_over(void) {
  begin();
  victim()->pid = stopped_asleep();
  start(0);
  start(1);
  t_end(victim()->pid);
  notify_here(1);
  CHECK(waiting() == 1); /* at once, and not when the dead one has been settled */
  must_wake(&w[0]);
  mp_shm_sweep();
  must_wait(1);
  CHECK(!w[1].woken);
  finish();
}

/* --- neither the lock nor m is to be had after Ctrl-C --- */

static void leave_marked(void) {
  int status;
  victim()->interrupt = 1;
  look_now(victim());
  CHECK(mp_lock(&c->m, &t_soon) == MP_LOCKED);
  ptrace(PTRACE_CONT, victim()->pid, NULL, NULL);
  CHECK(waitpid(victim()->pid, &status, 0) == victim()->pid && victim()->result == -EINTR);
  mp_os_mutex_unlock(&c->m);
}

/* A waiter that left marked, notified or not, is alive; the next notifications are for the others, and its own too. */
static void left_marked(bool notified) {
  begin();
  victim()->pid = stopped_asleep();
  start_all();
  acquire();
  if (notified) CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  leave_marked();
  CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  mp_mutex_release(x, xh);
  must_wake(&w[0]);
  if (notified) must_wake(&w[1]);
  CHECK(waiting() == (notified ? 1 : 2));
  t_end(victim()->pid);
  finish();
}

/* It waits again: the notification that it left with goes to another one first. */
static void run_wait_twice(void *arg) {
  wait_once(arg);
  raise(SIGSTOP);
  wait_once(arg);
}

static void left_and_waits_again(void) {
  begin();
  pid_t pid = t_trace(run_wait_twice, victim());
  victim()->pid = pid;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  await_asleep(victim());
  stop(pid);
  start(0);
  acquire();
  CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  leave_marked();
  mp_mutex_release(x, xh);
  victim()->interrupt = 0;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  must_wake(&w[0]);
  await_asleep(victim());
  CHECK(waiting() == 1);
  victim()->released = 0;
  notify_here(1);
  while (!victim()->released) usleep(PAUSE_US);
  CHECK(victim()->result == 0);
  t_end(pid);
  finish();
}

/* What it left behind reaches the next one while it lives. */
static void left_notified(void) {
  begin();
  victim()->pid = stopped_asleep();
  start(0);
  acquire();
  CHECK(mp_condition_notify(c, ch, xh, 1, &t_soon) == 0);
  victim()->interrupt = 1;
  look_now(victim());
  run_to_end(victim()->pid);
  CHECK(victim()->result == -EINTR);
  mp_mutex_release(x, xh);
  must_wake(&w[0]);
  t_end(victim()->pid);
  finish();
}

static long run_cases(void) {
  t_what = "cases";
  t_point = 0;
  t_deadline(20);
  dead_is_passed_over();
  left_notified();
  left_marked(false);
  left_marked(true);
  left_and_waits_again();
  return 5;
}

int main(int argc, char **argv) {
  long points = 0;
  const char *part = argc > 1 ? argv[1] : "";
  static const struct {
    const char *name;
    try_one *f;
    bool slow;
  } scenes[] = {
      {"a notified waiter", try_notified, false},
      {"a waiter notified after its time", try_notified_late, false},
      {"a waiter after Ctrl-C", try_interrupted, true},
      {"a notified waiter after Ctrl-C", try_notified_interrupted, true},
      {"the settler of a notified waiter", try_settler, false},
      {"none, a waiter that leaves is given one", try_leaving, false},
  };
  setenv("MPROC_SPIN", "0", 1); /* a spin would be stepped through */
  t_start();
  w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
    if (strstr(alone[i].name, part)) points += t_run_op(&alone[i]);
  if (strstr("notify", part)) {
    points += run_notifies("notify one of three", 1);
    points += run_notifies("notify two of three", 2);
    points += run_notifies("notify all", UINT64_MAX);
    points += run_second_notifiers();
  }
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    if (strstr(scenes[i].name, part)) points += run_points(scenes[i].name, scenes[i].f, scenes[i].slow);
  printf("%ld kill points, %ld woken for nothing\nok %ld\n", points, too_many, 4 + 4 + 6 + run_cases());
  return 0;
}
