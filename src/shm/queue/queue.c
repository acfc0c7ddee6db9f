/* SPDX-License-Identifier: MIT */
/* Put and get. The words and their survivors' view stand in queue.h; what happens after a death, in queue_repair.c. */
#include <errno.h>
#include <string.h>

#include "shm/queue/internal.h"
#include "shm/wait/wait_set.h"

#define CACHE_LINE 64u
#define PREFETCH_MOST 2048u

/* --- birth --- */

typedef struct order {
  uint64_t maxsize;
  uint32_t kind;
  size_t bytes; /* of the queue itself */
} order;

static void init(uint32_t slot, void *block, const void *arg) {
  const order *o = arg;
  mp_shm_queue *q = block;
  memset(q, 0, sizeof *q);
  q->slot = slot;
  q->kind = o->kind;
  q->maxsize = o->maxsize;
  q->begin = (o->bytes + MP_LINE - 1) & ~(uint64_t)(MP_LINE - 1);
  q->head = q->tail = q->end = q->seen = mp_shm_offset(q) + q->begin;
  mp_shm_robust_init(&q->producers);
  mp_shm_robust_init(&q->consumers);
  mp_shm_wait_queue_init(&q->data);
  mp_shm_wait_queue_init(&q->room);
  if (q->kind & MP_QUEUE_JOINABLE) mp_shm_joinable_init(q);
}

static bool never_reaped(const void *block) { return !(((const mp_shm_queue *)block)->kind & MP_QUEUE_JOINABLE); }

const mp_shm_object_type_info mp_shm_queue_type = {.destroy = mp_shm_queue_destroy,
                                                   .use_is_no_claim = true,
                                                   .reap = mp_shm_joinable_reap,
                                                   .claimed = mp_shm_joinable_claimed,
                                                   .quiet = never_reaped,
                                                   .reap_chunk = mp_shm_queue_reap,
                                                   .chunk_carries = mp_shm_large_carries};

int mp_shm_queue_new(uint64_t maxsize, uint32_t kind, const mp_shm_wait *w, mp_shm_handle *out) {
  order o = {maxsize, kind, kind & MP_QUEUE_JOINABLE ? mp_shm_joinable_bytes() : sizeof(mp_shm_queue)};
  return mp_shm_object_new(MP_TYPE_QUEUE, MP_SEGMENT, init, &o, w, out);
}

/* --- what waits look at: without a lock, so only a hint; the lock decides --- */

static uint64_t count(mp_shm_queue *q) {
  uint64_t got = atomic_load_explicit(&q->ngot, memory_order_relaxed);
  uint64_t put = atomic_load_explicit(&q->nput, memory_order_relaxed);
  return (put > got ? put - got : 0) + atomic_load_explicit(&q->nret, memory_order_relaxed);
}

/* A consumer died with its lock, so that ngot and nret may be behind head and the chunks: a waiter that trusted them
 * could sleep for ever where nobody else takes that lock. It repairs instead. */
bool mp_shm_queue_unreaped(const mp_shm_queue *q) {
  return mp_os_mutex_abandoned(&q->consumers) || atomic_load_explicit(&q->dirty, memory_order_relaxed);
}

/* Or the end: closed, and nothing may come back. */
static bool has_news(mp_shm_queue *q) {
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  return tail != mp_shm_queue_head(q) || atomic_load_explicit(&q->nret, memory_order_relaxed) ||
         (atomic_load_explicit(&q->closed, memory_order_relaxed) && !mp_shm_queue_out(q));
}

static bool has_data(void *arg) { return mp_shm_queue_unreaped(arg) || has_news(arg); }

/* For those who only look: what a getter would repair, this repairs. */
bool mp_shm_queue_ready(void *arg) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (mp_shm_deferred) mp_shm_deferred_flush();
  if (mp_shm_queue_unreaped(arg) && mp_shm_queue_lock_both(arg, &brief) == 0) mp_shm_queue_unlock_both(arg);
  return has_news(arg);
}

