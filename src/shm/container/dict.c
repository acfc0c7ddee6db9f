/* SPDX-License-Identifier: MIT */
/* A dictionary: birth and end, single keys. Tables are in dict_table.c, all keys in dict_all.c; the words stand in dict.h. */
#include "shm/container/dict.h"

#include <errno.h>

#include "os/process.h"
#include "shm/container/dict_internal.h"

#define SHRINK_AT 8        /* a table of which that part is left is copied to a smaller one */
#define RECENT_PER_ENTRY 4 /* bits */
#define RECENT_LEAST 512   /* bits */
#define BYTES_AN_ENTRY 64
#define SLOTS_A_UNIT 64 /* that destroy looks at: mp_shm_object_spend */

/* --- stripes and keys --- */

mp_shm_store mp_shm_dict_store(mp_shm_dict *d, uint32_t i) {
  mp_shm_store st = {mp_shm_dict_stripe(d, i), d->slot, i, NULL, 0, &mp_shm_dict_layout};
  if (!i) st.own = (mp_shm_table *)(void *)d->own;
  if (!i) st.own_bytes = MP_PAGE - offsetof(mp_shm_dict, own);
  return st;
}

_Atomic uint64_t *mp_shm_dict_find(uint64_t w, const mp_shm_key *k, uint64_t *slot, _Atomic uint64_t **gap) {
  mp_shm_table *t = mp_shm_table_at(w);
  uint64_t mask = mp_shm_index_size(w) - 1;
  *gap = NULL;
  for (uint64_t i = 0; i <= mask; i++) {
    _Atomic uint64_t *p = &t->index[(k->hash + i) & mask];
    uint64_t s = atomic_load_explicit(p, memory_order_acquire);
    if (!mp_shm_slot_filled(s) && !*gap) *gap = p;
    if (s == 0) break;
    if (mp_shm_slot_hash(s) != k->hash || !mp_shm_slot_filled(s)) continue;
    if (!mp_shm_entry_has_key(t, mp_shm_slot_place(s), k)) continue;
    *slot = s;
    return p;
  }
  return NULL;
}

bool mp_shm_dict_expired(const mp_shm_item *v) { return v->deadline && v->deadline <= mp_os_coarse_now(); }

/* --- reading --- */

/* 1, 0, or -EAGAIN: a writer came between. */
static int look(mp_shm_dict *d, const mp_shm_key *k, void *buf, mp_shm_item *v) {
  uint32_t mask = mp_shm_dict_mask(d);
  mp_shm_stripe *s = mp_shm_dict_stripe(d, mp_shm_stripe_index(k->hash, mask));
  uint64_t version = mp_shm_stripe_version(s), slot;
  if (mask != mp_shm_dict_mask(d) && !MP_MUTANT(MASK)) return -EAGAIN;
  _Atomic uint64_t *gap;
  uint64_t w = mp_shm_stripe_table(s);
  bool found = w && mp_shm_dict_find(w, k, &slot, &gap);
  if (found && !mp_shm_entry_read(mp_shm_table_at(w), mp_shm_slot_place(slot), buf, v)) return -EAGAIN;
  return mp_shm_stripe_still(s, version) ? found : -EAGAIN;
}

/* Under the lock nothing changes. It is not waited for: who holds it and stands still changes nothing either. */
static int look_locked(mp_shm_dict *d, const mp_shm_key *k, void *buf, mp_shm_item *v) {
  mp_shm_stripe *s = mp_shm_dict_stripe(d, mp_shm_stripe_index(k->hash, mp_shm_dict_mask(d)));
  if (!mp_shm_stripe_trylock(s)) return -EAGAIN;
  int found = look(d, k, buf, v);
  mp_shm_stripe_unlock(s);
  return found;
}

