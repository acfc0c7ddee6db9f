/* SPDX-License-Identifier: MIT */
/*
 * A process sleeps on a queue's wait queue while the one that would wake it is killed at every instruction (sleeper.h).
 * MP_STRIDE=n tries every nth instruction. MP_CONTROL=nopending leaves the kernel's part out in the process that is
 * killed: wakes are lost then and the test fails, which main() also checks for itself, so that a test that cannot fail
 * is noticed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/queue/internal.h"
#include "shm/queue/pipe_end.h"
#include "waiter.h"

#define SMALL 64
#define BIG 96 /* a large message here */
#define LAST 9 /* the number of the message that tells whether all still works */

static mp_shm_queue *q;
static mp_shm_handle qh, carrier_h;
static size_t size;
static uint64_t tail_before, head_before;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- those who sleep --- */

static void sleep_in_get(t_waiter *s) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_wait w = t_watched(s);
  mp_shm_incoming g;
  s->result = mp_shm_queue_get(q, buf, &g, &w);
  uint64_t now_awake = mp_os_now();
  if (s->result == 0) {
    s->number = *(const uint64_t *)g.data;
    mp_shm_queue_done(&g);
  }
  s->woken = now_awake; /* last: it may be ended then */
}

static void sleep_in_put(t_waiter *s) {
  static char bytes[BIG] = {LAST};
  mp_shm_wait w = t_watched(s);
  mp_shm_iovec iovec = {bytes, size};
  mp_shm_outgoing m = {&iovec, 1, size, NULL, 0};
  s->result = mp_shm_queue_put(q, &m, &w);
  s->woken = mp_os_now();
}

/* --- the scenarios --- */

static void begin(uint64_t maxsize, size_t bytes) {
  size = bytes;
  q = t_queue(maxsize, &qh);
}

static void note_words(void) {
  tail_before = q->tail, head_before = mp_shm_queue_head(q);
  t_prepare(1, size);
}

static void empty_small(void) { begin(0, SMALL), note_words(); }
static void empty_big(void) { begin(0, BIG), note_words(); }
static void full_small(void) { begin(1, SMALL), t_put_number(q, 1, size), note_words(); }
static void full_big(void) { begin(1, BIG), t_put_number(q, 1, size), note_words(); }

static void one_small(void) { begin(0, SMALL), t_put_number(q, 1, size); }
static void one_big(void) { begin(0, BIG), t_put_number(q, 1, size); }

/* What a reader gave back fills it. */
static void full_returned(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  full_big();
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_shm_queue_return(q, &g) == 0);
}

/* A pipe: its one end is ours, the other is on its way to the one who is killed. */
static void pipe_on_the_way(void) {
  mp_shm_handle ends[2];
  size = SMALL;
  mp_shm_queue *carrier = t_queue(0, &carrier_h);
  CHECK(mp_shm_pipe_new(false, &t_soon, ends) == 0);
  qh = ends[0];
  q = mp_shm_pipe_end_in(mp_shm_object_block(qh, MP_TYPE_PIPE_END));
  CHECK(t_put(carrier, "end", 3, &ends[1], 1) == 0);
  mp_shm_object_unuse(ends[1]);
}

static void run_put(void *arg) {
  (void)arg;
  t_without_kernel();
  t_put_prepared(q, size);
}

static void run_get(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  t_without_kernel();
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  mp_shm_queue_done(&g);
}

static void run_return(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  raise(SIGSTOP);
  t_without_kernel();
  CHECK(mp_shm_queue_return(q, &g) == 0);
}

static void run_close(void *arg) {
  (void)arg;
  t_without_kernel();
  CHECK(mp_shm_queue_close(q, &t_soon) == 0);
}

/* The last of the other end. */
static void run_close_end(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(mp_shm_object_block(carrier_h, MP_TYPE_QUEUE), buf, &g, &now) == 0);
  raise(SIGSTOP);
  t_without_kernel();
  mp_shm_queue_done(&g);
}

static bool tail_moved(void) { return q->tail != tail_before; }
static bool head_moved(void) { return q->head && q->head != head_before; }
static bool is_closed(void) { return q->closed != 0; }

static bool is_returned(void) {
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i))
    if (mp_shm_chunk_state(mp_shm_chunk_at((uint64_t)i)->st) == MP_RETURNED) return true;
  return false;
}

static bool none_returned(void) { return !is_returned(); }

static void help_by_put(void) { t_put_number(q, LAST, size); }
static void help_by_get(void) { CHECK(t_get_number(q, now) == 1); }
static void help_by_sweep(void) { mp_shm_sweep(), help_by_put(); }
static void help_by_burial(void) { mp_shm_sweep(); }
static void help_by_close(void) { CHECK(mp_shm_queue_close(q, &t_soon) == 0); }

static void after_put(const t_waiter *s) {
  CHECK(s->result == 0 && (s->number == 1 || s->number == LAST));
  CHECK(t_get_number(q, now) == 0);
}

/* The sleeper's message is there; before it, perhaps, the one a dead reader had. */
static void after_get(const t_waiter *s) {
  CHECK(s->result == 0);
  mp_shm_sweep();
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  uint64_t n;
  do {
    CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
    n = *(const uint64_t *)g.data;
    mp_shm_queue_done(&g);
  } while (n == 1);
  CHECK(n == LAST && mp_shm_queue_get(q, buf, &g, &now) == -ETIMEDOUT);
}