static bool has_room(mp_shm_queue *q) {
  return !q->maxsize || count(q) < q->maxsize || atomic_load_explicit(&q->closed, memory_order_relaxed);
}

static bool has_room_or_repair(void *arg) {
  mp_shm_queue *q = arg;
  return has_room(q) || mp_shm_queue_unreaped(q);
}

/* --- put --- */

static bool fits(uint64_t begin, uint64_t span) { return begin + span + sizeof(mp_shm_record) <= MP_SEGMENT; }

/* The offset of a segment for a record of `span` bytes, not yet in the chain: one that a failed put left in `fresh`, the
 * own one, the spare one, or a new one. 0: none (*err). */
static uint64_t next_segment(mp_shm_queue *q, uint64_t span, const mp_shm_wait *w, int *err) {
  uint32_t s = q->fresh;
  if (!s && atomic_load_explicit(&q->vacant, memory_order_acquire) && fits(q->begin, span)) return mp_shm_offset(q);
  if (!s) s = atomic_load_explicit(&q->spare, memory_order_acquire);
  if (s) return mp_shm_chunk_offset(s - 1);
  *err = mp_shm_arena_lock(w);
  if (*err) return 0;
  int64_t i = mp_shm_chunk_claim(MP_SEGMENT, MP_USED, q->slot, q->slot, &q->fresh);
  mp_shm_arena_unlock();
  if (i < 0) *err = (int)i;
  return i < 0 ? 0 : mp_shm_chunk_offset((uint64_t)i);
}

/* Leads from the tail to a new segment; nothing of it shows before tail moves. */
static void link_segment(uint64_t tail, uint64_t segment) {
  mp_shm_record *jump = mp_shm_at(tail);
  *jump = (mp_shm_record){.type = MP_RECORD_JUMP, .seq = segment};
  ((mp_shm_segment *)mp_shm_at(mp_shm_segment_of(tail)))->next = segment;
}

/* Where a record of `span` bytes goes: its offset, or 0 with *err. */
static uint64_t place(mp_shm_queue *q, uint64_t span, const mp_shm_wait *w, int *err) {
  uint64_t tail = atomic_load_explicit(&q->end, memory_order_relaxed);
  if (fits(tail & (MP_SEGMENT - 1), span)) return tail;
  uint64_t segment = next_segment(q, span, w, err);
  if (!segment) return 0;
  link_segment(tail, segment);
  return mp_shm_queue_segment_begin(q, segment);
}

/* One word names it: what is fresh is neither the own segment nor, before it has been drained, spare. */
static void taken_segment(mp_shm_queue *q, uint64_t segment) {
  uint32_t s = (uint32_t)mp_shm_chunk_index(segment) + 1;
  if (mp_shm_queue_is_own(q, s))
    atomic_store_explicit(&q->vacant, 0, memory_order_release);
  else if (atomic_load_explicit(&q->spare, memory_order_relaxed) == s)
    atomic_store_explicit(&q->spare, 0, memory_order_release);
  else
    atomic_store_explicit(&q->fresh, 0, memory_order_release);
}

static void write_record(mp_shm_queue *q, uint64_t at, uint64_t seq, const mp_shm_outgoing *m, int64_t extent) {
  mp_shm_record *r = mp_shm_at(at);
  r->seq = seq;
  r->pad = 0;
  if (extent < 0) {
    r->bytes = (uint32_t)(m->nhandles * 8 + m->len);
    r->nhandles = (uint16_t)m->nhandles;
    r->type = MP_RECORD_INLINE;
    if (m->nhandles) memcpy(r + 1, m->handles, m->nhandles * sizeof *m->handles);
    mp_shm_gather((char *)(r + 1) + m->nhandles * 8, m);
    return;
  }
  r->bytes = sizeof(uint64_t);
  r->nhandles = 0;
  r->type = MP_RECORD_LARGE;
  *(uint64_t *)(r + 1) = (uint64_t)extent;
  mp_shm_chunk_at((uint64_t)extent)->seq = seq;
  q->extents = 1;
  atomic_store_explicit(&q->publishing, (uint32_t)extent + 1, memory_order_release);
  mp_shm_chunk_set((uint64_t)extent, MP_QUEUED, q->slot);
}

