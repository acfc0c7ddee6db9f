/* SPDX-License-Identifier: MIT */
/* Stripes: locks and recovery, tables and their chunks, handles of entries. The words stand in stripe.h. */
#include "shm/container/stripe.h"

#include <errno.h>

#include "shm/arena/robust.h"

/* --- chunks --- */

/* A chunk's `object` says of a container's chunk which part of it it is. */
bool mp_shm_chunk_is_part(uint32_t object, uint32_t part, uint32_t chunk) {
  if (!chunk) return false;
  uint64_t state = mp_shm_chunk_at(chunk - 1)->st;
  if (mp_shm_chunk_state(state) != MP_USED || mp_shm_chunk_tag(state) != object) return false;
  return mp_shm_chunk_at(chunk - 1)->object == part || MP_MUTANT(PART);
}

static bool is_ours(const mp_shm_store *st, uint32_t chunk) {
  return mp_shm_chunk_is_part(st->object, st->part, chunk);
}

/* Index + 1 of the chunk that table word w names; 0: none, or the block's own. */
static uint32_t chunk_of(const mp_shm_store *st, uint64_t w) {
  if (!w || mp_shm_table_at(w) == st->own) return 0;
  return (uint32_t)mp_shm_chunk_index(mp_shm_offset(mp_shm_table_at(w))) + 1;
}

static bool takes_own(const mp_shm_store *st, uint64_t bytes) {
  return st->own && bytes <= st->own_bytes && (!st->s->table || mp_shm_table_at(st->s->table) != st->own);
}

uint64_t mp_shm_table_room(const mp_shm_store *st, uint64_t bytes) {
  if (takes_own(st, bytes)) return st->own_bytes;
  uint64_t room = MP_PAGE;
  while (room < bytes) room *= 2;
  return room;
}

mp_shm_table *mp_shm_table_new(const mp_shm_store *st, uint64_t bytes, uint64_t slots, const mp_shm_wait *w, int *err) {
  mp_shm_table *t = st->own;
  uint64_t room = st->own_bytes;
  *err = 0;
  if (!takes_own(st, bytes)) {
    *err = bytes > UINT64_C(1) << 34 ? -ENOMEM : mp_shm_arena_lock(w); /* places / 8 have 32 bits */
    if (*err) return NULL;
    int64_t c = mp_shm_chunk_claim(bytes, MP_USED, st->object, st->part, &st->s->fresh);
    mp_shm_arena_unlock();
    if (c < 0) *err = (int)c;
    if (c < 0) return NULL;
    t = mp_shm_chunk_data((uint64_t)c);
    room = mp_shm_chunk_bytes((uint64_t)c);
  }
  atomic_store_explicit(&t->bytes, room, memory_order_relaxed);
  atomic_store_explicit(&t->shape, 0, memory_order_relaxed);
  for (uint64_t i = 0; i < slots; i++) atomic_store_explicit(&t->index[i], 0, memory_order_relaxed);
  return t;
}

int mp_shm_stripe_drop(const mp_shm_store *st, _Atomic uint32_t *which, const mp_shm_wait *w) {
  uint32_t c = *which;
  if (!c) return 0;
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  bool stays = MP_MUTANT(FRESH) && which == &st->s->fresh;
  if (c != chunk_of(st, st->s->table) && is_ours(st, c) && !stays) mp_shm_chunk_retire(c - 1);
  atomic_store_explicit(which, 0, memory_order_release);
  mp_shm_arena_unlock();
  return 0;
}

static void grow_version(mp_shm_stripe *s) {
  atomic_store_explicit(&s->version, s->version + 1, memory_order_release);
  atomic_thread_fence(memory_order_seq_cst);
}

/* What comes before and after the store that puts a table in place. */
static void note_old(const mp_shm_store *st, uint32_t old) {
  if (!MP_MUTANT(OLD)) atomic_store_explicit(&st->s->old, old, memory_order_release);
}

static void finish_replace(const mp_shm_store *st, uint32_t old, uint64_t end, uint32_t n, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  if (!MP_MUTANT(VERSION)) grow_version(s);
  if (MP_MUTANT(OLD)) atomic_store_explicit(&s->old, old, memory_order_release);
  atomic_store_explicit(&s->fresh, 0, memory_order_release);
  s->end = end;
  atomic_store_explicit(&s->live, n, memory_order_relaxed);
  s->used = n;
  atomic_store_explicit(&s->dead, 0, memory_order_relaxed);
  if (!n) s->outside = 0;
  atomic_store_explicit(&s->copies, s->copies + 1, memory_order_relaxed);
  if (mp_shm_stripe_drop(st, &s->old, w) != 0) s->needs_recovery = 1;
}

void mp_shm_stripe_replace(const mp_shm_store *st, uint64_t word, uint64_t end, uint32_t n, const mp_shm_wait *w) {
  uint32_t old = chunk_of(st, st->s->table);
  note_old(st, old);
  atomic_store_explicit(&st->s->table, word, memory_order_release);
  finish_replace(st, old, end, n, w);
}

int mp_shm_stripe_replace_with(const mp_shm_store *st, uint64_t word, uint64_t end, uint32_t n, uint64_t leaves,
                               uint64_t record, uint32_t nhandles, const mp_shm_wait *w) {
  uint32_t old = chunk_of(st, st->s->table);
  note_old(st, old);
  int err = mp_shm_stripe_commit(st, &st->s->table, word, leaves, record, nhandles, w);
  if (err) {
    st->s->needs_recovery = 1; /* recovery frees the new table */
    return err;
  }
  finish_replace(st, old, end, n, w);
  return 0;
}

