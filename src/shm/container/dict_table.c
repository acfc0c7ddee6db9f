/* SPDX-License-Identifier: MIT */
/* Tables of a dictionary: how large, copied, split among stripes, counted. The words stand in dict.h. */
#include "shm/container/dict_internal.h"

#include <errno.h>

#define ORDER_LEAST 4
#define SPLIT_BUSY 100      /* who found stripe 0's lock busy so often splits it, */
#define SPLIT_BUSY_LEAST 16 /* if it has as many entries */
#define BOUNDED_SPLIT 16384 /* a smaller bound is not divided among stripes, */
#define BOUNDED_BYTES (MP_DICT_STRIPES * UINT64_C(4) * (MP_INLINE_MOST + MP_KEY_MOST)) /* nor one of less bytes */

uint32_t mp_shm_dict_split_at = 8192;

/* --- sizes --- */

typedef struct size {
  uint64_t bytes;
  unsigned order;
} size;

static uint64_t fill_most(unsigned order) { return (UINT64_C(3) << order) / 4; }

/* Entries of `each` bytes that a table of that size takes with that order. */
static uint64_t capacity(uint64_t bytes, unsigned order, uint64_t each) {
  uint64_t begin = mp_shm_log_begin(order);
  uint64_t fit = begin < bytes ? (bytes - begin) / each : 0;
  return fit < fill_most(order) ? fit : fill_most(order);
}

/* For that many entries and bytes in the log, at least; what the chunk has beyond is divided so that most fit in. */
static size size_for(const mp_shm_store *st, uint64_t entries, uint64_t bytes) {
  size z = {0, ORDER_LEAST};
  while (fill_most(z.order) < entries) z.order++;
  z.bytes = mp_shm_table_room(st, mp_shm_log_begin(z.order) + bytes);
  uint64_t each = entries ? bytes / entries + 1 : 64;
  while (mp_shm_log_begin(z.order + 1) + bytes <= z.bytes &&
         capacity(z.bytes, z.order + 1, each) > capacity(z.bytes, z.order, each))
    z.order++;
  return z;
}

bool mp_shm_dict_has_room(mp_shm_stripe *s, uint64_t span) {
  uint64_t w = s->table;
  return w && s->end + span <= mp_shm_table_bytes(mp_shm_table_at(w)) && s->used < fill_most(mp_shm_table_order(w));
}

/* --- copying --- */

static void put_slot(mp_shm_table *t, unsigned order, uint64_t slot) {
  uint64_t mask = (UINT64_C(1) << order) - 1, i = mp_shm_slot_hash(slot);
  while (atomic_load_explicit(&t->index[i & mask], memory_order_relaxed)) i++;
  atomic_store_explicit(&t->index[i & mask], slot, memory_order_relaxed);
}

static uint64_t move(mp_shm_table *from, uint64_t slot, mp_shm_table *to, unsigned order, uint64_t end) {
  mp_shm_entry *e = mp_shm_entry_at(from, mp_shm_slot_place(slot));
  uint64_t words = mp_shm_entry_span(e) / 8;
  const _Atomic uint64_t *p = &e->head;
  _Atomic uint64_t *q = &mp_shm_entry_at(to, end)->head;
  for (uint64_t i = 0; i < words; i++)
    atomic_store_explicit(&q[i], atomic_load_explicit(&p[i], memory_order_relaxed), memory_order_relaxed);
  put_slot(to, order, mp_shm_slot_word(mp_shm_slot_hash(slot), end));
  return end + 8 * words;
}

/* Copies what stripe `to` has in table w. The end, and how many. */
static uint64_t copy_live(uint64_t w, mp_shm_table *t, unsigned order, uint32_t mask, uint32_t to, uint32_t *n) {
  mp_shm_table *from = mp_shm_table_at(w);
  uint64_t end = mp_shm_log_begin(order);
  *n = 0;
  for (uint64_t i = 0; w && i < mp_shm_index_size(w); i++) {
    uint64_t slot = from->index[i];
    if (!mp_shm_slot_filled(slot) || mp_shm_stripe_index(mp_shm_slot_hash(slot), mask) != to) continue;
    end = move(from, slot, t, order, end);
    ++*n;
  }
  return end;
}

