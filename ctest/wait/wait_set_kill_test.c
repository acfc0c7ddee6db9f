/* SPDX-License-Identifier: MIT */
/*
 * Watches: a process is killed at every instruction of waking a wait queue that others watch, and whoever watches must be awake
 * within two slices all the same; a watcher is killed at every instruction, and those who wake, and the arena, must be
 * none the worse. Last, between living processes no wake is lost at all. MP_STRIDE=n tries every nth instruction.
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
#include "os/process.h"
#include "shm/arena/proc.h"
#include "shm/wait/wait_set.h"
#include "waiter.h"

#define SMALL 64
#define QUEUES 2
#define IN_TIME (2 * MP_SLICE + 100 * MP_MS) /* two slices, and a slow machine */
#define TRIES 4
#define PAUSE_US 100
#define ROUNDS 4000
#define PROMPT (50 * MP_MS) /* less than a slice */
#define SLOW (80 * MP_MS)   /* nearly a slice: a wake was lost, or the machine was slow */
#define SLOW_MOST (ROUNDS / 100)
#define LAST 9

typedef struct watcher {
  _Atomic uint64_t woken; /* when it saw that its queue is ready; 0: not yet */
  _Atomic uint32_t asleep;
} watcher;

static watcher *seen;
static mp_shm_queue *q, *others[QUEUES];
static mp_shm_handle qh, others_h[QUEUES];
static uint64_t tail_before;
static const mp_shm_wait now = {0, NULL, NULL};

static mp_shm_wait_source source_of(mp_shm_queue *of) {
  return (mp_shm_wait_source){.wait_queue = &of->data, .ready = mp_shm_queue_ready, .arg = of, .fd = -1};
}

static int wait_for(mp_shm_queue *of, const mp_shm_wait *w) {
  mp_shm_wait_source s = source_of(of);
  mp_os_pollfd fds[2];
  return mp_shm_wait_set_wait(&s, 1, fds, w);
}

static void new_queues(void) {
  q = t_queue(0, &qh);
  for (int i = 0; i < QUEUES; i++) others[i] = t_queue(0, &others_h[i]);
  tail_before = q->tail;
  t_prepare(1, SMALL);
}

static void let_go(void) {
  mp_shm_object_unuse(qh);
  for (int i = 0; i < QUEUES; i++) mp_shm_object_unuse(others_h[i]);
  t_nothing_left();
}

/* --- those who watch --- */

static void watch_by_wait(void) { CHECK(wait_for(q, &t_soon) == 1); }

/* As an event loop does: polls, and when the descriptor is readable, looks. */
static void watch_by_fd(void) {
  mp_shm_wait_source s = source_of(q);
  int fd = mp_shm_wait_set_fd(qh, &s);
  CHECK(fd >= 0);
  do {
    CHECK(mp_os_poll(fd, MP_FOREVER) == 1);
    mp_shm_wait_set_look(&q->data);
  } while (!mp_shm_queue_ready(q));
}

/* Its pipe has been poked, and nobody has looked since. */
static void get_ready_to_look(void) {
  mp_shm_wait_source s = source_of(q);
  CHECK(mp_shm_wait_set_fd(qh, &s) >= 0);
  mp_shm_wait_queue_wake(&q->data);
  raise(SIGSTOP);
}

static pid_t start(void (*watch)(void)) {
  memset(seen, 0, sizeof *seen);
  pid_t pid = fork();
  if (pid) return pid;
  watch();
  seen->woken = mp_os_now();
  for (;;) pause();
}

static void await_watching(pid_t pid) {
  while (!(q->data.observed & 1) || !t_asleep(pid)) usleep(PAUSE_US);
}

