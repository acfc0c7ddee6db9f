/* SPDX-License-Identifier: MIT */
/* What takes all keys of a dictionary: clear, count, copies. The words stand in dict.h. */
#include <errno.h>

#include "shm/container/dict_internal.h"

#define COPY_TRIES 3 /* then under the lock */

/* --- clear, count, stats --- */

static bool carries(mp_shm_stripe *s, uint64_t slot) {
  return mp_shm_entry_shape(mp_shm_entry_at(mp_shm_table_at(s->table), mp_shm_slot_place(slot))).nhandles != 0;
}

static int clear_stripe(mp_shm_dict *d, const mp_shm_store *st, const mp_shm_wait *w) {
  mp_shm_stripe *s = st->s;
  uint64_t n = s->table && d->carried ? mp_shm_index_size(s->table) : 0;
  for (uint64_t i = 0; i < n; i++) {
    _Atomic uint64_t *p = &mp_shm_table_at(s->table)->index[i];
    if (!mp_shm_slot_is_of(st, *p, d->mask) || !carries(s, *p)) continue;
    int err = mp_shm_dict_remove(d, st, p, *p, w);
    if (err) return err;
  }
  if (s->table) mp_shm_stripe_replace(st, 0, 0, 0, w);
  return 0;
}

int mp_shm_dict_clear(mp_shm_dict *d, const mp_shm_wait *w) {
  int err = 0;
  for (uint32_t i = 0; i <= mp_shm_dict_mask(d) && !err; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    err = mp_shm_stripe_lock(&st, w);
    if (err) return err;
    err = clear_stripe(d, &st, w);
    mp_shm_stripe_unlock(st.s);
  }
  return err;
}

/* What a dead writer left uncounted is counted first. */
static int reap_count(const mp_shm_store *st, const mp_shm_wait *w) {
  if (!st->s->needs_recovery && !mp_os_mutex_abandoned(&st->s->lock)) return 0;
  int err = mp_shm_stripe_lock(st, w);
  if (!err) mp_shm_stripe_unlock(st->s);
  return err;
}

int mp_shm_dict_count(mp_shm_dict *d, const mp_shm_wait *w, uint64_t *n) {
  uint32_t mask;
  do {
    mask = mp_shm_dict_mask(d);
    *n = 0;
    for (uint32_t i = 0; i <= mask; i++) {
      mp_shm_store st = mp_shm_dict_store(d, i);
      int err = reap_count(&st, w);
      if (err) return err;
      *n += atomic_load_explicit(&st.s->live, memory_order_relaxed);
    }
  } while (mask != mp_shm_dict_mask(d));
  return 0;
}

void mp_shm_dict_stats(mp_shm_dict *d, mp_shm_dict_numbers *n) {
  uint32_t mask = mp_shm_dict_mask(d);
  *n = (mp_shm_dict_numbers){.bytes = MP_PAGE + d->recent_bits / 8, .stripes = mask + 1, .evictions = d->evictions};
  if (mask) n->bytes += mp_shm_chunk_bytes(d->rest - 1);
  for (uint32_t i = 0; i <= mask; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    uint64_t w = mp_shm_stripe_table(st.s);
    if (w && mp_shm_table_at(w) != st.own) n->bytes += mp_shm_table_bytes(mp_shm_table_at(w));
    n->entries += st.s->live;
    n->dead += st.s->dead;
    n->copies += st.s->copies;
  }
}

/* --- copies --- */

typedef struct copy {
  char *buf;
  uint64_t room, used;
  uint32_t mask;
} copy;

/* 0, -ENOSPC, or -EAGAIN: what is there cannot be an entry. */
static int copy_table(const mp_shm_store *st, uint64_t w, copy *c) {
  mp_shm_table *t = mp_shm_table_at(w);
  for (uint64_t i = 0; w && i < mp_shm_index_size(w); i++) {
    uint64_t slot = atomic_load_explicit(&t->index[i], memory_order_acquire);
    if (!mp_shm_slot_is_of(st, slot, c->mask)) continue;
    int64_t n = mp_shm_entry_copy(t, mp_shm_slot_place(slot), c->buf + c->used, c->room - c->used);
    if (n <= 0) return n ? -EAGAIN : -ENOSPC;
    c->used += (uint64_t)n;
  }
  return 0;
}

