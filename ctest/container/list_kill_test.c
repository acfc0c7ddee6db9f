/* SPDX-License-Identifier: MIT */
/*
 * A writer of a list is stopped, and then killed, at every instruction of each operation: who reads beside it, and after
 * its death, finds the list as it was or as it will be; then a survivor goes on, and when all is let go nothing is left.
 * Items are texts that tell a number, or, in some scenarios, dictionaries, which must be alive just while they are in it.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <string.h>

#include "harness.h"
#include "shm/container/dict.h"
#include "shm/container/list.h"
#include "shm/container/list_internal.h"

enum { MOST = 64, TEXT = 120, OBJECTS = 4 };

typedef struct state { /* the numbers of the items */
  unsigned n;
  uint64_t item[MOST];
} state;

typedef struct scenario {
  const char *name;
  unsigned fill; /* items 1..fill */
  void (*run)(void *);
  void (*model)(state *s); /* the same on numbers */
  bool objects;            /* items are these */
  bool full;               /* filled further, until the next needs a new table */
} scenario;

static const scenario *sc;
static mp_shm_list *l;
static mp_shm_handle h, objects[OBJECTS + 1]; /* [i]: what item i is */
static state before, after;
static _Alignas(8) char buffer[MP_ITEM_ROOM];
static char texts[MOST + 8][TEXT];

static mp_shm_item item(uint64_t number) {
  if (sc->objects)
    return (mp_shm_item){
        .type = MP_ITEM_MESSAGE, .p = &objects[number], .n = 8, .handles = &objects[number], .nhandles = 1};
  return (mp_shm_item){.type = MP_ITEM_STRING, .p = texts[number], .n = TEXT};
}

/* Once, so that it is not stepped through. */
static void write_texts(void) {
  for (unsigned number = 0; number < MOST + 8; number++)
    for (unsigned i = 0; i < TEXT; i++) texts[number][i] = (char)(number + i);
}

static uint64_t number_of(const mp_shm_item *v) {
  if (sc->objects) {
    for (uint64_t i = 1; i <= OBJECTS; i++)
      if (v->handles[0] == objects[i] && memcmp(v->p, &objects[i], 8) == 0) return i;
    CHECK(!"an object of the test's");
  }
  const unsigned char *s = v->p;
  CHECK(v->type == MP_ITEM_STRING && v->n == TEXT);
  for (unsigned i = 0; i < TEXT; i++) CHECK(s[i] == (unsigned char)(s[0] + i));
  return s[0];
}

static bool is(const state *s) {
  mp_shm_item v;
  if (mp_shm_list_count(l) != s->n || mp_shm_list_get(l, s->n, buffer, &v)) return false;
  for (unsigned i = 0; i < s->n; i++)
    if (!mp_shm_list_get(l, i, buffer, &v) || number_of(&v) != s->item[i]) return false;
  return true;
}

/* --- operations, and what they do to numbers --- */

static void append_one(uint64_t number) {
  mp_shm_item v = item(number);
  CHECK(mp_shm_list_append(l, &v, 1, &t_soon) == 0);
}
static void append(void *arg) {
  (void)arg;
  append_one(sc->objects ? 3 : MOST + 1);
}
static void model_append(state *s) { s->item[s->n++] = sc->objects ? 3 : MOST + 1; }

static void extend(void *arg) {
  const uint64_t from = sc->objects ? 3 : MOST + 1;
  const mp_shm_item two[] = {item(from), item(from + 1)};
  (void)arg;
  CHECK(mp_shm_list_append(l, two, 2, &t_soon) == 0);
}
static void model_extend(state *s) {
  model_append(s);
  s->item[s->n] = s->item[s->n - 1] + 1;
  s->n++;
}

static void set(void *arg) {
  mp_shm_item v = item(3);
  (void)arg;
  CHECK(mp_shm_list_set(l, 1, &v, NULL, &t_soon) == 1);
}
static void model_set(state *s) { s->item[1] = 3; }

static void insert(void *arg) {
  mp_shm_item v = item(3);
  (void)arg;
  CHECK(mp_shm_list_insert(l, 1, &v, &t_soon) == 0);
}
static void model_insert(state *s) {
  memmove(s->item + 2, s->item + 1, (s->n++ - 1) * sizeof *s->item);
  s->item[1] = 3;
}

static void remove_at(uint64_t i) { CHECK(mp_shm_list_remove(l, i, NULL, &t_soon) == 1); }
static void model_remove(state *s, unsigned i) {
  memmove(s->item + i, s->item + i + 1, (--s->n - i) * sizeof *s->item);
}
static void pop(void *arg) { (void)arg, remove_at(MP_LIST_LAST); }
static void model_pop(state *s) { model_remove(s, s->n - 1); }
static void shift(void *arg) { (void)arg, remove_at(0); }
static void model_shift(state *s) { model_remove(s, 0); }
static void remove_inside(void *arg) { (void)arg, remove_at(1); }
static void model_inside(state *s) { model_remove(s, 1); }

static void reverse(void *arg) {
  uint32_t order[MOST];
  (void)arg;
  for (unsigned i = 0; i < before.n; i++) order[i] = before.n - 1 - i;
  CHECK(mp_shm_list_permute(l, order, before.n, l->changes, &t_soon) == 1);
}
static void model_reverse(state *s) {
  for (unsigned i = 0; i < s->n; i++) s->item[i] = before.item[s->n - 1 - i];
}