/* Recently used, for a walk of mp_shm_dict_evict. */
static void note_read(mp_shm_dict *d, uint32_t hash) {
  _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)((char *)d + MP_PAGE) + (hash & (d->recent_bits - 1)) / 64;
  uint64_t bit = UINT64_C(1) << hash % 64, now = atomic_load_explicit(word, memory_order_relaxed);
  if (!(now & bit)) atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
}

int mp_shm_dict_get(mp_shm_dict *d, const mp_shm_key *k, void *buf, mp_shm_item *v) {
  int found = look(d, k, buf, v);
  for (unsigned tries = 1; found < 0; tries++)
    found = tries % MP_TRIES_FREE ? look(d, k, buf, v) : look_locked(d, k, buf, v);
  if (found && mp_shm_dict_expired(v)) return 0;
  if (found && d->recent_bits) note_read(d, k->hash);
  return found;
}

/* --- writing --- */

static int lock_for(mp_shm_dict *d, uint32_t hash, mp_shm_store *st, const mp_shm_wait *w) {
  for (;;) {
    uint32_t mask = mp_shm_dict_mask(d);
    *st = mp_shm_dict_store(d, mp_shm_stripe_index(hash, mask));
    int err = mp_shm_stripe_lock(st, w);
    if (err || mask == mp_shm_dict_mask(d)) return err;
    mp_shm_stripe_unlock(st->s);
  }
}

static int lock_to_write(mp_shm_dict *d, uint32_t hash, mp_shm_store *st, const mp_shm_wait *w) {
  int err = lock_for(d, hash, st, w);
  if (err || !mp_shm_dict_should_split(d, st->s)) return err;
  err = mp_shm_dict_split(d, w);
  if (err == -ENOMEM) return 0;
  mp_shm_stripe_unlock(st->s);
  return err ? err : lock_for(d, hash, st, w);
}

typedef struct spot { /* where a key is, or may go */
  _Atomic uint64_t *p, *gap;
  uint64_t slot, place; /* of the entry that is there; p NULL: none */
} spot;

static spot find_spot(mp_shm_stripe *s, const mp_shm_key *k) {
  spot at = {NULL, NULL, 0, 0};
  if (s->table) at.p = mp_shm_dict_find(s->table, k, &at.slot, &at.gap);
  if (at.p) at.place = mp_shm_slot_place(at.slot);
  return at;
}

static mp_shm_entry *entry_of(mp_shm_stripe *s, const spot *at) {
  return mp_shm_entry_at(mp_shm_table_at(s->table), at->place);
}

/* An entry whose time is over is there no more. */
static bool is_there(mp_shm_stripe *s, const spot *at) {
  if (!at->p) return false;
  mp_shm_entry *e = entry_of(s, at);
  mp_shm_shape shape = mp_shm_entry_shape(e);
  mp_shm_item v = {.deadline = shape.expires ? e->more[0] : 0};
  return !mp_shm_dict_expired(&v);
}

static bool is_expected(mp_shm_stripe *s, const spot *at, const mp_shm_item *expected) {
  if (!expected) return true;
  if (!is_there(s, at)) return expected->type == MP_ITEM_NONE;
  return expected->type != MP_ITEM_NONE && mp_shm_entry_is(entry_of(s, at), expected);
}

static bool keeps_type(mp_shm_stripe *s, const spot *at, const mp_shm_item *v) {
  if (!at->p || !mp_shm_is_number(v->type)) return false;
  mp_shm_shape shape = mp_shm_entry_shape(entry_of(s, at));
  return shape.vtype == v->type && !shape.expires && !v->deadline;
}

/* outside: bytes of its blob */
static int make_room(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_key *k, uint64_t span, uint64_t outside,
                     spot *at, const mp_shm_wait *w) {
  int err = d->recent_bits ? mp_shm_dict_evict(d, st, span + outside, !at->p, w) : 0;
  bool full = !err && !mp_shm_dict_has_room(st->s, span);
  if (full && d->expiring) err = mp_shm_dict_drop_expired(d, st, w);
  if (full && !err) err = mp_shm_dict_remake(d, st, span, w);
  if (!err) *at = find_spot(st->s, k); /* what is there may have been evicted */
  return err;
}

