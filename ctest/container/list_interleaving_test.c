/* SPDX-License-Identifier: MIT */
/*
 * A reader of a list is stopped at each of its instructions, while a writer does all that writers do; then it goes on. It
 * must answer what was at that index before, or what is there after: numbers here, 0 for none.
 */
#include "dict_scenario.h"
#include "interleaving.h"
#include "shm/container/list.h"
#include "shm/container/list_internal.h"

static mp_shm_list *l;
static volatile uint64_t *answer;
static uint64_t before_is, after_is;

static void append(uint64_t number) {
  const mp_shm_item v = {.type = MP_ITEM_INTEGER, .word = number};
  CHECK(mp_shm_list_append(l, &v, 1, &t_soon) == 0);
}

static void numbers(unsigned n, uint64_t b, uint64_t a) {
  CHECK(mp_shm_list_new(&t_soon, &t_h) == 0);
  l = mp_shm_object_block(t_h, MP_TYPE_LIST);
  for (unsigned i = 1; i <= n; i++) append(i);
  before_is = b;
  after_is = a;
  *answer = UINT64_MAX;
}
static void unchanged(void) { numbers(4, 4, 4); }
static void shifted(void) { numbers(5, 4, 5); }
static void gone(void) { numbers(4, 4, 0); }
static void replaced(void) { numbers(4, 4, 40); }
static void absent(void) { numbers(3, 0, 40); }

/* Item 4 */
static void read_one(void *arg) {
  static _Alignas(8) char buffer[MP_ITEM_ROOM];
  mp_shm_item v;
  (void)arg;
  *answer = mp_shm_list_get(l, 3, buffer, &v) ? v.word : 0;
}

static void pop(void) { CHECK(mp_shm_list_remove(l, MP_LIST_LAST, NULL, &t_soon) == 1); }
static void shift(void) { CHECK(mp_shm_list_remove(l, 0, NULL, &t_soon) == 1); }
static void pop_and_append(void) { pop(), append(40); }
static void append_40(void) { append(40); }
static void set(void) {
  const mp_shm_item v = {.type = MP_ITEM_INTEGER, .word = 40};
  CHECK(mp_shm_list_set(l, 3, &v, NULL, &t_soon) == 1);
}
static void set_another_type(void) {
  const mp_shm_item no = {.type = MP_ITEM_FALSE};
  CHECK(mp_shm_list_set(l, 3, &no, NULL, &t_soon) == 1);
  set();
}
static void new_tables(void) {
  for (uint64_t w = l->stripe.table, i = 100; l->stripe.table == w; i++) append(i);
  for (uint64_t w = l->stripe.table, i = 100; l->stripe.table == w; i++) append(i);
}

/* A writer dies when it has named its item and before that is in the list. The next one's takes its place. */
static void uncommitted(void) {
  mp_shm_items all = mp_shm_list_items(l);
  const mp_shm_item v = {.type = MP_ITEM_INTEGER, .word = 7};
  pop();
  atomic_store(&all.index[3], mp_shm_stripe_append(&l->stripe, NULL, &v) / 8);
}

static void audit(void) {
  CHECK(*answer == before_is || *answer == after_is || (*answer == 0 && before_is && after_is == 40));
  mp_shm_object_unuse(t_h);
  mp_shm_sweep();
  t_nothing_left();
}

int main(void) {
  static const t_interleaving interleavings[] = {
      {"get meets append", absent, read_one, append_40, audit},
      {"get meets pop", gone, read_one, pop, audit},
      {"get meets pop and append", replaced, read_one, pop_and_append, audit},
      {"get meets shift", shifted, read_one, shift, audit},
      {"get meets set in place", replaced, read_one, set, audit},
      {"get meets set by an entry", replaced, read_one, set_another_type, audit},
      {"get meets two new tables", unchanged, read_one, new_tables, audit},
      {"get meets an append that dies", gone, read_one, uncommitted, audit},
  };
  t_start();
  answer = t_shared(4096);
  t_run_interleavings(interleavings, sizeof interleavings / sizeof *interleavings);
  return 0;
}
