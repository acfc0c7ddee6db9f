/* SPDX-License-Identifier: MIT */
/*
 * A process sleeps on a bell while the one that would wake it is killed at every instruction. Whatever was committed
 * must reach the sleeper within PROMPT, half a slice: a wake that is lost costs a whole one. MP_STRIDE=n tries every
 * nth instruction. MP_CONTROL=nopending leaves the kernel's part out in the process that is killed: wakes are lost then
 * and the test fails, which main() also checks for itself, so that a test that cannot fail is noticed.
 *
 * A point counts only if the sleeper's slice was young when the other was killed: else the slice's end could pass for
 * a wake. A late wake is tried again, for it may be the machine that was slow; one that was lost is lost every time.
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
#include "shm/end.h"
#include "shm/queue_inside.h"
#include "witness.h"

#define SMALL 64
#define BIG 96 /* an extent here */
#define PROMPT (50 * MP_MS)
#define YOUNG (40 * MP_MS) /* + PROMPT < MP_SLICE */
#define TRIES 4
#define SLOW_TRIES 50
#define LOST_MOST 3 /* per scenario; more would only take time */
#define PAUSE_US 50
#define LAST 9 /* the number of the message that tells whether all still works */

/* In memory shared with the processes that sleep. */
typedef struct sleeper {
  _Atomic uint64_t armed;  /* when its present slice began, or a little before */
  _Atomic uint64_t woken;  /* when its call returned; 0: not yet */
  _Atomic uint64_t number; /* of the message it got */
  _Atomic int32_t result;
} sleeper;

typedef struct scene {
  const char *name;
  void (*before)(void);
  void (*sleep)(sleeper *); /* what the sleeper calls */
  void (*run)(void *);      /* what is killed */
  bool (*committed)(void);  /* the sleeper has what it waits for */
  void (*help)(void);       /* if not: does what gives it that */
  void (*after)(const sleeper *);
  bool starts_late; /* run stops itself once it has done what comes before the sleeper's sleep */
} scene;

static sleeper *sleepers; /* [2] */
static mp_queue *q;
static mp_handle qh, carrier_h;
static size_t size;
static uint64_t tail_before, head_before;
static bool control;
static const mp_wait now = {0, NULL, NULL};

/* --- those who sleep --- */

static int slice_begins(void *arg) {
  ((sleeper *)arg)->armed = mp_os_now();
  return 0;
}

static mp_wait watched(sleeper *s) { return (mp_wait){MP_FOREVER, slice_begins, s}; }

static void sleep_in_get(sleeper *s) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_wait w = watched(s);
  mp_got g;
  s->result = mp_queue_get(q, buf, &g, &w);
  s->woken = mp_os_now();
  if (s->result != 0) return;
  s->number = *(const uint64_t *)g.data;
  mp_queue_done(&g);
}

static void sleep_in_put(sleeper *s) {
  static char bytes[BIG] = {LAST};
  mp_wait w = watched(s);
  mp_piece piece = {bytes, size};
  mp_parcel m = {&piece, 1, size, NULL, 0};
  s->result = mp_queue_put(q, &m, &w);
  s->woken = mp_os_now();
}

static pid_t start(sleeper *s, void (*f)(sleeper *)) {
  memset(s, 0, sizeof *s);
  s->armed = mp_os_now();
  pid_t pid = fork();
  if (pid) return pid;
  f(s);
  for (;;) pause();
}

static void await_armed(mp_bell *b) {
  while (b->word != MP_BELL_ARMED) usleep(PAUSE_US);
}

static bool woken_by(const sleeper *s, uint64_t deadline) {
  while (!s->woken && mp_os_now() < deadline) usleep(PAUSE_US);
  return s->woken && s->woken < deadline;
}

static bool young(const sleeper *s) { return mp_os_now() < s->armed + YOUNG; }

/* --- the scenes --- */

static void begin(uint64_t maxsize, size_t bytes) {
  size = bytes;
  q = t_queue(maxsize, &qh);
}