/* THE COMMIT of a new entry. */
static int commit(mp_shm_dict *d, const mp_shm_store *st, const spot *at, uint64_t slot, uint64_t place,
                  const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  uint32_t n, leaving = 0;
  uint64_t record = mp_shm_entry_handles(mp_shm_entry_at(mp_shm_table_at(s->table), place), &n);
  if (at->p) mp_shm_entry_handles(entry_of(s, at), &leaving);
  _Atomic uint64_t *p = at->p ? at->p : at->gap;
  if (n || leaving) {
    atomic_store_explicit(&d->carried, 1, memory_order_release);
    return mp_shm_stripe_commit(st, p, slot, leaving ? mp_shm_offset(entry_of(s, at)) : 0, record, n, w);
  }
  atomic_store_explicit(p, slot, memory_order_release);
  return 0;
}

static int put(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_key *k, const mp_shm_item *v, spot *at,
               const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  if (keeps_type(s, at, v)) {
    atomic_store_explicit(&entry_of(s, at)->word, v->word, memory_order_release);
    return 0;
  }
  uint64_t span = mp_shm_item_span(k, v), outside = mp_shm_item_outside(v);
  if (v->deadline) d->expiring = 1;
  int err = d->recent_bits || !mp_shm_dict_has_room(s, span) ? make_room(d, st, k, span, outside, at, w) : 0;
  if (err) return err;
  uint64_t was = at->p ? mp_shm_entry_span(entry_of(s, at)) : 0;
  uint64_t was_outside = at->p ? mp_shm_entry_outside(entry_of(s, at)) : 0;
  uint64_t place = s->end, slot = mp_shm_slot_word(k->hash, place);
  bool fresh = !at->p && *at->gap == 0;
  if (!at->p && !fresh) atomic_store_explicit(&s->reused, s->reused + 1, memory_order_release);
  if (MP_MUTANT(SLOT)) atomic_store(at->p ? at->p : at->gap, slot);
  mp_shm_stripe_append(s, k, v);
  err = commit(d, st, at, slot, place, w);
  mp_shm_stripe_died(s, err ? span : was);
  if (err) return err;
  s->outside += outside - was_outside;
  if (at->p) return 0;
  atomic_store_explicit(&s->live, s->live + 1, memory_order_relaxed);
  s->used += fresh;
  return 0;
}

int mp_shm_dict_remove(mp_shm_dict *d, const mp_shm_store *st, _Atomic uint64_t *p, uint64_t slot,
                       const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  mp_shm_entry *e = mp_shm_entry_at(mp_shm_table_at(s->table), mp_shm_slot_place(slot));
  uint32_t leaving;
  (void)d;
  mp_shm_entry_handles(e, &leaving);
  uint64_t span = mp_shm_entry_span(e), outside = mp_shm_entry_outside(e);
  int err = leaving ? mp_shm_stripe_commit(st, p, MP_SLOT_DELETED, mp_shm_offset(e), 0, 0, w) : 0;
  if (err) return err;
  if (!leaving) atomic_store_explicit(p, MP_SLOT_DELETED, memory_order_release);
  atomic_store_explicit(&s->live, s->live - 1, memory_order_relaxed);
  mp_shm_stripe_died(s, span);
  s->outside -= outside;
  return 0;
}

/* A table that has too much room is given back; what that needs and does not get is no error: the next one tries again. */
static void shrink(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  if (s->live == 0) {
    mp_shm_stripe_replace(st, 0, 0, 0, w);
    return;
  }
  uint64_t bytes = mp_shm_table_bytes(mp_shm_table_at(s->table));
  if (bytes > MP_PAGE && SHRINK_AT * mp_shm_live_bytes(s) < bytes) mp_shm_dict_remake(d, st, 0, w);
}

