/* SPDX-License-Identifier: MIT */
/*
 * A writer of a dictionary is stopped, and then killed, at every instruction of each operation. While it stands still a
 * reader finds all other keys, and the one in question as it was or as it will be, without waiting; after the death the same
 * again before anybody recovers; then a survivor writes, counts, walks, fills, empties and lets go, and nothing is left.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include "dict_scenario.h"

typedef struct scenario {
  const char *name;
  unsigned fill; /* keys 1..fill have texts of version 0 */
  uint64_t n;    /* the key in question */
  void (*prepare)(void);
  void (*run)(void *);
  int before, after; /* what t_look(n) may say */
  long stride;
} scenario;

static const scenario *sc;
static unsigned filled;
static long states[2];

static void others(void) {
  for (uint64_t i = 1; i <= filled; i++)
    if (i != sc->n) CHECK(t_look(i) == 1);
}

static void count_all(void) { CHECK(t_walk() == filled - (sc->n >= 1 && sc->n <= filled) + (t_look(sc->n) != 0)); }

static void set_up(void) {
  t_dict();
  for (unsigned i = 1; i <= sc->fill; i++) t_set_text(i, 0);
  filled = sc->fill;
  if (sc->prepare) sc->prepare();
}

static void set_prepared(void *arg) {
  (void)arg;
  t_set_prepared();
}

static void go_on(void) {
  t_set_text(sc->n, 2); /* the first to lock */
  CHECK(t_look(sc->n) == 3);
  others();
  count_all();
  mp_shm_dict_split_at = UINT32_MAX;
  for (uint64_t i = 4000; i < 4100; i++) t_set_text(i, 0);
  for (uint64_t i = 4000; i < 4100; i++) CHECK(t_look(i) == 1 && t_delete(i) == 1);
  others();
  count_all();
  mp_shm_object_unuse(t_h);
  t_nothing_left();
}

/* True when the operation had ended before. */
static bool kill_at(long k) {
  t_point = k;
  set_up();
  t_prepare_text(sc->n, 1);
  pid_t pid = t_trace(sc->run, NULL);
  bool done = t_step(pid, k);
  int r = t_look(sc->n);
  CHECK(r == sc->before || r == sc->after);
  others();
  t_end(pid);
  CHECK(t_look(sc->n) == r);
  others();
  states[r == sc->after]++;
  if (done) CHECK(r == sc->after);
  mp_shm_sweep();
  CHECK(t_look(sc->n) == r);
  go_on();
  return done;
}

static long run_scenario(const scenario *s) {
  long points = 0;
  sc = s;
  t_what = s->name;
  states[0] = states[1] = t_reads = 0;
  for (long k = t_first(); !kill_at(k); k += s->stride * t_stride(), points++) t_deadline(60);
  printf("  %-30s (%ld before, %ld after, %ld reads) %6ld kill points\n", s->name, states[0], states[1], t_reads,
         points);
  return points;
}

/* --- just after a new table is in place: windows that a stride would step over --- */

enum { WINDOW = 80, FINE = 5, COARSE = 8 };

/* Whether this run is a sample; one of every few instructions is none yet. */
static bool samples(void) { return t_stride() > FINE; }

/* How many instructions until the table of that stripe is another. */
static long steps_to_table(mp_shm_stripe *s) {
  long n = 0;
  uint64_t w = s->table;
  t_prepare_text(sc->n, 1);
  pid_t pid = t_trace(sc->run, NULL);
  while (s->table == w && !t_step(pid, 1)) n++;
  CHECK(s->table != w);
  t_end(pid);
  mp_shm_sweep();
  return n;
}

static long run_window(const scenario *s) {
  long points = 0;
  sc = s;
  t_what = s->name;
  t_deadline(60);
  set_up();
  long first = steps_to_table(&t_d->first);
  go_on();
  long stride = samples() ? COARSE : 1;
  for (long k = first + t_first() % stride; k < first + WINDOW && !kill_at(k); k += stride, points++) t_deadline(60);
  printf("  the new table of %-19s %6ld kill points\n", s->name, points);
  return points;
}

/* --- the second death: of the one that recovers --- */

