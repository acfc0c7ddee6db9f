/* SPDX-License-Identifier: MIT */
/* What the C tests share; the contracts stand in harness.h. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SALT UINT64_C(0x9e3779b97f4a7c15)

const char *t_what = "start";
long t_point;
const mp_shm_wait t_soon = {MP_FOREVER, NULL, NULL};

static _Alignas(16) char buffer[MP_INLINE_MAX];

static void out_of_time(int sig) {
  (void)sig;
  static const char text[] = "the deadline is over: something hangs\n";
  char line[128];
  int n = snprintf(line, sizeof line, "%s, kill point %ld: %s", t_what, t_point, text);
  if (write(2, line, (size_t)n) < 0) _exit(3);
  _exit(2);
}

void t_deadline(unsigned seconds) { alarm(seconds); }

void *t_shared(size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

void t_start(void) {
  signal(SIGALRM, out_of_time);
  setvbuf(stdout, NULL, _IONBF, 0);
  int err = mp_shm_attach();
  if (err) fprintf(stderr, "attach: %s\n", strerror(-err)), exit(1);
  mp_shm_types_setup();
  t_deadline(60);
}

mp_shm_queue *t_queue(uint64_t maxsize, mp_shm_handle *h) {
  CHECK(mp_shm_queue_new(maxsize, 0, &t_soon, h) == 0);
  return mp_shm_object_block(*h, MP_TYPE_QUEUE);
}

int t_put(mp_shm_queue *q, const void *p, size_t n, const mp_shm_handle *handles, uint32_t nhandles) {
  mp_shm_iovec iovec = {p, n};
  mp_shm_outgoing m = {&iovec, 1, n, handles, nhandles};
  return mp_shm_queue_put(q, &m, &t_soon);
}

static void fill(uint64_t *p, uint64_t number, size_t words) {
  for (size_t i = 0; i < words; i++) p[i] = number * SALT + i;
}

static uint64_t prepared[1 << 13];

void t_prepare(uint64_t number, size_t n) {
  fill(prepared, number, n / 8);
  prepared[0] = number;
}

void t_put_prepared(mp_shm_queue *q, size_t n) { CHECK(t_put(q, prepared, n, NULL, 0) == 0); }

void t_put_number(mp_shm_queue *q, uint64_t number, size_t n) {
  t_prepare(number, n);
  t_put_prepared(q, n);
}

uint64_t t_get_number(mp_shm_queue *q, mp_shm_wait w) {
  mp_shm_incoming g;
  int err = mp_shm_queue_get(q, buffer, &g, &w);
  if (err) return 0;
  const uint64_t *p = g.data;
  uint64_t number = p[0];
  for (size_t i = 1; i < g.len / 8; i++) CHECK(p[i] == number * SALT + i);
  mp_shm_queue_done(&g);
  return number;
}

uint64_t t_fill_segment(mp_shm_queue *q, size_t n, unsigned left) {
  uint64_t span = 16 + (n + 15) / 16 * 16, count = 0;
  while ((q->end & (MP_SEGMENT - 1)) + (left + 1) * span + 16 <= MP_SEGMENT) t_put_number(q, ++count, n);
  return count;
}

void t_get_numbers(mp_shm_queue *q, uint64_t count) {
  static const mp_shm_wait now = {0, NULL, NULL};
  for (uint64_t i = 1; i <= count; i++) CHECK(t_get_number(q, now) == i);
}

void t_turn_segments(mp_shm_queue *q, size_t n, unsigned times) {
  for (unsigned i = 0; i < times; i++) {
    if (i) t_put_number(q, 1, n), t_get_numbers(q, 1);
    t_get_numbers(q, t_fill_segment(q, n, 0));
  }
}

void t_nothing_left(void) {
  mp_shm_stats s;
  mp_shm_sweep();
  mp_shm_stats_get(&s);
  CHECK(s.objects == 0);
  CHECK(s.chunks == 0);
  CHECK(s.processes == 1);
}

static long setting(const char *name, long otherwise) {
  const char *s = getenv(name);
  long n = s ? atol(s) : otherwise;
  return n > 0 ? n : otherwise;
}

long t_stride(void) { return setting("MP_STRIDE", 1); }
long t_first(void) { return 1 + setting("MP_OFFSET", 0) % t_stride(); }

bool t_kill_after(long steps, void (*f)(void *), void *arg, void (*meanwhile)(void)) {
  t_point = steps;
  pid_t pid = t_trace(f, arg);
  if (meanwhile) meanwhile();
  bool done = t_step(pid, steps);
  t_end(pid);
  return done;
}

long t_run_op(const t_op *o) {
  long points = 0;
  t_what = o->name;
  for (long k = t_first();; k += t_stride()) {
    t_deadline(20);
    o->before();
    bool done = t_kill_after(k, o->run, NULL, o->meanwhile);
    o->after();
    if (done) break;
    points++;
  }
  printf("  %-36s %6ld kill points\n", o->name, points);
  return points;
}

/* How many points k, or -1: the operation had ended before j. */
static long recover_from(const t_op *o, long j, void (*recover)(void *)) {
  long points = 0;
  for (long k = t_first();; k += 7 * t_stride()) {
    t_deadline(20);
    t_what = o->name;
    o->before();
    bool over = t_kill_after(j, o->run, NULL, o->meanwhile);
    t_what = "recovery";
    bool done = over || t_kill_after(k, recover, NULL, NULL);
    o->after();
    if (over) return -1;
    if (done) return points;
    points++;
  }
}

long t_run_recovery(const t_op *o, void (*recover)(void *)) {
  long points = 0;
  for (long j = t_first();; j += 23 * t_stride()) {
    long n = recover_from(o, j, recover);
    if (n < 0) break;
    points += n;
  }
  printf("  recovery of %-24s %6ld kill points\n", o->name, points);
  return points;
}

long t_run_ops(const t_op *ops, size_t n, const char *part, long *tested) {
  long points = 0;
  for (const t_op *o = ops; o < ops + n; o++) {
    if (part && !strstr(o->name, part)) continue;
    points += t_run_op(o);
    ++*tested;
    if (!o->recover) continue;
    points += t_run_recovery(o, o->recover);
    ++*tested;
  }
  return points;
}

bool t_kill_child_after(long steps, void (*f)(void *), void *arg) {
  int status;
  unsigned long born = 0;
  t_point = steps;
  pid_t pid = t_trace(f, arg);
  ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL));
  while (!born) {
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    waitpid(pid, &status, 0);
    CHECK(WIFSTOPPED(status));
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8)) ptrace(PTRACE_GETEVENTMSG, pid, NULL, &born);
  }
  waitpid((pid_t)born, &status, __WALL);
  t_follow((pid_t)born, f);
  bool done = t_step((pid_t)born, steps);
  t_end((pid_t)born);
  t_end(pid);
  return done;
}