/* 1: there was one. */
static int delete_at(mp_shm_dict *d, const mp_shm_store *st, const spot *at, const mp_shm_wait *w) {
  if (!at->p) return 0;
  int was = is_there(st->s, at);
  int err = mp_shm_dict_remove(d, st, at->p, at->slot, w);
  if (err) return err;
  shrink(d, st, w);
  return was;
}

int mp_shm_dict_set(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_item *v, const mp_shm_item *expected,
                    const mp_shm_wait *w) {
  mp_shm_store st;
  int r = lock_to_write(d, k->hash, &st, w);
  if (r) return r;
  spot at = find_spot(st.s, k);
  if (!is_expected(st.s, &at, expected))
    r = 0;
  else if (v->type == MP_ITEM_NONE)
    r = (r = delete_at(d, &st, &at, w)) < 0 ? r : 1;
  else
    r = (r = put(d, &st, k, v, &at, w)) < 0 ? r : 1;
  mp_shm_stripe_unlock(st.s);
  return r;
}

int mp_shm_dict_delete(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_wait *w) {
  mp_shm_store st;
  int r = lock_for(d, k->hash, &st, w);
  if (r) return r;
  spot at = find_spot(st.s, k);
  r = delete_at(d, &st, &at, w);
  mp_shm_stripe_unlock(st.s);
  return r;
}

/* --- sums --- */

/* Integers, most often, are added where they are. */
static bool add_in_place(mp_shm_stripe *s, const spot *at, const mp_shm_item *n, mp_shm_item *sum) {
  if (!at->p || n->type != MP_ITEM_INTEGER) return false;
  mp_shm_entry *e = entry_of(s, at);
  if ((e->head >> 8 & 0xff) != MP_ITEM_INTEGER) return false; /* or one with a deadline */
  sum->type = MP_ITEM_INTEGER;
  sum->word = e->word + n->word;
  atomic_store_explicit(&e->word, sum->word, memory_order_release);
  return true;
}

static int add_locked(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_key *k, const mp_shm_item *n,
                      const mp_shm_item *initial, mp_shm_item *sum, const mp_shm_wait *w) {
  spot at = find_spot(st->s, k);
  mp_shm_item was = *initial;
  if (add_in_place(st->s, &at, n, sum)) return 0;
  *sum = *n;
  sum->deadline = initial->deadline;
  if (is_there(st->s, &at)) {
    mp_shm_entry *e = entry_of(st->s, &at);
    mp_shm_shape s = mp_shm_entry_shape(e);
    was = (mp_shm_item){.type = s.vtype, .word = e->word};
    sum->deadline = s.expires ? e->more[0] : 0;
  }
  if (mp_shm_is_number(was.type)) {
    mp_shm_item_add(&was, n, sum);
    return put(d, st, k, sum, &at, w);
  }
  sum->type = was.type;
  return -EINVAL;
}

int mp_shm_dict_add(mp_shm_dict *d, const mp_shm_key *k, const mp_shm_item *n, const mp_shm_item *initial,
                    mp_shm_item *sum, const mp_shm_wait *w) {
  mp_shm_store st;
  int err = lock_to_write(d, k->hash, &st, w);
  if (err) return err;
  err = add_locked(d, &st, k, n, initial, sum, w);
  mp_shm_stripe_unlock(st.s);
  return err;
}

/* --- birth and end --- */

typedef struct plan {
  const mp_shm_dict_options *o;
  uint64_t seed, recent_bits;
} plan;

static void init(uint32_t slot, void *block, const void *arg) {
  const plan *p = arg;
  mp_shm_dict *d = block;
  memset(block, 0, sizeof *d);
  mp_shm_mutex_init(&d->user, MP_MUTEX_PLAIN);
  mp_shm_stripe_init(&d->first);
  d->slot = slot;
  d->seed = p->seed;
  d->options = *p->o;
  d->recent_bits = p->recent_bits;
}

