/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of each operation on shared memory; then a survivor must find the queue
 * usable at once, every message delivered once or still there, and, when all is let go, nothing left in the arena.
 * MP_STRIDE=n tries every nth instruction only (default 1), MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define SMALL 64
#define BIG 96 /* a large message here */

static mp_shm_queue *q, *carried;
static mp_shm_handle qh, carried_h;
static size_t size;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- pieces of before and after --- */

static void new_queue(void) { q = t_queue(0, &qh); }
static void with_size(size_t n) {
  new_queue();
  size = n;
  t_prepare(1, n);
}

static void with_small(void) { with_size(SMALL); }
static void with_big(void) { with_size(BIG); }

static void turn(unsigned segments) {
  with_small();
  t_turn_segments(q, SMALL, segments);
  t_prepare(1, SMALL);
}

/* The next put needs a segment. */
static void before_new(void) {
  turn(1);
  CHECK(!q->vacant && !q->spare);
}
static void before_own(void) {
  turn(2);
  CHECK(q->vacant && !q->spare);
}
static void before_spare(void) {
  turn(3);
  CHECK(!q->vacant && q->spare);
}

static void two_small(void) { with_small(), t_put_number(q, 1, size), t_put_number(q, 2, size); }
static void two_big(void) { with_big(), t_put_number(q, 1, size), t_put_number(q, 2, size); }

/* Two messages, behind so many segments in which nothing is left. */
static void two_behind(unsigned segments) {
  uint64_t counts[3];
  with_small();
  for (unsigned i = 0; i < segments; i++) {
    if (i) t_put_number(q, 1, SMALL);
    counts[i] = t_fill_segment(q, SMALL, 0);
  }
  t_put_number(q, 1, SMALL);
  t_put_number(q, 2, SMALL);
  for (unsigned i = 0; i < segments; i++) {
    if (i) t_get_numbers(q, 1);
    t_get_numbers(q, counts[i]);
  }
}

/* The next get leaves a segment, which becomes vacant, spare, or free. */
static void before_vacant(void) { two_behind(1); }
static void before_to_spare(void) {
  two_behind(2);
  CHECK(q->vacant && !q->spare);
}
static void before_free(void) {
  two_behind(3);
  CHECK(q->vacant && q->spare);
}

static void put_one(void *arg) { (void)arg, t_put_prepared(q, size); }

static void get_one(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  mp_shm_queue_done(&g);
}

/* Nothing of a message is left once all have been taken, not even as long as the queue lives. */
static void no_message_left(void) {
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i))
    CHECK(mp_shm_chunk_at((uint64_t)i)->object != q->slot ||
          mp_shm_chunk_state(mp_shm_chunk_at((uint64_t)i)->st) <= MP_USED);
}

static void let_go(void) {
  no_message_left();
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

/* Whether or not 1 came through, the queue works and is in order. */
static void after_put(void) {
  mp_shm_sweep();
  t_put_number(q, 2, size);
  uint64_t n = t_get_number(q, now);
  CHECK(n == 1 || n == 2);
  if (n == 1) CHECK(t_get_number(q, now) == 2);
  CHECK(t_get_number(q, now) == 0);
  CHECK(mp_shm_queue_size(q) == 0);
  let_go();
}

/* 1 may have gone with its reader; 2 may not. */
static void after_get(void) {
  mp_shm_sweep();
  uint64_t n = t_get_number(q, now);
  CHECK(n == 1 || n == 2);
  if (n == 1) CHECK(t_get_number(q, now) == 2);
  t_put_number(q, 3, size);
  CHECK(t_get_number(q, now) == 3);
  CHECK(t_get_number(q, now) == 0);
  let_go();
}

/* --- handles --- */

static void with_carried(void) {
  with_small();
  carried = t_queue(0, &carried_h);
}

static void carried_on_transit(void) {
  with_carried();
  CHECK(t_put(q, "handle", 6, &carried_h, 1) == 0);
  mp_shm_object_unuse(carried_h);
}

static void carried_in_large(void) {
  static char bytes[BIG];
  with_carried();
  CHECK(t_put(q, bytes, BIG, &carried_h, 1) == 0);
  mp_shm_object_unuse(carried_h);
}

static void put_handle(void *arg) {
  (void)arg;
  CHECK(t_put(q, "handle", 6, &carried_h, 1) == 0);
}

static void get_handle(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_shm_object_use(g.handles[0], MP_TYPE_QUEUE, &now) == 0);
  mp_shm_queue_done(&g);
}

/* The carried object lives exactly while the message is there. */
static void after_handle(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  mp_shm_sweep();
  if (mp_shm_queue_get(q, buf, &g, &now) == 0) {
    CHECK(g.nhandles == 1 && g.handles[0] == carried_h);
    CHECK(mp_shm_object_block(carried_h, MP_TYPE_QUEUE));
    mp_shm_queue_done(&g);
  }
  CHECK(!mp_shm_object_block(carried_h, MP_TYPE_QUEUE));
  size = SMALL;
  t_put_number(q, 7, SMALL);
  CHECK(t_get_number(q, now) == 7);
  let_go();
}

static void after_put_handle(void) {
  mp_shm_object_unuse(carried_h);
  after_handle();
}

/* --- birth and death --- */

static void nothing(void) { size = SMALL, t_prepare(1, size); }

