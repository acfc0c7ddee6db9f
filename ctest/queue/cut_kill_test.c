/* SPDX-License-Identifier: MIT */
/*
 * How a pool's worker shares a chunk of items that takes long: it puts the rest back as a message of its own, tells the
 * owner, and goes on with what it kept. It is killed at every instruction of that, from the lease to its end; the owner, who
 * takes in all results before it looks at orphans, must be able to account for each item, and finds the rest twice only
 * where the worker died between putting it back and telling so.
 */
#include <string.h>

#include "harness.h"

enum { SMALL = 64, MESSAGE = 64 };
enum { CHUNK = 12, REST = 2, CUT = 100, RESULT = 201 }; /* a chunk of items 1 and 2; item 2 */

static mp_shm_queue *tasks, *results;
static mp_shm_handle tasks_h, results_h;
static const mp_shm_wait now = {0, NULL, NULL};

static void begin(void) {
  CHECK(mp_shm_queue_new(0, MP_QUEUE_REPORTS, &t_soon, &tasks_h) == 0);
  tasks = mp_shm_object_block(tasks_h, MP_TYPE_QUEUE);
  results = t_queue(0, &results_h);
  t_put_number(tasks, CHUNK, MESSAGE);
}

static void run_chunk(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_lease(tasks, &g, &now) == 0);
  t_put_number(tasks, REST, MESSAGE);
  t_put_number(results, CUT, MESSAGE);
  t_put_number(results, RESULT, MESSAGE);
  mp_shm_queue_done(&g);
}

typedef struct account {
  bool waits, rest, cut, result,
      orphan; /* the whole chunk, or its rest, is to be run; what is told; it was a dead one's */
} account;

static bool take_orphan(void) {
  mp_shm_incoming g;
  if (mp_shm_queue_orphan(tasks, &g, &now) != 0) return false;
  CHECK(*(const uint64_t *)g.data == CHUNK);
  mp_shm_queue_done(&g);
  return true;
}

/* As the owner does it: what is told is known before anything is sent again. */
static account take_in(void) {
  account a = {0};
  uint64_t n;
  mp_shm_sweep();
  while ((n = t_get_number(results, now)) != 0) {
    CHECK(n == CUT ? !a.cut && !a.result : n == RESULT && a.cut && !a.result);
    (n == CUT ? &a.cut : &a.result)[0] = true;
  }
  a.orphan = take_orphan();
  while ((n = t_get_number(tasks, now)) != 0) {
    CHECK(n == CHUNK ? !a.waits : n == REST && !a.rest);
    (n == CHUNK ? &a.waits : &a.rest)[0] = true;
  }
  return a;
}

static long twice;

static void after(void) {
  account a = take_in();
  bool again = a.orphan && !a.cut; /* the owner would send the rest of it again */
  CHECK(!a.waits || !(a.rest || a.cut || a.result || a.orphan));
  CHECK(a.waits || a.rest || again);
  CHECK(!a.cut || a.rest);
  CHECK(a.waits || a.result || a.orphan); /* item 1: done, or charged to the dead one */
  twice += a.rest && again;
  mp_shm_object_unuse(tasks_h);
  mp_shm_object_unuse(results_h);
  t_nothing_left();
}

static void recover(void *arg) {
  (void)arg;
  mp_shm_sweep();
  take_orphan();
}

/* An orphan that was being taken comes back; one that had been taken is gone with its taker, the owner. */
static void after_recovery(void) {
  account a = take_in();
  CHECK(!a.cut || a.rest);
  mp_shm_object_unuse(tasks_h);
  mp_shm_object_unuse(results_h);
  t_nothing_left();
}

int main(void) {
  static const t_op op = {"share a chunk", begin, run_chunk, after, NULL, NULL};
  static const t_op recovered = {"share a chunk", begin, run_chunk, after_recovery, NULL, NULL};
  t_start();
  mp_shm_queue_inline_max = SMALL;
  long points = t_run_op(&op);
  printf("  at %ld of them the rest is there twice\n", twice);
  points += t_run_recovery(&recovered, recover);
  printf("%ld kill points\nok 2\n", points);
  return 0;
}