static void commit_tail(mp_shm_queue *q, uint64_t tail) {
  mp_shm_pending(&q->data.word);
  atomic_store_explicit(&q->tail, tail, memory_order_release);
  mp_shm_wait_queue_wake_sleeper(&q->data); /* try_put rings the watchers */
  mp_shm_pending(NULL);
}

static bool all_live(uint64_t list, uint32_t n) {
  const mp_shm_handle *h = mp_shm_at(list);
  for (uint32_t i = 0; i < n; i++)
    if (!mp_shm_object_live(h[i])) return false;
  return true;
}

/* As commit_tail, with n handles at `list` going on flight in the same step. */
static int commit_with_handles(mp_shm_queue *q, uint64_t tail, uint64_t list, uint32_t n, const mp_shm_wait *w) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  if (!all_live(list, n)) {
    mp_shm_arena_unlock();
    return -ENOENT;
  }
  if (q->closed) { /* the one who could read it has gone since the look in try_put */
    mp_shm_arena_unlock();
    return -EPIPE;
  }
  q->carried = 1;
  mp_shm_transit_begin(list, n, mp_shm_offset(&q->tail), tail, 1);
  commit_tail(q, tail);
  mp_shm_transit_end();
  mp_shm_arena_unlock();
  return 0;
}

static uint64_t handles_at(uint64_t record, int64_t extent) {
  return extent < 0 ? record + sizeof(mp_shm_record) : mp_shm_chunk_offset((uint64_t)extent) + sizeof(mp_shm_large);
}

/* Takes a record that was not committed back: its extent is in our hands again. */
static void retract(mp_shm_queue *q, int64_t extent) {
  if (extent < 0) return;
  mp_shm_chunk_set((uint64_t)extent, MP_HELD, mp_shm_my_slot);
  atomic_store_explicit(&q->publishing, 0, memory_order_release);
}

/* With the producers' lock, room being there. */
static int append(mp_shm_queue *q, const mp_shm_outgoing *m, int64_t extent, const mp_shm_wait *w) {
  uint32_t bytes = extent < 0 ? (uint32_t)(m->nhandles * 8 + m->len) : (uint32_t)sizeof(uint64_t);
  int err = 0;
  uint64_t at = place(q, mp_shm_record_span(bytes), w, &err);
  if (!at) return err;
  uint64_t seq = atomic_load_explicit(&q->nput, memory_order_relaxed) + 1;
  uint64_t tail = at + mp_shm_record_span(bytes);
  if (MP_MUTANT(COMMIT)) atomic_store_explicit(&q->tail, tail, memory_order_release);
  write_record(q, at, seq, m, extent);
  bool crossed = at != atomic_load_explicit(&q->end, memory_order_relaxed);
  if (m->nhandles)
    err = commit_with_handles(q, tail, handles_at(at, extent), m->nhandles, w);
  else
    commit_tail(q, tail);
  if (err) {
    retract(q, extent);
    return err;
  }
  /* From here on the record is the readers'. */
  atomic_store_explicit(&q->end, tail, memory_order_relaxed);
  atomic_store_explicit(&q->nput, seq, memory_order_release);
  if (crossed) taken_segment(q, mp_shm_segment_of(at));
  if (extent >= 0) {
    atomic_store_explicit(&q->publishing, 0, memory_order_release);
    mp_shm_proc_add_claimed(-1);
  }
  return 0;
}

