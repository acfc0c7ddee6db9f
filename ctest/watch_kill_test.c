/* SPDX-License-Identifier: MIT */
/*
 * Watches: a process is killed at every instruction of ringing a bell that others watch, and whoever watches must be awake
 * within two slices all the same; a watcher is killed at every instruction, and those who ring, and the arena, must be
 * none the worse. Last, between living processes no wake is lost at all. MP_STRIDE=n tries every nth instruction.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "os/process.h"
#include "shm/watch.h"

#define SMALL 64
#define QUEUES 3
#define IN_TIME (2 * MP_SLICE + 100 * MP_MS) /* two slices, and a slow machine */
#define TRIES 3
#define PAUSE_US 100
#define ROUNDS 4000
#define SLOW (80 * MP_MS) /* nearly a slice: a wake was lost, or the machine was slow */
#define SLOW_MOST 5
#define LAST 9

typedef struct watcher {
  _Atomic uint64_t woken; /* when it saw that its queue is ready; 0: not yet */
  _Atomic uint32_t asleep;
} watcher;

static watcher *seen;
static mp_queue *q, *others[QUEUES];
static mp_handle qh, others_h[QUEUES];
static uint64_t tail_before;
static const mp_wait now = {0, NULL, NULL};

static mp_source source_of(mp_queue *of) {
  return (mp_source){.bell = &of->data, .ready = mp_queue_ready, .arg = of, .fd = -1};
}

static int wait_for(mp_queue *of, const mp_wait *w) {
  mp_source s = source_of(of);
  mp_os_pollfd fds[2];
  return mp_watch_wait(&s, 1, fds, w);
}

static void new_queues(void) {
  q = t_queue(0, &qh);
  for (int i = 0; i < QUEUES; i++) others[i] = t_queue(0, &others_h[i]);
  tail_before = q->tail;
  t_prepare(1, SMALL);
}

static void let_go(void) {
  mp_object_unuse(qh);
  for (int i = 0; i < QUEUES; i++) mp_object_unuse(others_h[i]);
  t_nothing_left();
}

/* --- those who watch --- */

static void watch_by_wait(void) { CHECK(wait_for(q, &t_soon) == 1); }

/* As an event loop does: polls, and when the descriptor is readable, looks. */
static void watch_by_fd(void) {
  mp_source s = source_of(q);
  int fd = mp_watch_fd(qh, &s);
  CHECK(fd >= 0);
  do {
    CHECK(mp_os_poll(fd, MP_FOREVER) == 1);
    mp_watch_look(&q->data);
  } while (!mp_queue_ready(q));
}

static pid_t start(void (*watch)(void)) {
  memset(seen, 0, sizeof *seen);
  pid_t pid = fork();
  if (pid) return pid;
  watch();
  seen->woken = mp_os_now();
  for (;;) pause();
}