static void note_words(void) { tail_before = q->tail, head_before = mp_queue_start(q); }
static void empty_small(void) { begin(0, SMALL), note_words(); }
static void empty_big(void) { begin(0, BIG), note_words(); }
static void full_small(void) { begin(1, SMALL), t_put_number(q, 1, size), note_words(); }
static void full_big(void) { begin(1, BIG), t_put_number(q, 1, size), note_words(); }

static void one_small(void) { begin(0, SMALL), t_put_number(q, 1, size); }
static void one_big(void) { begin(0, BIG), t_put_number(q, 1, size); }

/* What a reader gave back fills it. */
static void full_returned(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  full_big();
  CHECK(mp_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_queue_return(q, &g) == 0);
}

/* A pipe: its one end is ours, the other is on its way to the one who is killed. */
static void pipe_on_the_way(void) {
  mp_handle ends[2];
  size = SMALL;
  mp_queue *carrier = t_queue(0, &carrier_h);
  CHECK(mp_pipe_new(false, &t_soon, ends) == 0);
  qh = ends[0];
  q = mp_end_in(mp_object_block(qh, MP_TYPE_END));
  CHECK(t_put(carrier, "end", 3, &ends[1], 1) == 0);
  mp_object_unuse(ends[1]);
}

static void without_kernel(void) {
  if (control) mp_os_robust = NULL;
}

static void run_put(void *arg) {
  (void)arg;
  without_kernel();
  t_put_prepared(q, size);
}

static void run_get(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  (void)arg;
  without_kernel();
  CHECK(mp_queue_get(q, buf, &g, &now) == 0);
  mp_queue_done(&g);
}

static void run_return(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  (void)arg;
  CHECK(mp_queue_get(q, buf, &g, &now) == 0);
  raise(SIGSTOP);
  without_kernel();
  CHECK(mp_queue_return(q, &g) == 0);
}

static void run_close(void *arg) {
  (void)arg;
  without_kernel();
  CHECK(mp_queue_close(q, &t_soon) == 0);
}

/* The last of the other end. */
static void run_close_end(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  (void)arg;
  CHECK(mp_queue_get(mp_object_block(carrier_h, MP_TYPE_QUEUE), buf, &g, &now) == 0);
  raise(SIGSTOP);
  without_kernel();
  mp_queue_done(&g);
}

static bool tail_moved(void) { return q->tail != tail_before; }
static bool head_moved(void) { return q->head && q->head != head_before; }
static bool is_closed(void) { return q->closed != 0; }

static bool is_returned(void) {
  for (int64_t i = mp_chunk_next(0); i >= 0; i = mp_chunk_after((uint64_t)i))
    if (mp_st_state(mp_chunk_at((uint64_t)i)->st) == MP_RETURNED) return true;
  return false;
}

static bool none_returned(void) { return !is_returned(); }

static void help_by_put(void) { t_put_number(q, LAST, size); }
static void help_by_get(void) { CHECK(t_get_number(q, now) == 1); }
static void help_by_sweep(void) { mp_shm_sweep(), help_by_put(); }
static void help_by_burial(void) { mp_shm_sweep(); }
static void help_by_close(void) { CHECK(mp_queue_close(q, &t_soon) == 0); }

static void after_put(const sleeper *s) {
  CHECK(s->result == 0 && (s->number == 1 || s->number == LAST));
  CHECK(t_get_number(q, now) == 0);
}

/* The sleeper's message is there; before it, perhaps, the one a dead reader had. */
static void after_get(const sleeper *s) {
  CHECK(s->result == 0);
  mp_shm_sweep();
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  uint64_t n;
  do {
    CHECK(mp_queue_get(q, buf, &g, &now) == 0);
    n = *(const uint64_t *)g.data;
    mp_queue_done(&g);
  } while (n == 1);
  CHECK(n == LAST && mp_queue_get(q, buf, &g, &now) == -ETIMEDOUT);
}