static void after_return(const t_waiter *s) {
  CHECK(s->result == 0 && (s->number == 1 || s->number == LAST));
  uint64_t n = t_get_number(q, now);
  CHECK(n == 0 || (n == LAST && s->number == 1));
}

static void after_close(const t_waiter *s) { CHECK(s->result == -EPIPE); }

static void let_go(void) {
  mp_shm_object_unuse(qh);
  if (carrier_h) mp_shm_object_unuse(carrier_h);
  carrier_h = 0;
  t_nothing_left();
}

static const t_scenario scenarios[] = {
    {"get sleeps, put killed", empty_small, sleep_in_get, run_put, tail_moved, help_by_put, after_put, let_go, 1,
     false},
    {"get sleeps, put of a large message killed", empty_big, sleep_in_get, run_put, tail_moved, help_by_put, after_put,
     let_go, 1, false},
    {"get sleeps, return killed", one_small, sleep_in_get, run_return, is_returned, help_by_put, after_return, let_go,
     1, true},
    {"get sleeps, return of a large message killed", one_big, sleep_in_get, run_return, is_returned, help_by_sweep,
     after_return, let_go, 1, true},
    {"put sleeps, get killed", full_small, sleep_in_put, run_get, head_moved, help_by_get, after_get, let_go, 1, false},
    {"put sleeps, get of a large message killed", full_big, sleep_in_put, run_get, head_moved, help_by_get, after_get,
     let_go, 1, false},
    {"put sleeps, get of a returned one killed", full_returned, sleep_in_put, run_get, none_returned, help_by_get,
     after_get, let_go, 1, false},
    {"get sleeps, close killed", empty_small, sleep_in_get, run_close, is_closed, help_by_close, after_close, let_go, 1,
     false},
    {"get sleeps, close of an end killed", pipe_on_the_way, sleep_in_get, run_close_end, is_closed, help_by_burial,
     after_close, let_go, 1, true},
};

/* --- the first in line is killed while another waits behind it --- */

static void run_sleep_in_get(void *arg) { sleep_in_get(arg); }

static pid_t start_second(void) {
  pid_t pid = t_sleep(&t_waiters[1], sleep_in_get);
  t_await_asleep(pid);
  return pid;
}

/* A message is put now: the second one must have it, at once. */
static int judge_second(uint64_t number) {
  const t_waiter *s = &t_waiters[1];
  if (!t_young(s)) return T_SLOW;
  uint64_t since = mp_os_now();
  t_put_number(q, number, SMALL);
  return t_woken_by(s, since + T_PROMPT) && s->number ? T_IN_TIME : T_LATE;
}

/* Killed at its k-th instruction on the way into sleep; done when it has got there. */
static int try_going_to_sleep(const void *arg, long k, bool *done) {
  (void)arg;
  t_deadline(20);
  empty_small();
  t_waiters[0].woken = 0;
  pid_t leader = t_trace(run_sleep_in_get, &t_waiters[0]);
  *done = t_step_waiter(leader, &t_waiters[0], k);
  pid_t second = start_second();
  t_end(leader);
  int r = judge_second(LAST);
  t_end(second);
  let_go();
  return r;
}

/* The message was put before: the second one has it, or must get it now, or the dead one had it. */
static int judge_either(const t_waiter *second) {
  if (second->woken) return T_IN_TIME;
  if (!t_young(second)) return T_SLOW;
  if (t_woken_by(second, mp_os_now() + (head_moved() ? T_PROMPT / 10 : T_PROMPT))) return T_IN_TIME;
  return head_moved() ? judge_second(LAST) : T_LATE;
}

/* Killed at its k-th instruction after a message came for which it was woken: it, or the second one, has that. */
static int try_waking_up(const void *arg, long k, bool *done) {
  (void)arg;
  t_deadline(20);
  empty_small();
  pid_t leader = t_stopped_asleep(run_sleep_in_get, &t_waiters[0], &q->data);
  CHECK(leader > 0);
  pid_t second = start_second();
  t_put_number(q, 1, SMALL);
  *done = t_step_waiter(leader, &t_waiters[0], k);
  t_end(leader);
  int r = judge_either(&t_waiters[1]);
  t_end(second);
  let_go();
  return r;
}

/* --- all points --- */

static bool chosen(const char *name, const char *part) { return !part || strstr(name, part); }

static long run_scenarios(const char *part) {
  long lost = 0;
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    if (chosen(scenarios[i].name, part)) lost += t_run_points(scenarios[i].name, t_try_scenario, &scenarios[i]);
  if (t_control) return lost;
  if (chosen("first", part)) {
    lost += t_run_points("first in line killed going to sleep", try_going_to_sleep, NULL);
    lost += t_run_points("first in line killed waking up", try_waking_up, NULL);
  }
  return lost;
}

static void without_pending(const char *part) {
  t_control = true;
  printf("control: no pending cell\n");
  long lost = run_scenarios(part);
  t_what = "control";
  CHECK(lost > 0);
  t_control = false;
}

/* wake_test [part of a scenario's name] */
int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : NULL;
  t_waiters_setup();
  t_start();
  mp_shm_queue_inline_max = SMALL;
  long lost = run_scenarios(part);
  if (!t_control && !part) without_pending(scenarios[0].name);
  if (lost) return 1;
  printf("ok %zu\n", sizeof scenarios / sizeof *scenarios + 3);
  return 0;
}