/* One try: 0, -EPIPE, -EAGAIN when it has become full, or a failure. */
static int try_put(mp_shm_queue *q, const mp_shm_outgoing *m, int64_t extent, const mp_shm_wait *w) {
  int err = mp_shm_queue_lock(q, &q->producers, w);
  if (err) return err;
  if (atomic_load_explicit(&q->closed, memory_order_relaxed))
    err = -EPIPE;
  else if (!has_room(q))
    err = -EAGAIN;
  else
    err = append(q, m, extent, w);
  mp_os_mutex_unlock(&q->producers);
  if (!err) mp_shm_wait_queue_wake_observers(&q->data);
  return err;
}

static int wait_for_room(mp_shm_queue *q, const mp_shm_wait *w) {
  if (!q->maxsize) return 0;
  int err = mp_shm_wait_queue_wait(&q->room, has_room_or_repair, q, w);
  if (err || !mp_shm_queue_unreaped(q)) return err;
  err = mp_shm_queue_lock_both(q, w);
  if (!err) mp_shm_queue_unlock_both(q);
  return err;
}

int mp_shm_queue_put(mp_shm_queue *q, const mp_shm_outgoing *m, const mp_shm_wait *w) {
  bool big = (uint64_t)m->nhandles * 8 + m->len > mp_shm_queue_inline_max || m->nhandles > UINT16_MAX;
  int64_t extent = -1;
  int err;
  bool swept = false;
  do {
    err = wait_for_room(q, w);
    if (!err && big && extent < 0) {
      extent = mp_shm_large_make(q, m, w);
      if (extent < 0) err = (int)extent;
    }
    if (!err) err = try_put(q, m, extent, w);
    if (err == -ENOMEM && !swept) { /* the dead may have left some */
      mp_shm_sweep();
      swept = true;
      err = -EAGAIN;
    }
  } while (err == -EAGAIN);
  if (err) mp_shm_large_drop(extent);
  return err;
}

/* --- get --- */

static bool take_returned(mp_shm_queue *q, mp_shm_incoming *g, bool lease) {
  int64_t i = mp_shm_large_returned(q);
  if (i >= 0) mp_shm_joinable_count(q, 1);
  mp_shm_pending(&q->room.word); /* a returned message took room too */
  if (i >= 0) mp_shm_large_take(g, (uint64_t)i, lease);
  q->nret = i >= 0 ? q->nret - 1 : 0;
  mp_shm_wait_queue_wake(&q->room);
  mp_shm_pending(NULL);
  return i >= 0;
}

static void read_inline(mp_shm_incoming *g, void *buf, const mp_shm_record *r) {
  memcpy(buf, r + 1, r->bytes);
  *g = (mp_shm_incoming){.data = (char *)buf + r->nhandles * 8u,
                         .len = r->bytes - r->nhandles * 8u,
                         .seq = r->seq,
                         .handles = buf,
                         .nhandles = r->nhandles,
                         .extent = -1};
}

static void commit_head(mp_shm_queue *q, uint64_t head) {
  if (!q->maxsize) {
    atomic_store_explicit(&q->head, head, memory_order_release);
    return;
  }
  mp_shm_pending(&q->room.word);
  atomic_store_explicit(&q->head, head, memory_order_release);
  atomic_store_explicit(&q->ngot, q->ngot + 1, memory_order_release); /* the room that is rung for */
  mp_shm_wait_queue_wake(&q->room);
  mp_shm_pending(NULL);
}

/* As commit_head, with the record's handles coming off flight into this process in the same step. */
static int commit_head_with_handles(mp_shm_queue *q, uint64_t head, const mp_shm_record *r, const mp_shm_wait *w) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  uint64_t list = mp_shm_offset(r + 1);
  mp_shm_transit_retain(list, r->nhandles);
  mp_shm_transit_begin(list, r->nhandles, mp_shm_offset(&q->head), head, -1);
  commit_head(q, head);
  mp_shm_transit_end();
  mp_shm_arena_unlock();
  return 0;
}

