/* SPDX-License-Identifier: MIT */
/*
 * A writer of one stripe of many is killed while it puts a new table in place: after the claim of the new chunk, and from
 * the store of the new table to the release of the old chunk, at every instruction; at some while it copies. Before anybody
 * recovers that stripe, all others claim chunks, perhaps those very ones. Then it is recovered, and every table is in a chunk
 * of its stripe, every key is there, and nothing is left.
 * MP_STRIDE=n, MP_OFFSET=m: as everywhere, but every instruction up to MP_STRIDE=5.
 */
#include "dict_scenario.h"

enum {
  KEY = 3,
  KEYS = 6,
  CROWD = 2000,
  CROWD_END = 2600,
  SAME_STRIPE = 5000,
  FINE = 5,
  STEPS_MOST = 100000,
  CLAIM = 60,
  COPYING = 211,
  MARGIN = 20
};

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
  t_set_prepared();
}

/* No recovery has freed what another stripe has. */
static void check_chunks(void) {
  for (uint32_t i = 1; i < MP_DICT_STRIPES; i++) {
    uint64_t w = mp_shm_dict_stripe(t_d, i)->table;
    if (!w) continue;
    uint64_t chunk = mp_shm_chunk_index(mp_shm_offset(mp_shm_table_at(w)));
    CHECK(mp_shm_chunk_is_part(t_d->slot, i, (uint32_t)chunk + 1));
  }
}

/* How many have died once the new table was in place, and before its chunk was noted as that. */
static long met;

static void kill_at(long k) {
  t_point = k;
  set_up();
  uint64_t table = stripe()->table;
  t_prepare_text(KEY, 1);
  t_kill_after(k, replace, NULL, NULL);
  met += stripe()->table != table && stripe()->fresh;
  mp_shm_sweep();
  for (uint64_t i = CROWD; i < CROWD_END; i++)
    if (is_beside(i)) t_set_text(i, 0);
  t_set_text(KEY, 2); /* the first to lock that stripe */
  CHECK(t_look(KEY) == 3);
  check_chunks();
  for (uint64_t i = CROWD; i < CROWD_END; i++) CHECK(!is_beside(i) || t_look(i) == 1);
  for (uint64_t i = 1; i <= KEYS; i++) CHECK(i == KEY || t_look(i) == 1);
  mp_shm_object_unuse(t_h);
  t_nothing_left();
}

/* After how many instructions the new chunk is claimed, its table is in place, and the old one is free. */
static void find_windows(long *claimed, long *placed, long *freed) {
  long n = 0;
  set_up();
  mp_shm_stripe *s = stripe();
  uint64_t table = s->table;
  t_prepare_text(KEY, 1);
  pid_t pid = t_trace(replace, NULL);
  *claimed = *placed = 0;
  while (n < STEPS_MOST && (s->table == table || s->old)) {
    CHECK(!t_step(pid, 1));
    n++;
    if (!s->fresh && !*placed) *claimed = n;
    if (s->table == table) *placed = n;
  }
  *freed = n;
  t_end(pid);
  mp_shm_sweep();
  mp_shm_object_unuse(t_h);
}

static long kill_between(const char *what, long from, long to, long stride) {
  long points = 0;
  t_what = what;
  for (long k = to - t_first() % stride; k >= from; k -= stride, points++) {
    t_deadline(60);
    kill_at(k);
  }
  printf("  %-48s %6ld kill points\n", what, points);
  return points;
}

int main(void) {
  long points, claimed, placed, freed;
  t_start();
  t_what = "a new table in one of many stripes";
  t_deadline(60);
  for (int i = 0; i < 2; i++)
    find_windows(&claimed, &placed, &freed); /* later ones find chunks that were used before */
  CHECK(claimed > 0 && placed > claimed && freed > placed);
  long fine = t_stride() > FINE ? t_stride() : 1, coarse = t_stride() > COPYING ? t_stride() : COPYING;
  points = kill_between("the new table is in place, the old one goes", placed - MARGIN, freed + MARGIN, fine);
  CHECK(met || fine > FINE);
  points += kill_between("its chunk is claimed", claimed - 2, claimed + CLAIM, fine);
  points += kill_between("it is written", claimed, placed, coarse);
  printf("ok %ld\n", points);
  return 0;
}