static bool woken_within(uint64_t limit) {
  uint64_t deadline = mp_os_now() + limit;
  while (!seen->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return seen->woken != 0;
}

/* --- the waker is killed --- */

static void put_one(void *arg) { (void)arg, t_put_prepared(q, SMALL); }

static void close_it(void *arg) {
  (void)arg;
  CHECK(mp_shm_queue_close(q, &t_soon) == 0);
}

typedef struct scenario {
  const char *name;
  void (*watch)(void);
  void (*wake)(void *);
  void (*first)(void); /* before it is stepped; stops itself */
} scenario;

static const scenario scenarios[] = {
    {"put killed, watched by wait", watch_by_wait, put_one, NULL},
    {"put killed, watched by a descriptor", watch_by_fd, put_one, NULL},
    {"close killed, watched by wait", watch_by_wait, close_it, NULL},
};
static const scenario to_wait = {"", watch_by_wait, put_one, NULL}, to_poll = {"", watch_by_fd, put_one, NULL},
                      to_look = {"", watch_by_fd, put_one, get_ready_to_look};

/* True when the watcher was awake in time: by itself if the dead one had committed, else by a put that follows. It is
 * stopped meanwhile: stepping may take longer than its slice. */
static bool try_waker(const scenario *o, long k, bool *done) {
  t_deadline(20);
  new_queues();
  pid_t pid = start(o->watch);
  await_watching(pid);
  kill(pid, SIGSTOP);
  CHECK(waitpid(pid, NULL, WUNTRACED) == pid);
  *done = t_kill_after(k, o->wake, NULL, NULL);
  kill(pid, SIGCONT);
  if (q->tail == tail_before && !q->closed) t_put_number(q, LAST, SMALL);
  bool awake = woken_within(IN_TIME);
  t_end(pid);
  let_go();
  return awake;
}

static long run_scenario(const scenario *o) {
  long points = 0;
  bool done = false;
  t_what = o->name;
  for (long k = t_first(); !done; k += t_stride(), points++) {
    int tries = 0;
    while (!try_waker(o, k, &done)) CHECK(++tries < TRIES);
  }
  printf("  %-40s %6ld kill points\n", o->name, points);
  return points;
}

/* --- the watcher is killed --- */

/* True when it is asked for the second time, which is when everything is armed: nobody sleeps while he is stepped. */
static bool second_time(void *arg) { return ++*(int *)arg == 2; }

static void wait_for_all(void *arg) {
  int asked = 0;
  mp_shm_wait_source s[QUEUES + 3];
  mp_os_pollfd fds[QUEUES + 4];
  (void)arg;
  for (int i = 0; i < QUEUES; i++) s[i] = source_of(others[i]);
  s[QUEUES] = (mp_shm_wait_source){.wait_queue = &q->data, .ready = second_time, .arg = &asked, .fd = -1};
  s[QUEUES + 1] = (mp_shm_wait_source){.fd = mp_os_timer_open()};
  s[QUEUES + 2] = (mp_shm_wait_source){.fd = -1, .pid = getppid()};
  CHECK(mp_shm_wait_set_wait(s, QUEUES + 3, fds, &t_soon) == 1 && s[QUEUES].found);
  mp_os_close(s[QUEUES + 1].fd);
}

static void make_descriptor(mp_shm_queue *of, mp_shm_handle h) {
  mp_shm_wait_source s = source_of(of);
  CHECK(mp_shm_wait_set_fd(h, &s) >= 0);
}

/* Wakes itself as well. */
static void use_descriptor(void *arg) {
  (void)arg;
  make_descriptor(q, qh);
  t_put_prepared(q, SMALL);
  CHECK(t_get_number(q, now) == 1);
  wait_for(q, &now);
}

static void drop_descriptors(void *arg) {
  (void)arg;
  make_descriptor(q, qh);
  make_descriptor(others[0], others_h[0]);
  mp_shm_object_unuse(qh);
  mp_shm_object_unuse(others_h[0]);
  CHECK(mp_shm_wait_set_fds == 0 && mp_shm_wait_set_table == 0);
}

static void leave_in_order(void *arg) {
  (void)arg;
  make_descriptor(q, qh);
  mp_shm_has_claims = true; /* else it leaves more to its cleaner */
  mp_shm_proc_unregister();
}

/* What the dead one had put may be there, or not. */
static void put_and_take(mp_shm_queue *of) {
  t_put_number(of, LAST, SMALL);
  CHECK(wait_for(of, &now) == 1);
  while (t_get_number(of, now) != LAST) {}
  CHECK(wait_for(of, &now) == -ETIMEDOUT);
}

static void after_watcher(void) {
  for (int i = 0; i < QUEUES; i++) put_and_take(others[i]);
  put_and_take(q);
  let_go();
}

static void sweep(void *arg) { (void)arg, mp_shm_sweep(); }

static const t_op ops[] = {
    {"wait for many", new_queues, wait_for_all, after_watcher, NULL, sweep},
    {"make and use a descriptor", new_queues, use_descriptor, after_watcher, NULL, sweep},
    {"make and drop descriptors", new_queues, drop_descriptors, after_watcher, NULL, sweep},
    {"leave with a descriptor", new_queues, leave_in_order, after_watcher, NULL, sweep},
};

/* --- among the living: one stops at each instruction, the other runs past it --- */

static void watch(void *arg) {
  const scenario *o = arg;
  if (o->first) o->first();
  o->watch();
  seen->woken = mp_os_now();
}

static void let_run(pid_t pid) { ptrace(PTRACE_DETACH, pid, NULL, NULL); }

static void run_to_stop(pid_t pid) {
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  waitpid(pid, NULL, 0);
}

/* A put comes when the watcher has run k instructions on its way to sleep. */
static bool try_going_to_sleep(const scenario *o, long k, bool *done) {
  t_deadline(20);
  new_queues();
  memset(seen, 0, sizeof *seen);
  pid_t pid = t_trace(watch, (void *)o);
  if (o->first) run_to_stop(pid);
  bool awake = true;
  while (k-- > 0 && (awake = t_step_awake(pid))) {}
  *done = !awake;
  uint64_t since = mp_os_now();
  put_one(NULL);
  if (!awake) waitpid(pid, NULL, 0); /* its step ends when it wakes */
  let_run(pid);
  bool prompt = woken_within(2 * MP_SLICE) && seen->woken - since < PROMPT;
  t_end(pid);
  let_go();
  return prompt;
}

/* The watcher goes to sleep when the one that puts has run k instructions. */
static bool try_putting(const scenario *o, long k, bool *done) {
  t_deadline(20);
  new_queues();
  pid_t waker = t_trace(put_one, NULL);
  *done = t_step(waker, k);
  pid_t pid = start(o->watch);
  while (!seen->woken && !t_asleep(pid)) usleep(PAUSE_US);
  let_run(waker);
  bool prompt = woken_within(PROMPT);
  t_end(waker);
  t_end(pid);
  let_go();
  return prompt;
}

/* The watcher comes when the one that puts has run k instructions of its put and what follows that for another watcher;
 * what it waits for is another put. */
static bool try_coming_late(const scenario *o, long k, bool *done) {
  t_deadline(20);
  new_queues();
  mp_shm_wait_set_arm(&q->data); /* the other one, which has gone already */
  pid_t waker = t_trace(put_one, NULL);
  *done = t_step(waker, k);
  (void)t_get_number(q, now);
  pid_t pid = start(o->watch);
  while (!seen->woken && !(q->data.observed & 1 && t_asleep(pid))) usleep(PAUSE_US);
  run_to_stop(waker);
  uint64_t since = mp_os_now();
  if (!seen->woken) t_put_number(q, LAST, SMALL);
  bool prompt = woken_within(2 * MP_SLICE) && seen->woken < since + PROMPT;
  t_end(waker);
  t_end(pid);
  let_go();
  return prompt;
}

typedef bool try_one(const scenario *o, long k, bool *done);

static const struct crossing {
  const char *name;
  try_one *try;
  const scenario *scenario;
} crossings[] = {
    {"put comes while one goes to wait", try_going_to_sleep, &to_wait},
    {"put comes while one goes to poll", try_going_to_sleep, &to_poll},
    {"put comes while one looks again", try_going_to_sleep, &to_look},
    {"one goes to wait while a put runs", try_putting, &to_wait},
    {"one goes to poll while a put runs", try_putting, &to_poll},
    {"one comes to wait when all is over", try_coming_late, &to_wait},
    {"one comes to poll when all is over", try_coming_late, &to_poll},
};

static long run_crossing(const struct crossing *c) {
  long points = 0;
  bool done = false;
  t_what = c->name;
  for (long k = t_first(); !done; k += t_stride(), points++) {
    int tries = 0;
    t_point = k;
    while (!c->try(c->scenario, k, &done)) CHECK(++tries < TRIES);
  }
  printf("  %-40s %6ld points\n", c->name, points);
  return 1;
}

/* --- and both run --- */

static void answer(mp_shm_queue *from, mp_shm_queue *to, void (*wait)(mp_shm_queue *)) {
  for (uint64_t n = 1; n <= ROUNDS; n++) {
    wait(from);
    CHECK(t_get_number(from, now) == n);
    t_put_number(to, n, SMALL);
  }
}

static void by_wait(mp_shm_queue *of) { CHECK(wait_for(of, &t_soon) == 1); }

static void by_fd(mp_shm_queue *of) {
  mp_shm_wait_source s = source_of(of);
  int fd = mp_shm_wait_set_fd(of == others[0] ? others_h[0] : others_h[1], &s);
  do {
    CHECK(mp_os_poll(fd, MP_FOREVER) == 1);
    mp_shm_wait_set_look(&of->data);
  } while (!mp_shm_queue_ready(of));
}

/* Returns how many round trips took nearly a slice. */
static long ping_pong(const char *name, void (*wait)(mp_shm_queue *)) {
  long slow = 0;
  t_what = name;
  t_deadline(100);
  new_queues();
  pid_t pid = fork();
  if (pid == 0) {
    answer(others[0], others[1], wait);
    _exit(0);
  }
  for (uint64_t n = 1; n <= ROUNDS; n++) {
    uint64_t since = mp_os_now();
    t_put_number(others[0], n, SMALL);
    wait(others[1]);
    CHECK(t_get_number(others[1], now) == n);
    slow += mp_os_now() - since > SLOW;
  }
  CHECK(waitpid(pid, NULL, 0) == pid);
  let_go();
  CHECK(mp_shm_wait_set_fds == 0);
  printf("  %-40s %6d round trips, %ld slow\n", name, ROUNDS, slow);
  CHECK(slow <= SLOW_MOST);
  return 1;
}

/* Once unharmed, so that nobody steps through the linker's work at a function's first call. */
static void warm_up(void) {
  new_queues();
  wait_for_all(NULL);
  mp_shm_wait_source s = source_of(q);
  CHECK(mp_shm_wait_set_fd(qh, &s) >= 0);
  put_one(NULL);
  CHECK(mp_os_wake_other(getpid(), 0, 0) == -ESTALE);
  let_go();
}

/* wait_set_kill_test [part of a name] */
int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : "";
  long points = 0, n = 0;
  setenv("MPROC_SPIN", "0", 1); /* a spin would be stepped through */
  t_start();
  t_block_sigchld();
  warm_up();
  seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < sizeof crossings / sizeof *crossings; i++)
    if (strstr(crossings[i].name, part)) n += run_crossing(&crossings[i]);
  if (strstr("trips by wait", part)) n += ping_pong("trips by wait", by_wait);
  if (strstr("trips by descriptor", part)) n += ping_pong("trips by descriptor", by_fd);
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    if (strstr(scenarios[i].name, part)) points += run_scenario(&scenarios[i]), n++;
  points += t_run_ops(ops, sizeof ops / sizeof *ops, part, &n);
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
