/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of a put and of a get of several messages, and a survivor at those of the
 * recovery: messages come and go in stretches, each by one store, in their order; none is lost but with its reader.
 * MP_STRIDE and MP_OFFSET: as in killpoints_test.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "shm/queue/joinable.h"

#define SMALL 64
#define BIG 96 /* a large message here */
#define COUNT 5
#define MOST 8
#define SALT 1000003u

static mp_shm_queue *q;
static mp_shm_handle qh, carried_h;
static const mp_shm_wait now = {0, NULL, NULL};
static unsigned allowed; /* bit k: that k messages were put, or taken, is as it must be */

/* --- a batch --- */

static uint64_t bytes[COUNT][BIG / 8];
static mp_shm_iovec iovecs[COUNT];
static mp_shm_outgoing batch[COUNT];

/* Messages 1 to COUNT; the one in the middle has that size and handle. */
static void make_batch(size_t middle, const mp_shm_handle *handle) {
  for (unsigned i = 0; i < COUNT; i++) {
    size_t n = i == COUNT / 2 ? middle : SMALL;
    for (size_t k = 0; k < n / 8; k++) bytes[i][k] = (i + 1) * (uint64_t)SALT + k;
    bytes[i][0] = i + 1;
    iovecs[i] = (mp_shm_iovec){bytes[i], n};
    batch[i] = (mp_shm_outgoing){&iovecs[i], 1, n, handle, handle && i == COUNT / 2};
  }
}

static uint64_t number_of(const mp_shm_incoming *g) {
  const uint64_t *p = g->data;
  for (size_t i = 1; i < g->len / 8; i++) CHECK(p[i] == p[0] * SALT + i);
  return p[0];
}

/* --- before --- */

static void new_queue(void) {
  q = t_queue(0, &qh);
  make_batch(SMALL, NULL);
  carried_h = 0;
  allowed = 1u << 0 | 1u << COUNT;
}

static void with_large(void) {
  new_queue();
  make_batch(BIG, NULL);
  allowed |= 1u << 2 | 1u << 3;
}

static void with_handle(void) {
  new_queue();
  t_queue(0, &carried_h);
  make_batch(SMALL, &carried_h);
  allowed |= 1u << 2 | 1u << 3;
}

static void with_large_handle(void) {
  with_handle();
  make_batch(BIG, &carried_h);
}

/* Three fit. */
static void at_segments_end(void) {
  new_queue();
  t_get_numbers(q, t_fill_segment(q, SMALL, 3));
  allowed |= 1u << 3;
}

static void put_batch(void *arg) {
  size_t done;
  (void)arg;
  CHECK(mp_shm_queue_put_many(q, batch, COUNT, &done, &t_soon) == 0 && done == COUNT);
}

static void plain(void) { new_queue(), put_batch(NULL); }
static void large(void) { with_large(), put_batch(NULL); }
static void handle(void) { with_handle(), put_batch(NULL), mp_shm_object_unuse(carried_h); }
static void over_segments(void) { at_segments_end(), put_batch(NULL); }

static void joinable(void) {
  CHECK(mp_shm_queue_new(0, MP_QUEUE_JOINABLE, &t_soon, &qh) == 0);
  q = mp_shm_object_block(qh, MP_TYPE_QUEUE);
  make_batch(SMALL, NULL);
  put_batch(NULL);
  allowed = 1u << 0 | 1u << COUNT;
}

/* --- run --- */

static char *room(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  return buf;
}

/* One call, and its messages. */
static unsigned take(unsigned expected) {
  mp_shm_incoming g;
  unsigned n = 1;
  CHECK(mp_shm_queue_get_many(q, room(), MOST, &g, &now) == 0);
  CHECK(number_of(&g) == expected);
  for (mp_shm_queue_done(&g); g.more; n++) {
    mp_shm_incoming_next(&g);
    CHECK(number_of(&g) == expected + n);
    mp_shm_queue_done(&g);
  }
  return n;
}

static void take_all(void *arg) {
  (void)arg;
  for (unsigned n = 0; n < COUNT;) n += take(n + 1);
}

