/* SPDX-License-Identifier: MIT */
/*
 * The queue after a death: its locks, the recovery that their loss calls for, what a cleaner gives back, and the end.
 * For put.c, get.c and sweep.c. Every function here may be cut short anywhere and run again.
 */
#include <errno.h>
#include <string.h>

#include "shm/queue/internal.h"

/* --- locks --- */

/* Goes on after a first try's outcome r: 0, 1 when recovery is due, or an error. */
static int lock_after(mp_shm_queue *q, mp_os_mutex *m, int r, const mp_shm_wait *w) {
  if (r == -EBUSY) r = mp_shm_lock_word(m, w);
  if (r < 0) return r;
  if (r == MP_ABANDONED) {
    q->needs_recovery = 1;
    mp_os_mutex_consistent(m);
  }
  return (int)atomic_load_explicit(&q->needs_recovery, memory_order_relaxed);
}

static int lock_one(mp_shm_queue *q, mp_os_mutex *m, const mp_shm_wait *w) {
  return lock_after(q, m, mp_os_mutex_try(m), w);
}

static bool is_ours(mp_shm_queue *q, uint64_t i) {
  uint64_t st = mp_shm_chunk_at(i)->st;
  return mp_shm_chunk_state(st) == MP_USED && mp_shm_chunk_tag(st) == q->slot;
}

typedef struct walk { /* what the records between head and tail show */
  uint64_t n, last;
  bool own, spare, fresh, drained, publishing; /* that segment, or what those words name, is in the chain */
} walk;

static void see_segment(mp_shm_queue *q, walk *k, uint64_t pos) {
  uint32_t s = (uint32_t)mp_shm_chunk_index(mp_shm_segment_of(pos)) + 1;
  k->own |= mp_shm_queue_is_own(q, s);
  k->spare |= q->spare == s;
  k->fresh |= q->fresh == s;
  k->drained |= q->drained == s;
}

/* Nobody can be taking it now: a reader that did died before it moved head. */
static void see_large(mp_shm_queue *q, walk *k, uint64_t i) {
  k->publishing |= q->publishing == i + 1;
  mp_shm_chunk_set(i, MP_QUEUED, q->slot);
}

static walk walk_records(mp_shm_queue *q) {
  walk k = {0};
  uint64_t pos = mp_shm_queue_head(q), tail = q->tail;
  see_segment(q, &k, pos);
  while (pos != tail) {
    mp_shm_record *r = mp_shm_at(pos);
    if (r->type == MP_RECORD_JUMP) {
      pos = mp_shm_queue_segment_begin(q, r->seq);
      see_segment(q, &k, pos);
      continue;
    }
    if (r->type == MP_RECORD_LARGE) see_large(q, &k, *(uint64_t *)(r + 1));
    k.n++;
    k.last = r->seq;
    pos += mp_shm_record_span(r->bytes);
  }
  return k;
}

/* A segment that no chain has: the spare one from now on, or free. */
static void rescue_segment(mp_shm_queue *q, uint32_t s) {
  if (!s || mp_shm_queue_is_own(q, s) || q->spare == s || !is_ours(q, s - 1)) return;
  if (!q->spare)
    q->spare = s;
  else
    mp_shm_chunk_free(s - 1);
}

static uint32_t count_returned(mp_shm_queue *q) {
  uint32_t n = 0;
  if (!q->had_large) return 0;
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i)) {
    uint64_t st = mp_shm_chunk_at((uint64_t)i)->st;
    n += mp_shm_chunk_state(st) == MP_RETURNED && mp_shm_chunk_tag(st) == q->slot;
  }
  return n;
}

/* A lease's copy of a record that is still in the chain. */
static void drop_cut_lease(mp_shm_queue *q) {
  uint32_t x = q->leasing;
  if (MP_MUTANT(LEASE)) return;
  if (x && q->head == q->lease_head && mp_shm_chunk_state(mp_shm_chunk_at(x - 1)->st) == MP_READING)
    mp_shm_chunk_free(x - 1);
  q->leasing = 0;
}

/* With both locks and the arena lock. */
static void recover(mp_shm_queue *q) {
  if (MP_MUTANT(RECOVERY)) return;
  walk k = walk_records(q);
  q->vacant = !k.own;
  if (k.spare) q->spare = 0;
  if (!k.drained) rescue_segment(q, q->drained);
  q->drained = 0;
  if (!k.fresh) rescue_segment(q, q->fresh);
  q->fresh = 0;
  uint32_t x = q->publishing;
  if (x && !k.publishing && !MP_MUTANT(UNPUBLISHED) &&
      mp_shm_chunk_at(x - 1)->st == MP_ST(MP_QUEUED, mp_shm_chunk_size(mp_shm_chunk_at(x - 1)->st), q->slot))
    mp_shm_chunk_free(x - 1);
  q->publishing = 0;
  drop_cut_lease(q);
  uint64_t put = q->nput > q->ngot ? q->nput : q->ngot;
  if (k.n) put = k.last;
  q->seen = mp_shm_queue_head(q);
  q->end = q->tail;
  q->nput = put;
  q->ngot = put - k.n;
  q->nret = count_returned(q);
}