static void after_return(const sleeper *s) {
  CHECK(s->result == 0 && (s->number == 1 || s->number == LAST));
  uint64_t n = t_get_number(q, now);
  CHECK(n == 0 || (n == LAST && s->number == 1));
}

static void after_close(const sleeper *s) { CHECK(s->result == -EPIPE); }

static const scene scenes[] = {
    {"get sleeps, put killed", empty_small, sleep_in_get, run_put, tail_moved, help_by_put, after_put, false},
    {"get sleeps, put of an extent killed", empty_big, sleep_in_get, run_put, tail_moved, help_by_put, after_put,
     false},
    {"get sleeps, return killed", one_small, sleep_in_get, run_return, is_returned, help_by_put, after_return, true},
    {"get sleeps, return of an extent killed", one_big, sleep_in_get, run_return, is_returned, help_by_sweep,
     after_return, true},
    {"put sleeps, get killed", full_small, sleep_in_put, run_get, head_moved, help_by_get, after_get, false},
    {"put sleeps, get of an extent killed", full_big, sleep_in_put, run_get, head_moved, help_by_get, after_get, false},
    {"put sleeps, get of a returned one killed", full_returned, sleep_in_put, run_get, none_returned, help_by_get,
     after_get, false},
    {"get sleeps, close killed", empty_small, sleep_in_get, run_close, is_closed, help_by_close, after_close, false},
    {"get sleeps, close of an end killed", pipe_on_the_way, sleep_in_get, run_close_end, is_closed, help_by_burial,
     after_close, true},
};

/* --- one point --- */

enum { IN_TIME, LATE, SLOW };

static void let_go(void) {
  mp_object_unuse(qh);
  if (carrier_h) mp_object_unuse(carrier_h);
  carrier_h = 0;
  t_nothing_left();
}

/* The sleeper must wake by itself, or at once when it gets what the dead process did not give it. */
static int judge(const scene *o, const sleeper *s) {
  bool helped = !o->committed();
  if (!young(s) && !s->woken) return SLOW;
  uint64_t since = mp_os_now();
  if (helped) o->help();
  return woken_by(s, since + PROMPT) ? IN_TIME : LATE;
}

static void run_to_stop(pid_t pid) {
  int status;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  waitpid(pid, &status, 0);
}

static int try_point(const scene *o, long k, bool *done) {
  sleeper *s = sleepers;
  t_deadline(20);
  o->before();
  t_prepare(1, size);
  pid_t killed = t_trace(o->run, NULL);
  if (o->starts_late) run_to_stop(killed);
  pid_t pid = start(s, o->sleep);
  await_armed(o->sleep == sleep_in_put ? &q->room : &q->data);
  *done = t_step(killed, k);
  t_end(killed);
  int r = judge(o, s);
  t_end(pid);
  if (r == IN_TIME) o->after(s);
  let_go();
  return r;
}

/* --- the first in line is killed while another waits behind it --- */

static void run_sleep_in_get(void *arg) { sleep_in_get(arg); }

/* That many; true when it was at its end or asleep before. */
static bool step_all(pid_t pid, long steps) {
  for (long i = 0; i < steps; i++)
    if (sleepers[0].woken || !t_step_awake(pid)) return true;
  return false;
}

static pid_t start_second(void) {
  pid_t pid = start(&sleepers[1], sleep_in_get);
  while (!t_asleep(pid)) usleep(PAUSE_US);
  return pid;
}

/* A message is put now: the second one must have it, at once. */
static int judge_second(uint64_t number) {
  const sleeper *s = &sleepers[1];
  if (!young(s)) return SLOW;
  uint64_t since = mp_os_now();
  t_put_number(q, number, SMALL);
  return woken_by(s, since + PROMPT) && s->number ? IN_TIME : LATE;
}