/* A key that is deleted and set again could be met twice where another took its first slot: that shows by `reused`. */
static int copy_free(mp_shm_dict *d, const mp_shm_store *st, copy *c) {
  c->used = 0;
  c->mask = mp_shm_dict_mask(d);
  uint64_t version = mp_shm_stripe_version(st->s);
  uint32_t reused = atomic_load_explicit(&st->s->reused, memory_order_acquire);
  if (c->mask != mp_shm_dict_mask(d)) return -EAGAIN;
  int err = copy_table(st, mp_shm_stripe_table(st->s), c);
  if (!mp_shm_stripe_still(st->s, version)) return -EAGAIN;
  return atomic_load_explicit(&st->s->reused, memory_order_relaxed) == reused ? err : -EAGAIN;
}

static int copy_locked(mp_shm_dict *d, const mp_shm_store *st, copy *c, const mp_shm_wait *w) {
  int err = mp_shm_stripe_lock(st, w);
  if (err) return err;
  c->used = 0;
  c->mask = mp_shm_dict_mask(d);
  err = copy_table(st, st->s->table, c);
  mp_shm_stripe_unlock(st->s);
  return err;
}

int64_t mp_shm_dict_copy(mp_shm_dict *d, uint32_t i, void *buf, uint64_t room, uint32_t *mask, uint64_t *need,
                         const mp_shm_wait *w) {
  copy c = {.buf = buf, .room = room};
  mp_shm_store st = mp_shm_dict_store(d, i);
  int err = -EAGAIN;
  for (int tries = 0; tries < COPY_TRIES && err == -EAGAIN; tries++) err = copy_free(d, &st, &c);
  if (err == -EAGAIN) err = copy_locked(d, &st, &c, w);
  *mask = c.mask;
  if (err != -ENOSPC) return err ? err : (int64_t)c.used;
  uint64_t t = mp_shm_stripe_table(st.s);
  *need = t ? mp_shm_table_bytes(mp_shm_table_at(t)) : MP_PAGE; /* a guess: others may have it meanwhile */
  return -ENOSPC;
}

static void unlock_all(mp_shm_dict *d, uint32_t n) {
  while (n > 0) mp_shm_stripe_unlock(mp_shm_dict_stripe(d, --n));
}

/* Under stripe 0's lock there is no split. */
static int lock_all(mp_shm_dict *d, const mp_shm_wait *w) {
  for (uint32_t i = 0; i == 0 || i <= d->mask; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    int err = mp_shm_stripe_lock(&st, w);
    if (err) return unlock_all(d, i), err;
  }
  return 0;
}

static void retain_handles(const mp_shm_store *st, uint32_t mask) {
  uint64_t w = st->s->table;
  for (uint64_t i = 0; w && i < mp_shm_index_size(w); i++) {
    uint64_t slot = mp_shm_table_at(w)->index[i];
    uint32_t n;
    if (!mp_shm_slot_is_of(st, slot, mask)) continue;
    uint64_t record = mp_shm_entry_handles(mp_shm_entry_at(mp_shm_table_at(w), mp_shm_slot_place(slot)), &n);
    mp_shm_transit_retain(record, n);
  }
}

/* Stripe by stripe, so that nobody waits long for the arena: all are locked, and so what they have is alive. */
static int retain_all(mp_shm_dict *d, const mp_shm_wait *w) {
  if (!d->carried) return 0;
  for (uint32_t i = 0; i <= d->mask; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    int err = mp_shm_arena_lock(i ? NULL : w); /* once some are retained there is no way back */
    if (err) return err;
    retain_handles(&st, d->mask);
    mp_shm_arena_unlock();
  }
  return 0;
}

int64_t mp_shm_dict_copy_all(mp_shm_dict *d, void *buf, uint64_t room, uint64_t *need, const mp_shm_wait *w) {
  int err = lock_all(d, w);
  if (err) return err;
  copy c = {.buf = buf, .room = room, .mask = d->mask};
  *need = 0;
  for (uint32_t i = 0; i <= d->mask; i++) *need += mp_shm_live_bytes(mp_shm_dict_stripe(d, i));
  err = *need > room ? -ENOSPC : 0;
  for (uint32_t i = 0; i <= d->mask && !err; i++) {
    mp_shm_store st = mp_shm_dict_store(d, i);
    err = copy_table(&st, st.s->table, &c);
  }
  if (!err) err = retain_all(d, w);
  unlock_all(d, d->mask + 1);
  return err ? err : (int64_t)c.used;
}
