/* SPDX-License-Identifier: MIT */
/*
 * Two processes on one queue: one stands still between two instructions of its operation, each in turn, while the other
 * does all of its own; then the first goes on. Every message must have been taken once or be there still, in order.
 * Neither waits: who finds a lock taken gives up, and has done nothing. MP_STRIDE=n tries every nth instruction.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "interleaving.h"

#define SMALL 64
#define BIG 96    /* a large message here */
#define NUMBERS 8 /* messages are 1..NUMBERS */
#define FIRST_OF_FIRST                                                                                                 \
  3 /* what the one that stands still puts; 1 and 2 may be there before; the other puts from 5 on */
#define FIRST_OF_OTHER 5

typedef struct told { /* by either side: in memory that mproc knows nothing of */
  _Atomic uint32_t put[NUMBERS + 1], taken[NUMBERS + 1];
} told;

static told *t;
static mp_shm_queue *q;
static mp_shm_handle qh;
static size_t size;
static uint64_t next_number;
static const mp_shm_wait now = {0, NULL, NULL};

/* --- operations of either side --- */

static int put_number(uint64_t number) {
  static uint64_t bytes[BIG / 8];
  bytes[0] = number;
  mp_shm_iovec iovec = {bytes, size};
  mp_shm_outgoing m = {&iovec, 1, size, NULL, 0};
  int err = mp_shm_queue_put(q, &m, &now);
  CHECK(err == 0 || err == -ETIMEDOUT || err == -EPIPE);
  if (!err) t->put[number]++;
  return err;
}

static void took(int err, mp_shm_incoming *g) {
  CHECK(err == 0 || err == -ETIMEDOUT || err == -EPIPE);
  if (err) return;
  uint64_t number = *(const uint64_t *)g->data;
  CHECK(g->len == size && number >= 1 && number <= NUMBERS);
  t->taken[number]++;
  mp_shm_queue_done(g);
}

static void take(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  took(mp_shm_queue_get(q, buf, &g, &now), &g);
}

static void lease(void) {
  mp_shm_incoming g;
  took(mp_shm_queue_lease(q, &g, &now), &g);
}

static bool is_whole(void *arg, const void *data, size_t len) {
  (void)arg, (void)data;
  return len == size;
}

static void take_if_whole(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  static const mp_shm_queue_test whole = {is_whole, NULL};
  mp_shm_incoming g;
  took(mp_shm_queue_get_if(q, buf, &g, &whole, &now), &g);
}

static void give_back(void) {
  mp_shm_incoming g;
  if (mp_shm_queue_lease(q, &g, &now) == 0) mp_shm_lease_give_back(&g);
}

static void close_it(void) { (void)mp_shm_queue_close(q, &now); }
static void look(void) {
  CHECK(mp_shm_queue_size(q) <= NUMBERS);
  (void)mp_shm_queue_ready(q);
}
static void put_two(void) {
  if (put_number(next_number++) == 0) (void)put_number(next_number++);
}

static void first_takes(void *arg) { (void)arg, take(); }
static void first_leases(void *arg) { (void)arg, lease(); }
static void first_takes_if(void *arg) { (void)arg, take_if_whole(); }
static void first_puts(void *arg) { (void)arg, (void)put_number(FIRST_OF_FIRST); }
static void first_looks(void *arg) { (void)arg, look(); }
static void first_closes(void *arg) { (void)arg, close_it(); }
static void first_gives_back(void *arg) { (void)arg, give_back(); }

/* --- what stands before --- */

static void fresh_of(size_t bytes, uint64_t maxsize) {
  memset(t, 0, sizeof *t);
  next_number = FIRST_OF_OTHER;
  q = t_queue(maxsize, &qh);
  size = bytes;
}

