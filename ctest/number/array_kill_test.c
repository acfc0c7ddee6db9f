/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of each operation on shared numbers: every element is as before or as after,
 * none beside it has changed, the lock goes on, and when all is let go nothing is left in the arena.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "shm/number/array.h"

#define LENGTH 24
#define LONG (UINT64_C(1) << 17)  /* of 8 bytes: long enough for its pages to be given back instead of cleared */
#define HEAVY (UINT64_C(3) << 20) /* of 8 bytes: too long to be freed under the arena lock */
#define THINNER 5
#define OLD 5
#define NEW 55

static mp_shm_array *a;
static mp_shm_handle h;
static unsigned type;
static uint64_t list[LENGTH]; /* NEW, in elements of that type */
static bool references;       /* this process holds the lock */
static const mp_shm_wait now = {0, NULL, NULL};

static mp_shm_handle lock_handle(void) { return mp_shm_handle_with_part(h, MP_PART_LOCK); }

static uint64_t bits(int64_t n) {
  uint64_t b;
  CHECK(mp_shm_number_encode(type, mp_shm_number_whole(n), &b) == 0);
  return b;
}

static int64_t number(uint64_t i) {
  mp_shm_number n = mp_shm_number_decode(type, mp_shm_elements_get(&a->elements, i));
  return n.is == MP_IS_REAL ? (int64_t)n.real : n.whole;
}

/* --- before --- */

static void with_type(unsigned t) {
  type = t;
  CHECK(mp_shm_array_new(t, MP_ARRAY_LIST, LENGTH, &t_soon, &h) == 0);
  a = mp_shm_object_block(h, MP_TYPE_ARRAY);
  for (uint64_t i = 0; i < LENGTH; i++) CHECK(number(i) == 0);
  mp_shm_elements_fill(&a->elements, bits(OLD));
  for (uint64_t i = 0; i < LENGTH; i++) mp_shm_element_store(list, a->elements.shift, i, bits(NEW), __ATOMIC_RELAXED);
}

static void with_bytes(void) { with_type(MP_INT8); }
static void with_shorts(void) { with_type(MP_UINT16); }
static void with_floats(void) { with_type(MP_FLOAT); }
static void with_integers(void) { with_type(MP_INTEGER); }
static void with_numbers(void) { with_type(MP_NUMBER); }

static void take_lock(void) {
  int r = mp_shm_mutex_acquire(&a->lock, lock_handle(), &t_soon);
  CHECK(r == MP_LOCKED || r == MP_ABANDONED);
}

static void drop_lock(void) { mp_shm_mutex_release(&a->lock, lock_handle()); }

static void with_lock_held(void) {
  with_integers();
  take_lock();
  references = true;
}

static void die_with_lock(void *arg) {
  (void)arg;
  take_lock();
}

static void with_abandoned_lock(void) {
  long point = t_point;
  with_integers();
  CHECK(t_kill_after(1L << 40, die_with_lock, NULL, NULL));
  t_point = point;
}

static void with_heavy(void) {
  type = MP_INTEGER;
  CHECK(mp_shm_array_new(type, MP_ARRAY_LIST, HEAVY, &t_soon, &h) == 0);
  a = mp_shm_object_block(h, MP_TYPE_ARRAY);
  mp_shm_elements_set(&a->elements, HEAVY - 1, 1);
}

static void nothing(void) {
  type = MP_INTEGER;
  h = 0;
}

/* --- what is killed --- */

static void store_one(void *arg) { (void)arg, mp_shm_elements_set(&a->elements, 3, bits(NEW)); }

static void add_one(void *arg) {
  uint64_t was, sum;
  (void)arg;
  CHECK(mp_shm_elements_add(&a->elements, 3, mp_shm_number_whole(NEW - OLD), &was, &sum) == 0);
}

static void add_wrapping(void *arg) { (void)arg, mp_shm_elements_add64(&a->elements, 3, NEW - OLD); }
static void exchange_one(void *arg) { (void)arg, mp_shm_elements_exchange(&a->elements, 3, bits(NEW)); }

static void compare_exchange_one(void *arg) {
  uint64_t old = bits(OLD);
  (void)arg;
  mp_shm_elements_compare_exchange(&a->elements, 3, &old, bits(NEW));
}

static void fill_all(void *arg) { (void)arg, mp_shm_elements_fill(&a->elements, bits(NEW)); }

static void copy_all(void *arg) { (void)arg, mp_shm_elements_copy_in(&a->elements, 0, list, LENGTH); }

/* What v:update(f) does. */
static void update_one(void *arg) {
  (void)arg;
  take_lock();
  uint64_t old = mp_shm_elements_get(&a->elements, 3);
  mp_shm_elements_replace(&a->elements, 3, &old, bits(NEW));
  drop_lock();
}

static void lock_in_vain(void *arg) {
  (void)arg;
  CHECK(mp_shm_mutex_acquire(&a->lock, lock_handle(), &now) == -ETIMEDOUT);
}

static void make(uint64_t n) {
  CHECK(mp_shm_array_new(MP_INTEGER, MP_ARRAY_LIST, n, &t_soon, &h) == 0);
  a = mp_shm_object_block(h, MP_TYPE_ARRAY);
  CHECK(a->elements.n == n && mp_shm_elements_get(&a->elements, 0) == 0 &&
        mp_shm_elements_get(&a->elements, n - 1) == 0);
  mp_shm_elements_set(&a->elements, n - 1, 1);
}

static void make_and_drop(void *arg) { (void)arg, make(LENGTH), mp_shm_object_unuse(h); }
static void make_and_drop_long(void *arg) { (void)arg, make(LONG), mp_shm_object_unuse(h); }
static void drop(void *arg) { (void)arg, mp_shm_object_unuse(h); }