/* 1: a point; 0: the recovery had ended before; -1: the operation had. */
static int kill_both(long j, long k) {
  t_what = sc->name;
  set_up();
  t_prepare_text(sc->n, 1);
  bool over = t_kill_after(j, sc->run, NULL, NULL);
  int r = t_look(sc->n);
  CHECK(r == sc->before || r == sc->after);
  t_what = "recovery";
  t_prepare_text(sc->n, 2);
  bool done = over || t_kill_after(k, set_prepared, NULL, NULL);
  r = t_look(sc->n);
  CHECK(r == 3 || r == sc->before || r == sc->after);
  others();
  mp_shm_sweep();
  go_on();
  return over ? -1 : !done;
}

static long run_recovery(const scenario *s) {
  long points = 0;
  int r = 1;
  sc = s;
  for (long j = t_first(); r >= 0; j += 29 * s->stride * t_stride()) {
    t_deadline(60);
    for (long k = t_first(); (r = kill_both(j, k)) > 0; k += 11 * s->stride * t_stride()) points++;
  }
  printf("  recovery of %-24s %6ld kill points\n", s->name, points);
  return points;
}

/* --- operations --- */

static void set_integer(void *arg) {
  (void)arg;
  t_set_integer(sc->n, 8);
}
static void add(void *arg) {
  const mp_shm_item one = {.type = MP_ITEM_INTEGER, .word = 1}, zero = {.type = MP_ITEM_INTEGER};
  mp_shm_item sum;
  uint64_t n = sc->n;
  mp_shm_key k = t_key(&n);
  (void)arg;
  CHECK(mp_shm_dict_add(t_d, &k, &one, &zero, &sum, &t_soon) == 0);
}
static void delete (void *arg) {
  (void)arg;
  CHECK(t_delete(sc->n) == 1);
}
static void clear(void *arg) {
  (void)arg;
  CHECK(mp_shm_dict_clear(t_d, &t_soon) == 0);
}
static void with_integer(void) { t_set_integer(sc->n, 7); }
static void with_full_table(void) { t_fill_table(&filled); }
static void with_drained_table(void) { t_drain_table(&filled); }
static void with_split_due(void) { mp_shm_dict_split_at = sc->fill; }
static void with_split_done(void) {
  mp_shm_dict_split_at = 2;
  t_set_text(sc->n, 0);
  CHECK(t_d->mask);
}

int main(void) {
  static const scenario scenarios[] = {
      {"insert", 5, 99, NULL, set_prepared, 0, 2, 1},
      {"insert the first", 0, 99, NULL, set_prepared, 0, 2, 1},
      {"replace", 5, 3, NULL, set_prepared, 1, 2, 1},
      {"a number in place", 5, 99, with_integer, set_integer, 107, 108, 1},
      {"add", 5, 99, with_integer, add, 107, 108, 1},
      {"add to what is absent", 5, 99, NULL, add, 0, 101, 1},
      {"delete", 5, 3, NULL, delete, 1, 0, 1},
      {"delete the last", 1, 1, NULL, delete, 1, 0, 1},
      {"clear one", 1, 1, NULL, clear, 1, 0, 1},
      {"insert, a chunk for a table", 5, 3999, with_full_table, set_prepared, 0, 2, 7},
      {"insert, a larger chunk", 24, 3999, with_full_table, set_prepared, 0, 2, 7},
      {"replace, a larger chunk", 24, 3, with_full_table, set_prepared, 1, 2, 7},
      {"delete, a smaller chunk", 60, 3, with_drained_table, delete, 1, 0, 7},
      {"insert that splits", 12, 3999, with_split_due, set_prepared, 0, 2, 61},
      {"replace in one of many stripes", 6, 3, with_split_done, set_prepared, 1, 2, 1},
  };
  static const int recovered[] = {0, 2, 6, 7, 9, 12};
  long points = 0;
  t_start();
  points += run_window(&scenarios[10]) + run_window(&scenarios[12]);
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) points += run_scenario(&scenarios[i]);
  for (size_t i = 0; i < sizeof recovered / sizeof *recovered; i++) points += run_recovery(&scenarios[recovered[i]]);
  printf("ok %ld\n", points);
  return 0;
}
