/* SPDX-License-Identifier: MIT */
/*
 * A writer of one stripe of many is killed while it puts a new table in place: at every instruction from the claim of the
 * new chunk to the release of the old one. Before anybody recovers that stripe, all others claim chunks, perhaps those very
 * ones. Then it is recovered, and every key is there, and nothing is left.
 * MP_STRIDE=n, MP_OFFSET=m: as everywhere, but every instruction up to MP_STRIDE=5.
 */
#include "dict_scenario.h"

enum { KEY = 3, KEYS = 6, CROWD = 2000, CROWD_END = 2600, SAME_STRIPE = 5000, FINE = 5, STEPS_MOST = 100000 };

static uint32_t stripe_of(uint64_t n) { return mp_shm_stripe_index(t_key(&n).hash, MP_DICT_STRIPES - 1); }
static bool is_beside(uint64_t n) { return stripe_of(n) != stripe_of(KEY); }
static mp_shm_stripe *stripe(void) { return mp_shm_dict_stripe(t_d, stripe_of(KEY)); }

/* Split, and the next entry of KEY's stripe needs a new table. The chunk before it is of the size that the others claim. */
static void set_up(void) {
  const uint64_t span = sizeof(mp_shm_entry) + 8 + T_TEXT;
  t_dict();
  for (unsigned i = 1; i <= KEYS; i++) t_set_text(i, 0);
  mp_shm_dict_split_at = 2;
  t_set_text(KEY, 0);
  CHECK(t_d->mask);
  for (uint64_t i = SAME_STRIPE; mp_shm_dict_has_room(stripe(), span); i++)
    if (!is_beside(i)) t_set_text(i, 0);
}

static void replace(void *arg) {
  (void)arg;
  t_set_text(KEY, 1);
}

static bool kill_at(long k) {
  t_point = k;
  set_up();
  bool done = t_kill_after(k, replace, NULL, NULL);
  mp_shm_sweep();
  for (uint64_t i = CROWD; i < CROWD_END; i++)
    if (is_beside(i)) t_set_text(i, 0);
  t_set_text(KEY, 2); /* the first to lock that stripe */
  CHECK(t_look(KEY) == 3);
  for (uint64_t i = CROWD; i < CROWD_END; i++) CHECK(!is_beside(i) || t_look(i) == 1);
  for (uint64_t i = 1; i <= KEYS; i++) CHECK(i == KEY || t_look(i) == 1);
  mp_shm_object_unuse(t_h);
  t_nothing_left();
  return done;
}

/* The instructions after which the new chunk is claimed, and the old one is free. */
static void find_window(long *begin, long *end) {
  set_up();
  mp_shm_stripe *s = stripe();
  uint64_t table = s->table;
  pid_t pid = t_trace(replace, NULL);
  *begin = *end = 0;
  while (*end < STEPS_MOST && (s->table == table || s->old)) {
    CHECK(!t_step(pid, 1));
    ++*end;
    if (!s->fresh && s->table == table) *begin = *end;
  }
  t_end(pid);
  mp_shm_sweep();
  mp_shm_object_unuse(t_h);
}

int main(void) {
  long points = 0, begin, end, stride;
  t_start();
  t_what = "a new table in one of many stripes";
  t_deadline(60);
  stride = t_stride() > FINE ? t_stride() : 1;
  find_window(&begin, &end);
  CHECK(begin > 0 && end > begin);
  for (long k = end + 2 - t_first() % stride; k >= begin; k -= stride, points++) {
    t_deadline(60);
    kill_at(k);
  }
  printf("  %-36s %6ld kill points\nok %ld\n", t_what, points, points);
  return 0;
}