static void fresh(void) { fresh_of(SMALL, 0); }
static void fresh_big(void) { fresh_of(BIG, 0); }
static void bounded(void) { fresh_of(SMALL, 2); }
static void two(void) { fresh(), (void)put_number(1), (void)put_number(2); }
static void two_big(void) { fresh_big(), (void)put_number(1), (void)put_number(2); }
static void two_bounded(void) { bounded(), (void)put_number(1), (void)put_number(2); }

/* Empty, and what is put next lies in another segment. */
static void at_segment_end(void) {
  fresh();
  t_turn_segments(q, SMALL, 1);
}

/* The first of them ends its segment. */
static void two_across_segments(void) {
  fresh();
  t_get_numbers(q, t_fill_segment(q, SMALL, 1));
  (void)put_number(1), (void)put_number(2);
}

/* --- the audit --- */

static void drain(void) {
  uint64_t left = mp_shm_queue_size(q), found = 0, last = 0;
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  while (mp_shm_queue_get(q, buf, &g, &now) == 0) {
    uint64_t number = *(const uint64_t *)g.data;
    CHECK(number >= 1 && number <= NUMBERS);
    bool of_other = number >= FIRST_OF_OTHER, last_of_other = last >= FIRST_OF_OTHER;
    CHECK(number > last || of_other != last_of_other); /* in order, but the two sides' own puts may mix */
    last = number, found++;
    t->taken[number]++;
    mp_shm_queue_done(&g);
  }
  CHECK(found == left);
}

static void audit(void) {
  drain();
  for (int i = 1; i <= NUMBERS; i++) CHECK(t->put[i] <= 1 && t->taken[i] == t->put[i]);
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

#define SCENE(name, before, first, other)                                                                              \
  { name, before, first, other, audit }

static const t_interleaving scenarios[] = {
    SCENE("get, while the first messages are put", fresh, first_takes, put_two),
    SCENE("lease, while the first messages are put", fresh, first_leases, put_two),
    SCENE("get if, while the first messages are put", fresh, first_takes_if, put_two),
    SCENE("get, while the first extents are put", fresh_big, first_takes, put_two),
    SCENE("get, while a segment is begun", at_segment_end, first_takes, put_two),
    SCENE("lease, while a segment is begun", at_segment_end, first_leases, put_two),
    SCENE("look, while the first messages are put", fresh, first_looks, put_two),
    SCENE("look, while a message is taken", two_across_segments, first_looks, take),
    SCENE("put the first one, while another does", fresh, first_puts, put_two),
    SCENE("put the first one, while somebody takes", fresh, first_puts, take),
    SCENE("put the first one, while it is closed", fresh, first_puts, close_it),
    SCENE("put, beginning a segment, while others do", at_segment_end, first_puts, put_two),
    SCENE("put, beginning a segment, while some take", at_segment_end, first_puts, take),
    SCENE("put a large message, while somebody takes", two_big, first_puts, take),
    SCENE("put into a full queue, while somebody takes", two_bounded, first_puts, take),
    SCENE("get, while another does", two, first_takes, take),
    SCENE("get, while another does, across segments", two_across_segments, first_takes, take),
    SCENE("get, while another leases, across segments", two_across_segments, first_takes, lease),
    SCENE("get a large message, while another does", two_big, first_takes, take),
    SCENE("get from a full queue, while others put", two_bounded, first_takes, put_two),
    SCENE("lease, while another gets", two, first_leases, take),
    SCENE("lease and give back, while another gets", two, first_gives_back, take),
    SCENE("lease a large message and give it back, meanwhile", two_big, first_gives_back, take),
    SCENE("lease and give back, while others put", two, first_gives_back, put_two),
    SCENE("close, while others put", fresh, first_closes, put_two),
    SCENE("close, while somebody takes", two, first_closes, take),
};

int main(void) {
  t_start();
  t = t_shared(sizeof *t);
  mp_shm_queue_inline_max = SMALL + 16;
  t_run_interleavings(scenarios, sizeof scenarios / sizeof *scenarios);
  return 0;
}