/* --- one kill --- */

static void make_objects(void) {
  const mp_shm_dict_options plain = {0};
  for (int i = 1; i <= OBJECTS; i++) CHECK(mp_shm_dict_new(&plain, &t_soon, &objects[i]) == 0);
}

static bool is_full(void) {
  uint64_t w = l->stripe.table;
  mp_shm_items all = mp_shm_list_items(l);
  return l->stripe.end + TEXT + sizeof(mp_shm_entry) > mp_shm_table_bytes(all.t) ||
         all.first + all.n == mp_shm_list_slots(w);
}

static void set_up(void) {
  if (sc->objects) make_objects();
  CHECK(mp_shm_list_new(&t_soon, &h) == 0);
  l = mp_shm_object_block(h, MP_TYPE_LIST);
  before.n = 0;
  while (before.n < sc->fill || (sc->full && !is_full())) {
    append_one(before.n + 1);
    before.item[before.n] = before.n + 1;
    before.n++;
  }
  after = before;
  sc->model(&after);
}

/* Objects 3 and 4 are this process's own until now; 1 and 2 were from the first kill on the list's alone. */
static void check_objects(void) {
  for (int i = 1; i <= OBJECTS; i++) mp_shm_object_unuse(objects[i]);
  mp_shm_sweep();
  mp_shm_item v = item(1);
  if (mp_shm_list_count(l)) CHECK(mp_shm_list_set(l, 0, &(mp_shm_item){.type = MP_ITEM_TRUE}, &v, &t_soon) >= 0);
  for (uint64_t i = 0, n = mp_shm_list_count(l); i < n; i++)
    if (mp_shm_list_get(l, i, buffer, &v) && v.nhandles) CHECK(mp_shm_object_live(v.handles[0]));
}

static void go_on(const state *found) {
  state now = *found;
  append(NULL);
  model_append(&now);
  CHECK(is(&now));
  shift(NULL);
  model_shift(&now);
  CHECK(is(&now));
  while (now.n) pop(NULL), now.n--;
  CHECK(mp_shm_list_count(l) == 0);
}

static bool kill_at(long k) {
  t_point = k;
  set_up();
  pid_t pid = t_trace(sc->run, NULL);
  bool done = t_step(pid, k);
  bool is_after = is(&after);
  CHECK(is_after || is(&before));
  t_end(pid);
  CHECK(is(is_after ? &after : &before));
  CHECK(is_after || !done);
  if (sc->objects)
    check_objects();
  else
    go_on(is_after ? &after : &before);
  mp_shm_object_unuse(h);
  t_nothing_left();
  return done;
}

static long run_scenario(const scenario *s) {
  long points = 0;
  sc = s;
  t_what = s->name;
  for (long k = t_first(); !kill_at(k); k += t_stride(), points++) t_deadline(60);
  printf("  %-36s %6ld kill points\n", s->name, points);
  return points;
}

/* --- the end of a list that has objects: one by one, as in portions of the arena lock --- */

static void unuse(void *arg) {
  (void)arg;
  mp_shm_object_unuse(h);
}
static void unuse_here(void) { mp_shm_object_unuse(h); }

static bool kill_end_at(long k) {
  t_point = k;
  set_up();
  for (int i = 1; i <= OBJECTS; i++) mp_shm_object_unuse(objects[i]);
  bool done = t_kill_after(k, unuse, NULL, unuse_here);
  mp_shm_sweep();
  t_nothing_left();
  return done;
}

static long run_end(uint32_t portion) {
  static const scenario end = {"the last use", OBJECTS, NULL, model_pop, true, false};
  uint32_t whole = mp_shm_object_portion;
  long points = 0;
  sc = &end;
  t_what = end.name;
  mp_shm_object_portion = portion;
  for (long k = t_first(); !kill_end_at(k); k += t_stride(), points++) t_deadline(60);
  mp_shm_object_portion = whole;
  printf("  the last use, in portions of %-7u %6ld kill points\n", portion, points);
  return points;
}

int main(void) {
  static const scenario scenarios[] = {
      {"append", 4, append, model_append, false, false},
      {"append the first", 0, append, model_append, false, false},
      {"append, a new table", 4, append, model_append, false, true},
      {"extend", 4, extend, model_extend, false, false},
      {"set", 4, set, model_set, false, false},
      {"set, a new table", 4, set, model_set, false, true},
      {"insert", 4, insert, model_insert, false, false},
      {"remove", 4, remove_inside, model_inside, false, false},
      {"pop", 4, pop, model_pop, false, false},
      {"pop the last", 1, pop, model_pop, false, false},
      {"shift", 4, shift, model_shift, false, false},
      {"sort", 4, reverse, model_reverse, false, false},
      {"append an object", 2, append, model_append, true, false},
      {"extend by objects", 2, extend, model_extend, true, false},
      {"set an object", 2, set, model_set, true, false},
      {"insert an object", 2, insert, model_insert, true, false},
      {"remove an object", 3, remove_inside, model_inside, true, false},
      {"pop an object", 2, pop, model_pop, true, false},
      {"shift an object", 2, shift, model_shift, true, false},
      {"sort objects", 3, reverse, model_reverse, true, false},
  };
  long points = 0;
  t_start();
  write_texts();
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) points += run_scenario(&scenarios[i]);
  points += run_end(mp_shm_object_portion) + run_end(1);
  printf("ok %ld\n", points);
  return 0;
}