int mp_shm_queue_lock_both(mp_shm_queue *q, const mp_shm_wait *w) {
  int r = lock_one(q, &q->producers, w);
  if (r < 0) return r;
  r = lock_one(q, &q->consumers, w);
  if (r < 0) {
    mp_os_mutex_unlock(&q->producers);
    return r;
  }
  if (r) {
    r = mp_shm_arena_lock(w);
    if (r) {
      mp_shm_queue_unlock_both(q);
      return r;
    }
    recover(q);
    q->needs_recovery = 0;
    mp_shm_arena_unlock();
    mp_shm_wait_queue_wake_again(&q->data);
    mp_shm_wait_queue_wake_again(&q->room);
  }
  return 0;
}

void mp_shm_queue_unlock_both(mp_shm_queue *q) {
  mp_os_mutex_unlock(&q->consumers);
  mp_os_mutex_unlock(&q->producers);
}

int mp_shm_queue_lock_slowly(mp_shm_queue *q, mp_os_mutex *side, int tried, const mp_shm_wait *w) {
  int r = lock_after(q, side, tried, w);
  if (r <= 0) return r;
  mp_os_mutex_unlock(side);
  r = mp_shm_queue_lock_both(q, w);
  if (r == 0) mp_os_mutex_unlock(side == &q->producers ? &q->consumers : &q->producers);
  return r;
}

/* --- drained segments --- */

int mp_shm_queue_finish_drained(mp_shm_queue *q, const mp_shm_wait *w) {
  uint32_t s = q->drained, none = 0;
  if (!s) return 0;
  if (mp_shm_queue_is_own(q, s)) {
    atomic_store_explicit(&q->vacant, 1, memory_order_release);
  } else if (!atomic_compare_exchange_strong(&q->spare, &none, s)) {
    int err = mp_shm_arena_lock(w);
    if (err) return err;
    mp_shm_chunk_free(s - 1);
    mp_shm_arena_unlock();
  }
  atomic_store_explicit(&q->drained, 0, memory_order_release);
  return 0;
}

/* --- large messages that come back --- */

void mp_shm_queue_hand_back(mp_shm_queue *q, uint64_t i) {
  mp_shm_pending(&q->data.word);
  mp_shm_chunk_set(i, MP_RETURNED, q->slot);
  atomic_store_explicit(&q->nret, q->nret + 1, memory_order_release);
  mp_shm_wait_queue_wake(&q->data);
  mp_shm_pending(NULL);
}

/* A lease's end is reported when that was asked for; whoever waits for a closed queue's end may go on. */
static void take_from_dead(mp_shm_queue *q, uint64_t i) {
  if (q->kind & MP_QUEUE_REPORTS && mp_shm_chunk_at(i)->lessee) {
    mp_shm_chunk_set(i, MP_ORPHANED, q->slot);
    mp_shm_wait_queue_wake_again(&q->data);
  } else {
    mp_shm_queue_hand_back(q, i);
  }
}

int mp_shm_queue_reap(uint64_t i, uint32_t proc) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  mp_shm_queue *q = mp_shm_chunk_data(mp_shm_object_at(mp_shm_chunk_at(i)->object)->chunk);
  int err = mp_shm_queue_lock_both(q, &brief);
  if (err) return err;
  uint64_t st = mp_shm_chunk_at(i)->st;
  if (mp_shm_chunk_state(st) == MP_READING && mp_shm_chunk_tag(st) == proc) take_from_dead(q, i);
  mp_shm_queue_unlock_both(q);
  return 0;
}

/* --- the end: under the arena lock, nobody else can reach the queue --- */

/* The store that takes n handles out of transit is to the word that says how many there are. */
static void drop_handles(uint64_t list, uint32_t n, uint64_t word, uint64_t without) {
  mp_shm_transit_begin(list, n, word, without, -1);
  atomic_store_explicit((_Atomic uint64_t *)mp_shm_at(word), without, memory_order_release);
  mp_shm_transit_end();
}

static void drop_handles_of_record(uint64_t pos) {
  mp_shm_record none = *(mp_shm_record *)mp_shm_at(pos);
  uint64_t without;
  if (!none.nhandles) return;
  uint32_t n = none.nhandles;
  none.nhandles = 0;
  memcpy(&without, &none, sizeof without);
  drop_handles(pos + sizeof none, n, pos, without);
}