/* The same in the order of the log, which is that of age: for bounded ones. */
static uint64_t copy_by_age(mp_shm_dict *d, const mp_shm_store *st, mp_shm_table *t, unsigned order, uint32_t *n) {
  uint64_t w = st->s->table, end = mp_shm_log_begin(order), at;
  mp_shm_table *from = mp_shm_table_at(w);
  *n = 0;
  for (uint64_t place = mp_shm_log_begin(mp_shm_table_order(w)); w && place < st->s->end; place = at) {
    at = place + mp_shm_entry_span(mp_shm_entry_at(from, place));
    _Atomic uint64_t *p = mp_shm_dict_slot_of(d, st->s, place);
    if (!p || !mp_shm_slot_is_of(st, *p, d->mask)) continue;
    end = move(from, *p, t, order, end);
    ++*n;
  }
  return end;
}

int mp_shm_dict_remake(mp_shm_dict *d, const mp_shm_store *st, uint64_t span, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  uint64_t bytes = mp_shm_live_bytes(s);
  uint32_t n;
  int err;
  size z = size_for(st, s->live + s->live / 2 + 1, bytes + bytes / 2 + span);
  mp_shm_table *t = mp_shm_table_new(st, z.bytes, UINT64_C(1) << z.order, w, &err);
  if (!t) return err;
  uint64_t end =
      d->recent_bits ? copy_by_age(d, st, t, z.order, &n) : copy_live(s->table, t, z.order, d->mask, st->part, &n);
  mp_shm_stripe_replace(st, mp_shm_table_word(t, z.order), end, n, w);
  return 0;
}

/* --- the split --- */

bool mp_shm_dict_should_split(mp_shm_dict *d, const mp_shm_stripe *s) {
  const mp_shm_dict_options *o = &d->options;
  if (d->mask || s != &d->first) return false;
  if ((o->max_entries && o->max_entries < BOUNDED_SPLIT) || (o->max_bytes && o->max_bytes < BOUNDED_BYTES))
    return false;
  return s->live >= mp_shm_dict_split_at || (s->busy >= SPLIT_BUSY && s->live >= SPLIT_BUSY_LEAST);
}

static int claim_stripes(mp_shm_dict *d, const mp_shm_wait *w) {
  if (mp_shm_chunk_is_part(d->slot, MP_DICT_STRIPES, d->rest)) return 0;
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  d->ready = 0;
  int64_t c =
      mp_shm_chunk_claim((MP_DICT_STRIPES - 1) * sizeof(mp_shm_stripe), MP_USED, d->slot, MP_DICT_STRIPES, &d->rest);
  mp_shm_arena_unlock();
  return c < 0 ? (int)c : 0;
}

/* Frees what one who died in a split had made there. */
static int clean_stripe(const mp_shm_store *st, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  int err = mp_shm_stripe_drop(st, &s->old, w);
  if (err || !s->table) return err ? err : mp_shm_stripe_drop(st, &s->fresh, w);
  mp_shm_stripe_replace(st, 0, 0, 0, w);
  return s->needs_recovery ? -ENOMEM : 0;
}

static int prepare_stripes(mp_shm_dict *d, const mp_shm_wait *w) {
  int err = claim_stripes(d, w);
  for (uint32_t i = 1; i < MP_DICT_STRIPES && !err; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    if (d->ready)
      err = clean_stripe(&st, w);
    else
      mp_shm_stripe_init(st.s);
  }
  if (!err) atomic_store_explicit(&d->ready, 1, memory_order_release);
  return err;
}

/* What a split that found no memory has taken. */
static void clean_stripes(mp_shm_dict *d, const mp_shm_wait *w) {
  for (uint32_t i = 1; i < MP_DICT_STRIPES; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    clean_stripe(&st, w);
  }
}

typedef struct share { /* what of stripe 0 another stripe gets */
  uint32_t entries;
  uint64_t bytes;
} share;

static void measure(mp_shm_stripe *s, share *shares) {
  mp_shm_table *t = mp_shm_table_at(s->table);
  memset(shares, 0, MP_DICT_STRIPES * sizeof *shares);
  for (uint64_t i = 0; i < mp_shm_index_size(s->table); i++) {
    uint64_t slot = t->index[i];
    if (!mp_shm_slot_filled(slot)) continue;
    share *to = &shares[mp_shm_stripe_index(mp_shm_slot_hash(slot), MP_DICT_STRIPES - 1)];
    to->entries++;
    to->bytes += mp_shm_entry_span(mp_shm_entry_at(t, mp_shm_slot_place(slot)));
  }
}