static void take_and_return(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get_many(q, room(), MOST, &g, &now) == 0 && g.more == COUNT - 1);
  for (mp_shm_queue_done(&g); g.more;) {
    mp_shm_incoming_next(&g);
    CHECK(mp_shm_queue_return(q, &g) == 0);
  }
}

/* --- after --- */

/* The numbers of what is there, in their order; a handle is there with its message, and only then. */
static unsigned drain(uint64_t *numbers) {
  mp_shm_incoming g;
  unsigned n = 0;
  mp_shm_sweep();
  while (mp_shm_queue_get(q, room(), &g, &now) == 0) {
    CHECK(n < MOST);
    numbers[n++] = number_of(&g);
    CHECK(g.nhandles == (carried_h && numbers[n - 1] == COUNT / 2 + 1));
    CHECK(!g.nhandles || (g.handles[0] == carried_h && mp_shm_object_live(carried_h)));
    mp_shm_queue_done(&g);
  }
  return n;
}

static void works_and_goes(void) {
  CHECK(mp_shm_queue_size(q) == 0);
  put_batch(NULL);
  take_all(NULL);
  CHECK(mp_shm_queue_size(q) == 0);
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

/* Put was what comes before something. */
static void after_put(void) {
  uint64_t numbers[MOST];
  if (carried_h) mp_shm_object_unuse(carried_h);
  unsigned n = drain(numbers);
  CHECK(allowed >> n & 1);
  for (unsigned i = 0; i < n; i++) CHECK(numbers[i] == i + 1);
  CHECK(!carried_h || !mp_shm_object_live(carried_h));
  make_batch(SMALL, NULL);
  works_and_goes();
}

/* What comes behind something is there. A large one comes back when its reader had not ended it. */
static void after_take(void) {
  uint64_t numbers[MOST];
  unsigned n = drain(numbers);
  CHECK(allowed >> (COUNT - n) & 1);
  for (unsigned i = 0; i < n; i++) CHECK(numbers[i] == COUNT - n + i + 1);
  CHECK(!carried_h || !mp_shm_object_live(carried_h));
  make_batch(SMALL, NULL);
  works_and_goes();
}

/* What was not given back has gone with its reader. */
static void after_return(void) {
  uint64_t numbers[MOST];
  unsigned n = drain(numbers);
  for (unsigned i = 1; i < n; i++) CHECK(numbers[i] > numbers[i - 1]);
  works_and_goes();
}

/* Tasks that were taken and not done are given up, and join says so; those that are there are not done. */
static void after_joinable(void) {
  uint64_t left = mp_shm_queue_size(q);
  mp_shm_sweep();
  CHECK(allowed >> left & 1);
  CHECK(mp_shm_joinable_unfinished(q) == left);
  CHECK(mp_shm_joinable_join(q, &now) == (left ? -ETIMEDOUT : MP_ABANDONED));
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

static void run_recovery(void *arg) {
  (void)arg;
  mp_shm_sweep();
  (void)mp_shm_queue_size(q);
}

static const t_op ops[] = {
    {"put many", new_queue, put_batch, after_put, NULL, run_recovery},
    {"put many over two segments", at_segments_end, put_batch, after_put, NULL, run_recovery},
    {"put many, one large", with_large, put_batch, after_put, NULL, run_recovery},
    {"put many, one with a handle", with_handle, put_batch, after_put, NULL, NULL},
    {"put many, one large with a handle", with_large_handle, put_batch, after_put, NULL, NULL},
    {"get many", plain, take_all, after_take, NULL, run_recovery},
    {"get many over two segments", over_segments, take_all, after_take, NULL, run_recovery},
    {"get many, one large", large, take_all, after_take, NULL, NULL},
    {"get many, one with a handle", handle, take_all, after_take, NULL, NULL},
    {"get many of a joinable queue", joinable, take_all, after_joinable, NULL, NULL},
    {"get many and return", plain, take_and_return, after_return, NULL, NULL},
};

int main(int argc, char **argv) {
  t_start();
  mp_shm_queue_inline_max = SMALL + 8;
  long n = 0, points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : NULL, &n);
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