static void make_and_use(void *arg) {
  (void)arg;
  new_queue();
  t_put_prepared(q, SMALL);
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

/* A queue of messages of all kinds, with an object that only a message holds. The child is its last holder. */
static void full_queue(void) {
  mp_shm_handle inner;
  with_small();
  mp_shm_queue *in = t_queue(0, &inner);
  t_put_number(in, 5, BIG);
  t_put_number(q, 1, SMALL);
  CHECK(t_put(q, "handle", 6, &inner, 1) == 0);
  mp_shm_object_unuse(inner);
  t_put_number(q, 2, BIG);
  mp_shm_queue_inline_max = MP_INLINE_MAX; /* a few records fill three segments */
  for (uint64_t i = 3; i < 8; i++) t_put_number(q, i, MP_INLINE_MAX / 8 * 8);
  mp_shm_queue_inline_max = SMALL;
}

static void drop(void *arg) { (void)arg, mp_shm_object_unuse(qh); }
static void let_go_here(void) { mp_shm_object_unuse(qh); }

static void close_it(void *arg) {
  (void)arg;
  CHECK(mp_shm_queue_close(q, &t_soon) == 0);
}

static void after_close(void) {
  mp_shm_sweep();
  CHECK(t_get_number(q, now) == 1);
  CHECK(t_get_number(q, now) == 2);
  CHECK(mp_shm_queue_close(q, &t_soon) == 0);
  let_go();
}

/* --- processes --- */

static void reserve_and_undo(void *arg) {
  mp_shm_proc_ref ref;
  (void)arg;
  CHECK(mp_shm_proc_reserve(&ref) == 0);
  mp_shm_proc_unreserve(ref);
}

/* --- the last holder of both dies while it puts one into the other --- */

static void put_big_handle(void *arg) {
  static char bytes[BIG];
  (void)arg;
  CHECK(t_put(q, bytes, BIG, &carried_h, 1) == 0);
}

static void let_go_all_here(void) {
  mp_shm_object_unuse(qh);
  mp_shm_object_unuse(carried_h);
}

static void after_last_put(void) { after_nothing(); }

/* --- giving back --- */

static void get_and_return(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_shm_queue_return(q, &g) == 0);
}

/* What a dead reader of a large message leaves behind; then somebody takes it. */
static void returned_big(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  two_big();
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_shm_queue_return(q, &g) == 0);
}

/* --- recovery itself, killed --- */

/* What nobody holds any more is gone. */
static void run_recovery(void *arg) {
  (void)arg;
  mp_shm_sweep();
  if (mp_shm_object_live(qh)) (void)mp_shm_queue_size(q);
}

static const t_op ops[] = {
    {"put inline", with_small, put_one, after_put, NULL, NULL},
    {"put inline into a new segment", before_new, put_one, after_put, NULL, run_recovery},
    {"put inline into the own segment", before_own, put_one, after_put, NULL, run_recovery},
    {"put inline into the spare segment", before_spare, put_one, after_put, NULL, NULL},
    {"put large", with_big, put_one, after_put, NULL, run_recovery},
    {"put with a handle", with_carried, put_handle, after_put_handle, NULL, run_recovery},
    {"put large with a handle", with_carried, put_big_handle, after_put_handle, NULL, NULL},
    {"put large with a handle, last holder", with_carried, put_big_handle, after_last_put, let_go_all_here,
     run_recovery},
    {"get inline", two_small, get_one, after_get, NULL, run_recovery},
    {"get inline, leaving the own segment", before_vacant, get_one, after_get, NULL, run_recovery},
    {"get inline, leaving a segment", before_to_spare, get_one, after_get, NULL, NULL},
    {"get inline, leaving a segment too many", before_free, get_one, after_get, NULL, NULL},
    {"get large", two_big, get_one, after_get, NULL, run_recovery},
    {"get a returned large message", returned_big, get_one, after_get, NULL, NULL},
    {"get with a handle", carried_on_transit, get_handle, after_handle, NULL, NULL},
    {"get a large message with a handle", carried_in_large, get_handle, after_handle, NULL, run_recovery},
    {"return inline", two_small, get_and_return, after_get, NULL, NULL},
    {"return large", two_big, get_and_return, after_get, NULL, NULL},
    {"return with a handle", carried_on_transit, get_and_return, after_handle, NULL, NULL},
    {"make a queue", nothing, make_and_use, after_nothing, NULL, NULL},
    {"drop a full queue", full_queue, drop, after_nothing, let_go_here, NULL},
    {"close", two_small, close_it, after_close, NULL, NULL},
};

static void after_reserve(void) {
  mp_shm_stats s;
  mp_shm_sweep();
  mp_shm_stats_get(&s);
  CHECK(s.objects == 0 && s.chunks == 0);
}

/* Last of all: a reservation cut short is given up after a slice, so the count of processes stays higher for a while. */
static const t_op reserving = {"reserve a process", nothing, reserve_and_undo, after_reserve, NULL, NULL};

static void fork_inside(void *arg) {
  (void)arg;
  if (fork() == 0) _exit(0);
  for (;;) pause();
}

static long run_births(void) {
  long points = 0;
  t_what = "coming up";
  for (long k = t_first();; k += t_stride()) {
    t_deadline(20);
    with_small();
    bool done = t_kill_child_after(k, fork_inside, NULL);
    mp_shm_sweep();
    t_put_number(q, 1, SMALL);
    CHECK(t_get_number(q, now) == 1);
    mp_shm_object_unuse(qh);
    mp_shm_sweep();
    if (done) break;
    points++;
  }
  printf("  %-36s %6ld kill points\n", t_what, points);
  return points;
}

int main(int argc, char **argv) {
  t_start();
  mp_shm_queue_inline_max = SMALL;
  long n = 0, points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : NULL, &n);
  if (argc < 2) points += t_run_op(&reserving) + run_births(), n += 2;
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