static int make_table(const mp_shm_store *st, const share *h, const mp_shm_wait *w) {
  int err = 0;
  if (!h->entries) return 0;
  size z = size_for(st, h->entries + h->entries / 2 + 1, h->bytes + h->bytes / 2 + 64);
  mp_shm_table *t = mp_shm_table_new(st, z.bytes, UINT64_C(1) << z.order, w, &err);
  if (!t) return err;
  st->s->end = mp_shm_log_begin(z.order);
  atomic_store_explicit(&st->s->table, mp_shm_table_word(t, z.order), memory_order_release);
  atomic_store_explicit(&st->s->fresh, 0, memory_order_release);
  return 0;
}

static void deal(mp_shm_dict *d) {
  mp_shm_table *t = mp_shm_table_at(d->first.table);
  for (uint64_t i = 0; i < mp_shm_index_size(d->first.table); i++) {
    uint64_t slot = t->index[i];
    uint32_t to = mp_shm_stripe_index(mp_shm_slot_hash(slot), MP_DICT_STRIPES - 1);
    if (!mp_shm_slot_filled(slot) || !to) continue;
    mp_shm_stripe *s = mp_shm_dict_stripe(d, to);
    uint64_t w = s->table;
    s->end = move(t, slot, mp_shm_table_at(w), mp_shm_table_order(w), s->end);
    s->outside += mp_shm_entry_outside(mp_shm_entry_at(t, mp_shm_slot_place(slot)));
    s->used = ++s->live;
  }
}

int mp_shm_dict_split(mp_shm_dict *d, const mp_shm_wait *w) {
  share shares[MP_DICT_STRIPES];
  int err = prepare_stripes(d, w);
  if (err) return err;
  measure(&d->first, shares);
  for (uint32_t i = 1; i < MP_DICT_STRIPES && !err; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    err = make_table(&st, &shares[i], w);
  }
  if (err) return clean_stripes(d, w), err;
  deal(d);
  atomic_store_explicit(&d->mask, MP_DICT_STRIPES - 1, memory_order_release);
  mp_shm_store st = mp_shm_dict_store(d, 0);
  mp_shm_dict_layout.count(&st);
  if (mp_shm_dict_remake(d, &st, 0, w) != 0) d->first.needs_recovery = 1;
  return 0;
}

/* --- what recovery asks --- */

static bool has(const mp_shm_store *st, uint64_t place) {
  uint64_t w = st->s->table;
  for (uint64_t i = 0; w && i < mp_shm_index_size(w); i++) {
    uint64_t slot = mp_shm_table_at(w)->index[i];
    if (mp_shm_slot_filled(slot) && mp_shm_slot_place(slot) == place) return true;
  }
  return false;
}

static void count(const mp_shm_store *st) {
  mp_shm_stripe *s = st->s;
  uint64_t w = s->table, sum = 0, outside = 0, end = w ? mp_shm_log_begin(mp_shm_table_order(w)) : 0, begin = end;
  uint32_t live = 0, used = 0, mask = mp_shm_dict_of(st)->mask;
  for (uint64_t i = 0; w && i < mp_shm_index_size(w); i++) {
    uint64_t slot = mp_shm_table_at(w)->index[i], place = mp_shm_slot_place(slot);
    used += slot != 0;
    if (!mp_shm_slot_filled(slot)) continue;
    uint64_t span = mp_shm_entry_span(mp_shm_entry_at(mp_shm_table_at(w), place));
    if (place + span > end) end = place + span;
    if (mp_shm_stripe_index(mp_shm_slot_hash(slot), mask) != st->part) continue;
    live++;
    sum += span;
    outside += mp_shm_entry_outside(mp_shm_entry_at(mp_shm_table_at(w), place));
  }
  s->end = end;
  atomic_store_explicit(&s->dead, end - begin - sum, memory_order_relaxed);
  s->outside = outside;
  atomic_store_explicit(&s->live, live, memory_order_relaxed);
  s->used = used;
}

const mp_shm_layout mp_shm_dict_layout = {has, count};