/* The next record, if it is known to be there, comes into the cache while this one is decoded. */
static void prefetch(mp_shm_queue *q, uint64_t at, uint64_t span) {
  if (at == atomic_load_explicit(&q->seen, memory_order_relaxed)) return;
  if (span > PREFETCH_MOST) span = PREFETCH_MOST;
  for (uint64_t i = 0; i < span; i += CACHE_LINE) __builtin_prefetch(mp_shm_at(at + i));
}

/* With the consumers' lock, a record or a jump being there. */
static int take_first(mp_shm_queue *q, uint64_t at, void *buf, mp_shm_incoming *g, bool lease, const mp_shm_wait *w) {
  int err = 0;
  mp_shm_record *r = mp_shm_at(at);
  bool crossed = r->type == MP_RECORD_JUMP;
  if (crossed) {
    err = mp_shm_queue_finish_drained(q, w);
    if (err) return err;
    atomic_store_explicit(&q->drained, (uint32_t)mp_shm_chunk_index(mp_shm_segment_of(at)) + 1, memory_order_release);
    at = mp_shm_queue_segment_begin(q, r->seq);
    r = mp_shm_at(at);
  }
  uint64_t seq = r->seq, head = at + mp_shm_record_span(r->bytes);
  mp_shm_joinable_count(q, 1);
  bool leased = lease && r->type == MP_RECORD_INLINE;
  if (MP_MUTANT(TAKE)) atomic_store_explicit(&q->head, head, memory_order_release);
  if (r->type == MP_RECORD_LARGE)
    mp_shm_large_take(g, *(uint64_t *)(r + 1), lease);
  else if (lease)
    err = mp_shm_lease_inline(q, r, g, w);
  else
    read_inline(g, buf, r);
  if (r->nhandles && !leased)
    err = commit_head_with_handles(q, head, r, w);
  else if (!err)
    commit_head(q, head);
  if (err) { /* head has not moved: its segment is not drained */
    mp_shm_joinable_count(q, -1);
    if (crossed) atomic_store_explicit(&q->drained, 0, memory_order_release);
    return err;
  }
  atomic_store_explicit(&q->ngot, seq, memory_order_release);
  if (leased) mp_shm_lease_taken(q);
  prefetch(q, head, head - at);
  if (atomic_load_explicit(&q->drained, memory_order_relaxed)) mp_shm_queue_finish_drained(q, w);
  return 0;
}

/* Whether a record lies at `at`, the head; *closed is what held before the look. */
static bool more(mp_shm_queue *q, uint64_t at, bool *closed) {
  if (at != atomic_load_explicit(&q->seen, memory_order_relaxed)) return true;
  *closed = atomic_load_explicit(&q->closed, memory_order_acquire);
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  atomic_store_explicit(&q->seen, tail, memory_order_relaxed);
  return tail != at;
}

static bool test_record(const mp_shm_queue *q, const mp_shm_queue_test *t, uint64_t at) {
  mp_shm_record *r = mp_shm_at(at);
  if (r->type == MP_RECORD_JUMP) return test_record(q, t, mp_shm_queue_segment_begin(q, r->seq));
  if (r->type == MP_RECORD_LARGE) return mp_shm_large_passes(t, *(uint64_t *)(r + 1));
  uint32_t handles = r->nhandles * 8u;
  return t->passes(t->arg, (char *)(r + 1) + handles, r->bytes - handles);
}

/* With the consumers' lock, nothing being there at `at`. */
static int none(mp_shm_queue *q, bool closed) { return closed && !mp_shm_queue_out(q) ? -EPIPE : -EAGAIN; }

/* Whether the message that is next passes: 0 or -EMSGSIZE; or, when there is none, -EAGAIN or -EPIPE. */
static int test_next(mp_shm_queue *q, uint64_t at, const mp_shm_queue_test *t) {
  bool closed = false;
  int64_t returned = q->nret ? mp_shm_large_returned(q) : -1;
  if (returned >= 0) return mp_shm_large_passes(t, (uint64_t)returned) ? 0 : -EMSGSIZE;
  if (!more(q, at, &closed)) return none(q, closed);
  return test_record(q, t, at) ? 0 : -EMSGSIZE;
}