/* --- handles --- */

static void take_off_transit(mp_shm_stripe *s) {
  uint32_t n;
  uint64_t record = mp_shm_entry_handles(mp_shm_at(s->retired), &n);
  if (!MP_MUTANT(RETIRED)) mp_shm_transit_begin(record, n, mp_shm_offset(&s->retired), 0, -1);
  atomic_store_explicit(&s->retired, 0, memory_order_release);
  if (!MP_MUTANT(RETIRED)) mp_shm_transit_end();
}

void mp_shm_stripe_finish_retired(const mp_shm_store *st) {
  mp_shm_stripe *s = st->s;
  if (!s->retired) return;
  uint64_t table = s->table ? mp_shm_offset(mp_shm_table_at(s->table)) : 0;
  if (table && s->retired > table && st->layout->has(st, s->retired - table))
    atomic_store_explicit(&s->retired, 0, memory_order_release);
  else
    take_off_transit(s);
}

int mp_shm_stripe_commit(const mp_shm_store *st, _Atomic uint64_t *word, uint64_t value, uint64_t leaves,
                         uint64_t record, uint32_t n, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  if (leaves) atomic_store_explicit(&s->retired, leaves, memory_order_release);
  if (n) mp_shm_transit_begin(record, n, MP_MUTANT(WATCHED) ? record : mp_shm_offset(word), value, 1);
  atomic_store_explicit(word, value, memory_order_release);
  if (n) mp_shm_transit_end();
  if (leaves) take_off_transit(s);
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
  return 0;
}

uint32_t mp_shm_entry_drop_handles(mp_shm_entry *e) {
  uint32_t n;
  mp_shm_shape s = mp_shm_entry_shape(e);
  uint64_t record = mp_shm_entry_handles(e, &n);
  if (!n) return 0;
  s.nhandles = 0;
  mp_shm_transit_begin(record, n, mp_shm_offset(&e->head), mp_shm_head(&s), -1);
  atomic_store_explicit(&e->head, mp_shm_head(&s), memory_order_release);
  mp_shm_transit_end();
  return n;
}

uint64_t mp_shm_stripe_free_chunks(const mp_shm_store *st) {
  mp_shm_stripe *s = st->s;
  uint32_t c[3] = {chunk_of(st, s->table), s->fresh, s->old};
  uint64_t bytes = 0;
  for (int i = 0; i < 3; i++) {
    if (!is_ours(st, c[i])) continue;
    bytes += mp_shm_chunk_bytes(c[i] - 1);
    mp_shm_chunk_retire(c[i] - 1);
  }
  s->fresh = s->old = 0;
  atomic_store_explicit(&s->table, 0, memory_order_release);
  return bytes;
}

bool mp_shm_container_free_chunks(uint32_t object) {
  int64_t after;
  uint32_t block = mp_shm_object_at(object)->chunk;
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = after) {
    after = mp_shm_chunk_after((uint64_t)i);
    uint64_t st = mp_shm_chunk_at((uint64_t)i)->st, bytes = mp_shm_chunk_bytes((uint64_t)i);
    if (mp_shm_chunk_state(st) != MP_USED || mp_shm_chunk_tag(st) != object || (uint32_t)i == block) continue;
    mp_shm_chunk_free((uint64_t)i);
    if (!mp_shm_object_spend(mp_shm_container_units(bytes))) return false;
  }
  return true;
}

/* --- the lock --- */

void mp_shm_stripe_init(mp_shm_stripe *s) {
  memset((void *)s, 0, sizeof *s);
  mp_shm_robust_init(&s->lock);
}

/* Version first: what is found dead may be written to again. With the arena lock an interrupted move of handles is resolved. */
static int recover(const mp_shm_store *st, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  if (!MP_MUTANT(MENDED)) grow_version(s);
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  mp_shm_stripe_finish_retired(st);
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
  err = mp_shm_stripe_drop(st, &s->fresh, w);
  if (!err) err = mp_shm_stripe_drop(st, &s->old, w);
  if (err) return err;
  if (!MP_MUTANT(COUNTED)) st->layout->count(st);
  s->needs_recovery = 0;
  return 0;
}

static void note_abandoned(mp_shm_stripe *s) {
  s->needs_recovery = 1;
  mp_os_mutex_consistent(&s->lock);
}

static int lock_slowly(const mp_shm_store *st, int r, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  if (r == -EBUSY) {
    r = mp_shm_lock_word(&s->lock, w);
    if (r < 0) return r;
    s->busy++;
  }
  if (r < 0) return r;
  if (r == MP_ABANDONED) note_abandoned(s);
  int err = s->needs_recovery ? recover(st, w) : 0;
  if (err) mp_os_mutex_unlock(&s->lock);
  return err;
}

int mp_shm_stripe_lock(const mp_shm_store *st, const mp_shm_wait *w) {
  int r = mp_os_mutex_try(&st->s->lock);
  if (r == MP_LOCKED && !atomic_load_explicit(&st->s->needs_recovery, memory_order_relaxed)) return 0;
  return lock_slowly(st, r, w);
}

bool mp_shm_stripe_trylock(mp_shm_stripe *s) {
  int r = mp_os_mutex_try(&s->lock);
  if (r == MP_ABANDONED) note_abandoned(s);
  return r >= 0;
}