static void drop_handles_of_large(uint64_t i) {
  mp_shm_large *x = mp_shm_chunk_data(i);
  if (x->nhandles)
    drop_handles(mp_shm_offset(x + 1), x->nhandles, mp_shm_offset(x) + offsetof(mp_shm_large, nhandles), 0);
}

/* Records before tail stand still, whatever a producer does meanwhile. */
static void drop_handles_of_records(mp_shm_queue *q) {
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  uint64_t pos = mp_shm_queue_head(q);
  while (pos != tail) {
    mp_shm_record *r = mp_shm_at(pos);
    if (r->type == MP_RECORD_JUMP) {
      pos = mp_shm_queue_segment_begin(q, r->seq);
      continue;
    }
    drop_handles_of_record(pos);
    if (r->type == MP_RECORD_LARGE) drop_handles_of_large(*(uint64_t *)(r + 1));
    pos += mp_shm_record_span(r->bytes);
  }
}

static void drop_handles_of_returned(mp_shm_queue *q) {
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i)) {
    uint64_t st = mp_shm_chunk_at((uint64_t)i)->st;
    if (mp_shm_chunk_state(st) == MP_RETURNED && mp_shm_chunk_tag(st) == q->slot) drop_handles_of_large((uint64_t)i);
  }
}

void mp_shm_queue_drop_messages(mp_shm_queue *q) {
  if (!q->carried) return;
  drop_handles_of_records(q);
  if (q->had_large) drop_handles_of_returned(q);
}

static void drop_large(mp_shm_queue *q, uint64_t i) {
  mp_shm_chunk *c = mp_shm_chunk_at(i);
  mp_shm_large *x = mp_shm_chunk_data(i);
  uint64_t ours = MP_ST(MP_USED, mp_shm_chunk_size(c->st), q->slot);
  if (x->nhandles) {
    mp_shm_transit_begin(mp_shm_offset(x + 1), x->nhandles, mp_shm_offset(&c->st), ours, -1);
    atomic_store_explicit(&c->st, ours, memory_order_release);
    mp_shm_transit_end();
  }
  mp_shm_chunk_free(i);
}

/* Whatever belongs to the queue but its own block, found by the table alone. */
static void free_all(mp_shm_queue *q, uint32_t block) {
  int64_t after;
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = after) {
    after = mp_shm_chunk_after((uint64_t)i); /* looked up before i is freed and joined with others */
    uint64_t st = mp_shm_chunk_at((uint64_t)i)->st;
    unsigned state = mp_shm_chunk_state(st);
    if (mp_shm_chunk_tag(st) != q->slot || (uint32_t)i == block) continue;
    if (state == MP_USED) mp_shm_chunk_free((uint64_t)i);
    if (state == MP_QUEUED || state == MP_RETURNED || state == MP_ORPHANED) drop_large(q, (uint64_t)i);
  }
}

static void free_segment(mp_shm_queue *q, uint32_t s) {
  if (s && !mp_shm_queue_is_own(q, s) && is_ours(q, s - 1)) mp_shm_chunk_free(s - 1);
}

static void free_chain(mp_shm_queue *q) {
  uint64_t last = mp_shm_segment_of(q->tail), segment = mp_shm_segment_of(mp_shm_queue_head(q));
  while (segment) {
    uint64_t next = segment == last ? 0 : ((mp_shm_segment *)mp_shm_at(segment))->next;
    free_segment(q, (uint32_t)mp_shm_chunk_index(segment) + 1);
    segment = next;
  }
  free_segment(q, q->spare);
  free_segment(q, q->drained);
  free_segment(q, q->fresh);
}

/* A large message whose put was cut short before its commit: its handles are not in transit. */
static void drop_unpublished(mp_shm_queue *q) {
  uint64_t i = q->publishing - 1, st = mp_shm_chunk_at(i)->st;
  if (!walk_records(q).publishing && st == MP_ST(MP_QUEUED, mp_shm_chunk_size(st), q->slot)) mp_shm_chunk_free(i);
  atomic_store_explicit(&q->publishing, 0, memory_order_release);
}

/* Records are looked at only before the first segment goes: what is cut short later finds publishing and carried 0. */
void mp_shm_queue_destroy(uint32_t slot, void *block, bool thorough) {
  mp_shm_queue *q = block;
  thorough |=
      q->had_large || q->needs_recovery || mp_os_mutex_abandoned(&q->producers) || mp_os_mutex_abandoned(&q->consumers);
  if (q->publishing) drop_unpublished(q);
  if (q->carried) drop_handles_of_records(q);
  atomic_store_explicit(&q->carried, 0, memory_order_release);
  if (thorough)
    free_all(q, mp_shm_object_at(slot)->chunk);
  else
    free_chain(q);
}