/* With the consumers' lock: 0, -EAGAIN when empty, -EPIPE, or a failure. */
static int take_next(mp_shm_queue *q, uint64_t at, void *buf, mp_shm_incoming *g, bool lease, const mp_shm_wait *w) {
  bool closed = false;
  if (q->nret && take_returned(q, g, lease)) return 0;
  return more(q, at, &closed) ? take_first(q, at, buf, g, lease, w) : none(q, closed);
}

/* One try: as take_next, or -EMSGSIZE. */
static int try_get(mp_shm_queue *q, void *buf, mp_shm_incoming *g, bool lease, const mp_shm_queue_test *t,
                   const mp_shm_wait *w) {
  int err = mp_shm_queue_lock(q, &q->consumers, w);
  if (err) return err;
  uint64_t at = mp_shm_queue_head(q);
  if (t) err = test_next(q, at, t);
  if (!err) err = take_next(q, at, buf, g, lease, w);
  mp_os_mutex_unlock(&q->consumers);
  return err;
}

/* What this process has put off may be what it waits for, for that is in its own hands: it tries again each slice. */
static int await_data_or_late(mp_shm_queue *q, const mp_shm_wait *w) {
  mp_shm_wait slice = {mp_shm_wait_slice(w), w->interrupted, w->arg};
  mp_shm_deferred_flush();
  int err = mp_shm_wait_queue_wait(&q->data, has_data, q, w->deadline ? &slice : w);
  return err == -ETIMEDOUT && mp_os_now() < w->deadline ? 0 : err;
}

/* Who waits sweeps at each slice; so must who only ever polls, or a dead reader's extent would not come back to it, nor
 * would it learn that a pipe's other end is dead. */
static inline int get(mp_shm_queue *q, void *buf, mp_shm_incoming *g, bool lease, const mp_shm_queue_test *t,
                      const mp_shm_wait *w) {
  int err;
  if (mp_shm_deferred) mp_shm_deferred_flush();
  while ((err = try_get(q, buf, g, lease, t, w)) == -EAGAIN) {
    if (!w->deadline) mp_shm_sweep_now_and_then();
    err = mp_shm_deferred ? await_data_or_late(q, w) : mp_shm_wait_queue_wait(&q->data, has_data, q, w);
    if (err) break;
  }
  mp_shm_wait_set_look(&q->data);
  return err;
}

int mp_shm_queue_get(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_wait *w) {
  return get(q, buf, g, false, NULL, w);
}

int mp_shm_queue_get_if(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_queue_test *t,
                        const mp_shm_wait *w) {
  return get(q, buf, g, false, t, w);
}

int mp_shm_queue_lease(mp_shm_queue *q, mp_shm_incoming *g, const mp_shm_wait *w) {
  return get(q, NULL, g, true, NULL, w);
}

/* --- the rest --- */

void mp_shm_queue_mark_closed(mp_shm_queue *q) {
  mp_shm_pending(&q->data.word);
  atomic_store_explicit(&q->closed, 1, memory_order_seq_cst);
  mp_shm_wait_queue_wake(&q->data);
  mp_shm_pending(NULL);
  mp_shm_wait_queue_wake_again(&q->room);
}

int mp_shm_queue_close(mp_shm_queue *q, const mp_shm_wait *w) {
  int err = mp_shm_queue_lock_both(q, w);
  if (err) return err;
  mp_shm_queue_mark_closed(q);
  mp_shm_queue_unlock_both(q);
  return 0;
}

uint64_t mp_shm_queue_size(mp_shm_queue *q) {
  static const mp_shm_wait now = {0, NULL, NULL};
  bool locked = mp_shm_queue_lock_both(q, &now) == 0;
  uint64_t n = count(q);
  if (locked) mp_shm_queue_unlock_both(q);
  mp_shm_wait_set_look(&q->data); /* who is told that it is empty need not get to know it */
  return n;
}