static void drop_with_lock_held(void *arg) {
  (void)arg;
  take_lock();
  mp_shm_object_unuse(h);
  drop_lock();
}

/* --- after --- */

static void let_go(void) {
  if (references) drop_lock();
  references = false;
  mp_shm_object_unuse(h);
  t_nothing_left();
}

/* The lock is free or abandoned, at once. */
static void lock_works(void) {
  if (references) return;
  int r = mp_shm_mutex_acquire(&a->lock, lock_handle(), &now);
  CHECK(r == MP_LOCKED || r == MP_ABANDONED);
  drop_lock();
  CHECK(mp_shm_mutex_acquire(&a->lock, lock_handle(), &now) == MP_LOCKED);
  drop_lock();
}

static void after_one(void) {
  for (uint64_t i = 0; i < LENGTH; i++) CHECK(number(i) == OLD || (i == 3 && number(i) == NEW));
  lock_works();
  add_one(NULL);
  CHECK(number(3) == NEW || number(3) == NEW + NEW - OLD);
  let_go();
}

/* In turn: what is new comes first. */
static void after_all(void) {
  uint64_t i = 0;
  while (i < LENGTH && number(i) == NEW) i++;
  for (; i < LENGTH; i++) CHECK(number(i) == OLD);
  let_go();
}

/* A block of single bytes is copied as the C library likes. */
static void after_all_bytes(void) {
  for (uint64_t i = 0; i < LENGTH; i++) CHECK(number(i) == OLD || number(i) == NEW);
  let_go();
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

/* What the next one gets is zeroed, whatever the killed one had written. */
static void after_making(void) {
  mp_shm_sweep();
  make(LONG);
  mp_shm_object_unuse(h);
  make(LENGTH);
  mp_shm_object_unuse(h);
  t_nothing_left();
}

static void let_go_here(void) { mp_shm_object_unuse(h); }

/* Runs before the first step: the one that is killed finds another value than at its fork. */
static void change_here(void) {
  mp_shm_elements_set(&a->elements, 3, bits(OLD + 1));
  mp_shm_elements_set(&a->elements, 3, bits(OLD));
}

static void release_here(void) {
  drop_lock();
  references = false;
}

static const t_op ops[] = {
    {"store of 1 byte", with_bytes, store_one, after_one, NULL, NULL},
    {"store of 8 bytes", with_integers, store_one, after_one, NULL, NULL},
    {"add to int8", with_bytes, add_one, after_one, NULL, NULL},
    {"add to uint16", with_shorts, add_one, after_one, change_here, NULL},
    {"add to float", with_floats, add_one, after_one, NULL, NULL},
    {"add to number", with_numbers, add_one, after_one, NULL, NULL},
    {"add to integer", with_integers, add_wrapping, after_one, change_here, NULL},
    {"exchange", with_shorts, exchange_one, after_one, NULL, NULL},
    {"compare_exchange", with_floats, compare_exchange_one, after_one, change_here, NULL},
    {"fill of 4 bytes each", with_floats, fill_all, after_all, NULL, NULL},
    {"fill of 8 bytes each", with_numbers, fill_all, after_all, NULL, NULL},
    {"copy of 1 byte each", with_bytes, copy_all, after_all_bytes, NULL, NULL},
    {"copy of 2 bytes each", with_shorts, copy_all, after_all, NULL, NULL},
    {"copy of 8 bytes each", with_integers, copy_all, after_all, NULL, NULL},
    {"update", with_integers, update_one, after_one, NULL, NULL},
    {"update once the lock is released", with_lock_held, update_one, after_one, release_here, NULL},
    {"update by the last holder", with_integers, update_one, after_nothing, let_go_here, NULL},
    {"lock in vain", with_lock_held, lock_in_vain, after_one, NULL, NULL},
    {"recovery: update after a dead owner", with_abandoned_lock, update_one, after_one, NULL, NULL},
    {"make and drop", nothing, make_and_drop, after_making, NULL, NULL},
    {"drop", with_integers, drop, after_nothing, let_go_here, NULL},
    {"drop a heavy one", with_heavy, drop, after_nothing, let_go_here, NULL},
    {"drop with its lock held", with_integers, drop_with_lock_held, after_nothing, let_go_here, NULL},
};

/* Mostly clearing, byte by byte where the machine does so: its sample is THINNER. Last of all, for it sets the stride. */
static const t_op making_long = {"make and drop a long one", nothing, make_and_drop_long, after_making, NULL, NULL};

static long run_making_long(void) {
  char text[32];
  snprintf(text, sizeof text, "%ld", THINNER * t_stride());
  if (t_stride() > 1) setenv("MP_STRIDE", text, 1);
  return t_run_op(&making_long);
}

/* --- recovery, killed: one dies at point j of dropping a heavy one, the one that cleans up at point k of that --- */

static void sweep(void *arg) { (void)arg, mp_shm_sweep(); }

static long run_sweeps(long j) {
  long points = 0;
  bool over = false, done = false;
  for (long k = t_first(); !over && !done; k += 7 * t_stride()) {
    t_deadline(20);
    with_heavy();
    over = t_kill_after(j, drop, NULL, let_go_here);
    done = over || t_kill_after(k, sweep, NULL, NULL);
    after_nothing();
    points += !done;
  }
  return over ? -1 : points;
}

static long run_recoveries(void) {
  long points = 0, more;
  t_what = "recovery: drop a heavy one";
  for (long j = t_first(); (more = run_sweeps(j)) >= 0; j += 23 * t_stride()) points += more;
  printf("  %-36s %6ld kill points\n", t_what, points);
  return points;
}

int main(int argc, char **argv) {
  t_start();
  long n = 0, points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : NULL, &n);
  if (argc < 2) points += run_recoveries(), points += run_making_long(), n += 2;
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