static bool is_asleep(pid_t pid) {
  char name[64], state = 0;
  snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(name, "r");
  CHECK(f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
  fclose(f);
  return state == 'S';
}

static void await_watching(pid_t pid) {
  while (!(q->data.watched & 1) || !is_asleep(pid)) usleep(PAUSE_US);
}

static bool woken_within(uint64_t limit) {
  uint64_t deadline = mp_os_now() + limit;
  while (!seen->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return seen->woken != 0;
}

/* --- the ringer is killed --- */

static void put_one(void *arg) { (void)arg, t_put_prepared(q, SMALL); }

static void close_it(void *arg) {
  (void)arg;
  CHECK(mp_queue_close(q, &t_soon) == 0);
}

typedef struct scene {
  const char *name;
  void (*watch)(void);
  void (*ring)(void *);
} scene;

static const scene scenes[] = {
    {"put killed, watched by wait", watch_by_wait, put_one},
    {"put killed, watched by a descriptor", watch_by_fd, put_one},
    {"close killed, watched by wait", watch_by_wait, close_it},
};

/* True when the watcher was awake in time: by itself if the dead one had committed, else by a put that follows. */
static bool try_ringer(const scene *o, long k, bool *done) {
  t_deadline(20);
  new_queues();
  pid_t pid = start(o->watch);
  await_watching(pid);
  *done = t_kill_after(k, o->ring, NULL, NULL);
  if (q->tail == tail_before && !q->closed) t_put_number(q, LAST, SMALL);
  bool awake = woken_within(IN_TIME);
  t_end(pid);
  let_go();
  return awake;
}

static long run_scene(const scene *o) {
  long points = 0;
  bool done = false;
  t_what = o->name;
  for (long k = t_first(); !done; k += t_stride(), points++) {
    int tries = 0;
    while (!try_ringer(o, k, &done)) CHECK(++tries < TRIES);
  }
  printf("  %-40s %6ld kill points\n", o->name, points);
  return points;
}

/* --- the watcher is killed --- */

static void wait_for_all(void *arg) {
  mp_source s[QUEUES + 3];
  mp_os_pollfd fds[QUEUES + 4];
  int idle = mp_os_timer_open();
  const mp_wait w = {mp_os_now() + 2 * MP_MS, NULL, NULL};
  (void)arg;
  for (int i = 0; i < QUEUES; i++) s[i] = source_of(others[i]);
  s[QUEUES] = source_of(q);
  s[QUEUES + 1] = (mp_source){.fd = idle};
  s[QUEUES + 2] = (mp_source){.fd = -1, .pid = getppid()};
  CHECK(mp_watch_wait(s, QUEUES + 3, fds, &w) == -ETIMEDOUT);
}

/* Rings itself as well. */
static void use_descriptors(void *arg) {
  (void)arg;
  for (int i = 0; i < QUEUES; i++) {
    mp_source s = source_of(others[i]);
    CHECK(mp_watch_fd(others_h[i], &s) >= 0);
  }
  t_put_prepared(others[0], SMALL);
  CHECK(t_get_number(others[0], now) == 1);
  wait_for(q, &now);
  mp_object_unuse(others_h[1]);
}

static void drop_last_descriptor(void *arg) {
  mp_source s = source_of(q);
  (void)arg;
  CHECK(mp_watch_fd(qh, &s) >= 0);
  mp_object_unuse(qh);
  CHECK(mp_watch_fds == 0);
}

static void leave_in_order(void *arg) {
  mp_source s = source_of(q);
  (void)arg;
  CHECK(mp_watch_fd(qh, &s) >= 0);
  mp_proc_depart();
}

static void after_watcher(void) {
  for (int i = 0; i < QUEUES; i++) {
    t_put_number(others[i], LAST, SMALL);
    while (t_get_number(others[i], now) != LAST) {}
  }
  t_put_number(q, LAST, SMALL);
  CHECK(wait_for(q, &now) == 1);
  CHECK(t_get_number(q, now) == LAST);
  let_go();
}

static const t_op ops[] = {
    {"wait for many", new_queues, wait_for_all, after_watcher, NULL},
    {"make and use descriptors", new_queues, use_descriptors, after_watcher, NULL},
    {"make and drop a descriptor", new_queues, drop_last_descriptor, after_watcher, NULL},
    {"leave with a descriptor", new_queues, leave_in_order, after_watcher, NULL},
};

static void sweep(void *arg) { (void)arg, mp_shm_sweep(); }

/* The watcher is killed at point j, the one that cleans up after it at every point k. */
static long run_recovery(const t_op *o) {
  long points = 0;
  for (long j = t_first(); j < 100000; j += 37 * t_stride())
    for (long k = t_first();; k += 7 * t_stride()) {
      t_deadline(20);
      t_what = o->name;
      o->before();
      bool over = t_kill_after(j, o->run, NULL, NULL);
      t_what = "recovery";
      bool done = over || t_kill_after(k, sweep, NULL, NULL);
      o->after();
      if (over) goto out;
      if (done) break;
      points++;
    }
out:
  printf("  recovery of %-28s %6ld kill points\n", o->name, points);
  return points;
}

/* --- among the living --- */

static void answer(mp_queue *from, mp_queue *to, void (*wait)(mp_queue *)) {
  for (uint64_t n = 1; n <= ROUNDS; n++) {
    wait(from);
    CHECK(t_get_number(from, now) == n);
    t_put_number(to, n, SMALL);
  }
}

static void by_wait(mp_queue *of) { CHECK(wait_for(of, &t_soon) == 1); }

static void by_fd(mp_queue *of) {
  mp_source s = source_of(of);
  int fd = mp_watch_fd(of == others[0] ? others_h[0] : others_h[1], &s);
  do {
    CHECK(mp_os_poll(fd, MP_FOREVER) == 1);
    mp_watch_look(&of->data);
  } while (!mp_queue_ready(of));
}

/* Returns how many round trips took nearly a slice. */
static long ping_pong(const char *name, void (*wait)(mp_queue *)) {
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
  CHECK(mp_watch_fds == 0);
  printf("  %-40s %6d round trips, %ld slow\n", name, ROUNDS, slow);
  CHECK(slow <= SLOW_MOST);
  return 1;
}

/* Once unharmed, so that nobody steps through the linker's work at a function's first call. */
static void warm_up(void) {
  static const int sizes[] = {0};
  (void)sizes;
  new_queues();
  wait_for_all(NULL);
  drop_last_descriptor(NULL);
  qh = 0;
}

/* watch_kill_test [part of a name] */
int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : "";
  long points = 0, n = 0;
  setenv("MPROC_SPIN", "0", 1); /* a spin would be stepped through */
  t_start();
  warm_up();
  seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    if (strstr(scenes[i].name, part)) points += run_scene(&scenes[i]), n++;
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strstr(ops[i].name, part)) points += t_run_op(&ops[i]) + run_recovery(&ops[i]), n++;
  if (strstr("trips by wait", part)) n += ping_pong("trips by wait", by_wait);
  if (strstr("trips by descriptor", part)) n += ping_pong("trips by descriptor", by_fd);
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
