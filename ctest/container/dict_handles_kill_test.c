/* SPDX-License-Identifier: MIT */
/*
 * Values of dictionaries that carry handles: a writer is killed at every instruction. What the dictionary has is alive, and
 * what it lost is gone, whether somebody recovers or the dictionary ends first; and nothing is left.
 */
#include "dict_scenario.h"
#include "shm/container/blob.h"

typedef struct scenario {
  const char *name;
  uint64_t n; /* the key in question; 1 has `first` */
  void (*run)(void *);
  bool ends;  /* run is the dictionary's end */
  bool inner; /* `first` is a dictionary that holds a third */
  bool step;  /* what ends, ends handle by handle, as in portions of the arena lock; there are more of them */
} scenario;

enum { MORE = 3 };

static const scenario *sc;
static mp_shm_handle first, second, third;
static uint32_t whole; /* mp_shm_object_portion as it is */

static mp_shm_handle new_dict(void) {
  const mp_shm_dict_options plain = {0};
  mp_shm_handle h;
  CHECK(mp_shm_dict_new(&plain, &t_soon, &h) == 0);
  return h;
}

/* Puts x into the dictionary `into`, which is another than t_d. */
static void put_into(mp_shm_handle into, mp_shm_handle x) {
  mp_shm_dict *d = t_d;
  t_d = mp_shm_object_block(into, MP_TYPE_DICT);
  t_d->seed = d->seed;
  t_set_handle(1, x);
  t_d = d;
}

static void set_up(void) {
  t_dict();
  first = new_dict();
  second = new_dict();
  third = sc->inner ? new_dict() : 0;
  if (third) put_into(first, third), mp_shm_object_unuse(third);
  t_set_handle(1, first);
  for (uint64_t i = 0; sc->step && i < MORE; i++) t_set_handle(200 + i, i % 2 ? second : first);
  mp_shm_object_unuse(first);
  mp_shm_object_portion = sc->step ? 1 : whole;
}

static void insert(void *arg) {
  (void)arg;
  t_set_handle(sc->n, second);
}
static void delete (void *arg) {
  (void)arg;
  CHECK(t_delete(sc->n) == 1);
}
static void clear(void *arg) {
  (void)arg;
  CHECK(mp_shm_dict_clear(t_d, &t_soon) == 0);
}
static void unuse(void *arg) {
  (void)arg;
  mp_shm_object_unuse(t_h);
}
static void unuse_here(void) { mp_shm_object_unuse(t_h); }

static void after_end(void) {
  mp_shm_object_unuse(second);
  mp_shm_sweep();
  t_nothing_left();
}

static void audit(bool recover) {
  mp_shm_handle x = t_look_handle(sc->n);
  CHECK(x == 0 || x == first || x == second);
  mp_shm_object_unuse(second);
  mp_shm_sweep();
  if (recover) {
    for (uint64_t i = 3000; i < 3005; i++) t_set_integer(i, 1);
    CHECK(t_look_handle(sc->n) == x);
    CHECK(mp_shm_object_live(first) == (sc->n != 1 || x == first));
    CHECK(mp_shm_object_live(second) == (x == second));
  } else if (x) {
    CHECK(mp_shm_object_live(x));
  }
  mp_shm_object_unuse(t_h);
  t_nothing_left();
}

static bool kill_at(long k, bool recover) {
  set_up();
  bool done = t_kill_after(k, sc->run, NULL, sc->ends ? unuse_here : NULL);
  if (sc->ends)
    after_end();
  else
    audit(recover);
  return done;
}

static long run_scenario(const scenario *s, bool recover) {
  long points = 0;
  sc = s;
  t_what = s->name;
  for (long k = t_first(); !kill_at(k, recover); k += t_stride(), points++) t_deadline(60);
  printf("  %-32s %-14s %6ld kill points\n", s->name, s->ends ? "" : recover ? "repaired" : "ended as it is", points);
  return points;
}

/* --- blobs --- */

static const mp_shm_handle *carried;

static void make_blob(void *arg) {
  static char bytes[300];
  const mp_shm_blob_iovec iovec = {bytes, sizeof bytes};
  const mp_shm_blob_source m = {&iovec, 1, sizeof bytes, carried, 1};
  mp_shm_handle h;
  (void)arg;
  CHECK(mp_shm_blob_new(&m, &t_soon, &h) == 0);
  mp_shm_blob *b = mp_shm_object_block(h, MP_TYPE_BLOB);
  CHECK(b->n == sizeof bytes && b->nhandles == 1);
  mp_shm_object_unuse(h);
}
static void before_blob(void) {
  second = new_dict();
  carried = &second;
}
static void after_blob(void) {
  mp_shm_sweep();
  CHECK(mp_shm_object_live(second));
  mp_shm_object_unuse(second);
  t_nothing_left();
}

int main(void) {
  static const scenario scenarios[] = {
      {"insert a handle", 99, insert, false, false, false},
      {"replace a handle by another", 1, insert, false, false, false},
      {"delete a handle", 1, delete, false, false, false},
      {"clear one with a handle", 1, clear, false, false, false},
      {"replace a dictionary in it", 1, insert, false, true, false},
  };
  static const scenario ends[] = {
      {"last use of one with handles", 1, unuse, true, false, false},
      {"last use of dictionaries in it", 1, unuse, true, true, false},
      {"last use, in portions", 1, unuse, true, true, true},
  };
  static const t_op blob = {"a blob with a handle", before_blob, make_blob, after_blob, NULL, NULL};
  long points = 0;
  t_start();
  whole = mp_shm_object_portion;
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
    points += run_scenario(&scenarios[i], true) + run_scenario(&scenarios[i], false);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) points += run_scenario(&ends[i], false);
  points += t_run_op(&blob);
  printf("ok %ld\n", points);
  return 0;
}