static uint64_t recent_bits_for(const mp_shm_dict_options *o) {
  uint64_t n = o->max_entries, bits = RECENT_LEAST;
  if (!n && !o->max_bytes) return 0;
  if (!n || (o->max_bytes && o->max_bytes / BYTES_AN_ENTRY < n)) n = o->max_bytes / BYTES_AN_ENTRY;
  while (bits / RECENT_PER_ENTRY < n && bits < UINT64_C(1) << 32) bits *= 2;
  return bits;
}

int mp_shm_dict_new(const mp_shm_dict_options *o, const mp_shm_wait *w, mp_shm_handle *out) {
  plan p = {o, 0, recent_bits_for(o)};
  if (mp_os_random(&p.seed, sizeof p.seed) != 0) p.seed = mp_os_now() * MP_HASH_1;
  int err = mp_shm_object_new(MP_TYPE_DICT, MP_PAGE + p.recent_bits / 8, init, &p, w, out);
  if (err || !p.recent_bits) return err;
  mp_shm_dict *d = mp_shm_object_block(*out, MP_TYPE_DICT);
  mp_os_zero((char *)d + MP_PAGE, p.recent_bits / 8);
  return 0;
}

/* False: not all of them yet. */
static bool drop_handles(mp_shm_dict *d, uint32_t i) {
  mp_shm_store st = mp_shm_dict_store(d, i);
  uint64_t w = st.s->table;
  if (!w) return true;
  mp_shm_stripe_finish_retired(&st);
  for (uint64_t j = 0; j < mp_shm_index_size(w); j++) {
    uint64_t slot = mp_shm_table_at(w)->index[j];
    if (!mp_shm_slot_filled(slot) || mp_shm_stripe_index(mp_shm_slot_hash(slot), d->mask) != i) continue;
    uint32_t n = mp_shm_entry_drop_handles(mp_shm_entry_at(mp_shm_table_at(w), mp_shm_slot_place(slot)));
    if (n && !mp_shm_object_spend(n)) return false;
  }
  return true;
}

static bool drop_all_handles(mp_shm_dict *d) {
  while (d->gone <= d->mask) {
    uint64_t w = mp_shm_dict_stripe(d, d->gone)->table;
    if (!drop_handles(d, d->gone)) return false;
    d->gone++;
    if (w && !mp_shm_object_spend(mp_shm_index_size(w) / SLOTS_A_UNIT)) return false;
  }
  d->gone = 0;
  atomic_store_explicit(&d->carried, 0, memory_order_release);
  return true;
}

/* Whether somebody died in it, so that only the arena's own table tells which chunks it has. */
static bool was_abandoned(mp_shm_dict *d) {
  if (d->first.needs_recovery || (!d->mask && d->rest)) return true;
  for (uint32_t i = d->gone; i <= d->mask; i++)
    if (mp_os_mutex_abandoned(&mp_shm_dict_stripe(d, i)->lock) || mp_shm_dict_stripe(d, i)->needs_recovery) return true;
  return false;
}

/* Handles before any table is freed. What is cut short finds entries without handles. */
static void destroy(uint32_t slot, void *block, bool thorough) {
  mp_shm_dict *d = block;
  if (d->carried && !drop_all_handles(d)) return;
  if (thorough || was_abandoned(d)) {
    d->first.needs_recovery = 1; /* for the next portion */
    mp_shm_container_free_chunks(slot);
    return;
  }
  for (; d->gone <= d->mask; d->gone++) {
    mp_shm_store st = mp_shm_dict_store(d, d->gone);
    if (!mp_shm_object_spend(mp_shm_container_units(mp_shm_stripe_free_chunks(&st)))) return;
  }
  if (d->rest) mp_shm_chunk_retire(d->rest - 1);
}

const mp_shm_object_type_info mp_shm_dict_type = {.use_is_no_claim = true, .destroy = destroy};