/* Killed at its k-th instruction on the way into sleep; done when it has got there. */
static int try_going_to_sleep(const scene *o, long k, bool *done) {
  (void)o;
  t_deadline(20);
  empty_small();
  sleepers[0].woken = 0;
  pid_t leader = t_trace(run_sleep_in_get, &sleepers[0]);
  *done = step_all(leader, k);
  pid_t second = start_second();
  t_end(leader);
  int r = judge_second(LAST);
  t_end(second);
  let_go();
  return r;
}

static pid_t stopped_asleep(void) {
  int status;
  sleepers[0].woken = 0;
  pid_t pid = t_trace(run_sleep_in_get, &sleepers[0]);
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  await_armed(&q->data);
  return kill(pid, SIGSTOP) == 0 ? waitpid(pid, &status, 0) : -1;
}

/* The message was put before: the second one has it, or must get it now, or the dead one had it. */
static int judge_either(const sleeper *second) {
  if (second->woken) return IN_TIME;
  if (!young(second)) return SLOW;
  if (woken_by(second, mp_os_now() + (head_moved() ? PROMPT / 10 : PROMPT))) return IN_TIME;
  return head_moved() ? judge_second(LAST) : LATE;
}

/* Killed at its k-th instruction after a message came for which it was woken: it, or the second one, has that. */
static int try_waking_up(const scene *o, long k, bool *done) {
  (void)o;
  t_deadline(20);
  empty_small();
  pid_t leader = stopped_asleep();
  CHECK(leader > 0);
  pid_t second = start_second();
  t_put_number(q, 1, SMALL);
  *done = step_all(leader, k);
  t_end(leader);
  int r = judge_either(&sleepers[1]);
  t_end(second);
  let_go();
  return r;
}

/* --- all points --- */

typedef int try_one(const scene *o, long k, bool *done);

/* True when it was in time at least once. */
static bool in_time(try_one *f, const scene *o, long k, bool *done) {
  int late = 0, slow = 0;
  t_point = k;
  while (late < TRIES) {
    int r = f(o, k, done);
    if (r == IN_TIME) return true;
    late += r == LATE;
    slow += r == SLOW;
    CHECK(slow < SLOW_TRIES);
  }
  return false;
}

/* How many wakes were lost. */
static long run_all(const char *name, try_one *f, const scene *o) {
  long points = 0, lost = 0;
  bool done = false;
  t_what = name;
  long step = control ? 1 : t_stride(); /* a sample could miss the few instructions that control is about */
  for (long k = control ? 1 : t_first(); !done && lost < LOST_MOST; k += step, points++) {
    if (in_time(f, o, k, &done)) continue;
    if (!control) fprintf(stderr, "%s, kill point %ld: the wake was lost\n", name, k);
    lost++;
  }
  printf("  %-40s %6ld kill points, %ld wakes lost\n", name, points, lost);
  return lost;
}

static bool chosen(const char *name, const char *part) { return !part || strstr(name, part); }

static long run_scenes(const char *part) {
  long lost = 0;
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
    if (chosen(scenes[i].name, part)) lost += run_all(scenes[i].name, try_point, &scenes[i]);
  if (control) return lost;
  if (chosen("first", part)) {
    lost += run_all("first in line killed going to sleep", try_going_to_sleep, NULL);
    lost += run_all("first in line killed waking up", try_waking_up, NULL);
  }
  return lost;
}

static void without_pending(const char *part) {
  control = true;
  printf("control: no pending cell\n");
  long lost = run_scenes(part);
  t_what = "control";
  CHECK(lost > 0);
  control = false;
}

/* wake_test [part of a scene's name] */
int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : NULL, *mode = getenv("MP_CONTROL");
  setenv("MPROC_SPIN", "0", 1); /* a spin would be stepped through */
  t_start();
  t_block_sigchld();
  mp_queue_inline_max = SMALL;
  sleepers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  control = mode && strcmp(mode, "nopending") == 0;
  long lost = run_scenes(part);
  if (!control && !part) without_pending(scenes[0].name);
  if (lost) return 1;
  printf("ok %zu\n", sizeof scenes / sizeof *scenes + 3);
  return 0;
}
