/* SPDX-License-Identifier: MIT */
/* Get, of one message or many, and lease. The words and their survivors' view stand in queue.h. */
#include <errno.h>
#include <string.h>

#include "shm/queue/internal.h"
#include "shm/wait/wait_set.h"

#define CACHE_LINE 64u
#define PREFETCH_MOST 2048u

typedef struct request {
  void *buf;
  uint32_t most; /* messages */
  bool lease;
  const mp_shm_queue_test *test; /* NULL: whatever is next */
  const mp_shm_wait *w;
} request;

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

/* What is inline at r, copied to buf, or lying there. */
static mp_shm_incoming inline_message(const mp_shm_record *r, const void *payload, uint32_t more) {
  uint32_t handles = r->nhandles * 8u;
  return (mp_shm_incoming){.data = (const char *)payload + handles,
                           .len = r->bytes - handles,
                           .seq = r->seq,
                           .handles = payload,
                           .nhandles = r->nhandles,
                           .more = more,
                           .large = -1};
}

void mp_shm_incoming_next(mp_shm_incoming *g) {
  uint64_t span = mp_shm_record_span((uint32_t)(g->nhandles * 8u + g->len)) - sizeof(mp_shm_record);
  const mp_shm_record *r = (const void *)((const char *)g->handles + span);
  *g = inline_message(r, r + 1, g->more - 1);
}

/* The inline messages from the record at `at` on that go with one store: `most` at most, as many as MP_INLINE_MAX bytes
 * hold, one with handles alone; *end is behind the last one. */
static const mp_shm_record *run_of(mp_shm_queue *q, uint64_t at, uint32_t most, uint32_t *n, uint64_t *end) {
  const mp_shm_record *r = mp_shm_at(at), *last = r;
  uint64_t pos = at + mp_shm_record_span(r->bytes);
  uint64_t tail = most > 1 ? atomic_load_explicit(&q->tail, memory_order_acquire) : pos;
  bool alone = r->nhandles;
  if (most > 1) atomic_store_explicit(&q->seen, tail, memory_order_relaxed);
  for (*n = 1; !alone && *n < most && pos != tail; ++*n) {
    r = mp_shm_at(pos);
    uint64_t after = pos + mp_shm_record_span(r->bytes);
    if (r->type != MP_RECORD_INLINE || r->nhandles || after - at > MP_INLINE_MAX) break;
    last = r;
    pos = after;
  }
  *end = pos;
  return last;
}

static void commit_head(mp_shm_queue *q, uint64_t head, uint64_t seq) {
  if (!q->maxsize) {
    atomic_store_explicit(&q->head, head, memory_order_release);
    atomic_store_explicit(&q->ngot, seq, memory_order_release);
    return;
  }
  mp_shm_pending(&q->room.word);
  atomic_store_explicit(&q->head, head, memory_order_release);
  atomic_store_explicit(&q->ngot, seq, memory_order_release); /* the room that is woken for */
  mp_shm_wait_queue_wake(&q->room);
  mp_shm_pending(NULL);
}

/* As commit_head, with the record's handles coming out of transit into this process in the same step. */
static int commit_head_with_handles(mp_shm_queue *q, uint64_t head, const mp_shm_record *r, const mp_shm_wait *w) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  uint64_t list = mp_shm_offset(r + 1);
  mp_shm_transit_retain(list, r->nhandles);
  mp_shm_transit_begin(list, r->nhandles, mp_shm_offset(&q->head), head, -1);
  commit_head(q, head, r->seq);
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

/* With the consumers' lock: the record at `at` is the first one of the segment that a jump leads to; its segment is drained
 * once head has moved. */
static int follow_jump(mp_shm_queue *q, uint64_t *at, const mp_shm_wait *w) {
  int err = mp_shm_queue_finish_drained(q, w);
  if (err) return err;
  atomic_store_explicit(&q->drained, (uint32_t)mp_shm_chunk_index(mp_shm_segment_of(*at)) + 1, memory_order_release);
  *at = mp_shm_queue_segment_begin(q, ((mp_shm_record *)mp_shm_at(*at))->seq);
  return 0;
}

/* With the consumers' lock: reads what is at r, or the inline messages from there on, as what->most says; *end is behind
 * the last one, *seq its number. */
static int read_records(mp_shm_queue *q, const request *what, uint64_t at, mp_shm_incoming *g, uint64_t *end,
                        uint64_t *seq) {
  const mp_shm_record *r = mp_shm_at(at);
  *end = at + mp_shm_record_span(r->bytes);
  *seq = r->seq;
  if (r->type == MP_RECORD_LARGE) {
    if (MP_MUTANT(TAKE)) atomic_store_explicit(&q->head, *end, memory_order_release);
    mp_shm_joinable_count(q, 1);
    mp_shm_large_take(g, *(const uint64_t *)(r + 1), what->lease);
    return 0;
  }
  if (what->lease) {
    mp_shm_joinable_count(q, 1);
    return mp_shm_lease_inline(q, r, g, what->w);
  }
  uint32_t n;
  *seq = run_of(q, at, what->most, &n, end)->seq;
  if (MP_MUTANT(DRAIN)) atomic_store_explicit(&q->head, at + mp_shm_record_span(r->bytes), memory_order_release);
  mp_shm_joinable_count(q, (int)n);
  mp_shm_copy(what->buf, r + 1, *end - at - sizeof *r);
  *g = inline_message(r, what->buf, n - 1);
  return 0;
}

/* With the consumers' lock, a record or a jump being there. */
static int take_first(mp_shm_queue *q, uint64_t at, const request *what, mp_shm_incoming *g) {
  uint64_t head, seq, jump = at;
  int err = 0;
  if (((mp_shm_record *)mp_shm_at(at))->type == MP_RECORD_JUMP) err = follow_jump(q, &at, what->w);
  if (err) return err;
  mp_shm_record *r = mp_shm_at(at);
  bool leased = what->lease && r->type == MP_RECORD_INLINE;
  err = read_records(q, what, at, g, &head, &seq);
  if (r->nhandles && !leased)
    err = commit_head_with_handles(q, head, r, what->w);
  else if (!err)
    commit_head(q, head, seq);
  if (err) { /* head has not moved: its segment is not drained */
    mp_shm_joinable_count(q, -1);
    if (at != jump) atomic_store_explicit(&q->drained, 0, memory_order_release);
    return err;
  }
  if (leased) mp_shm_lease_taken(q);
  prefetch(q, head, head - at);
  if (atomic_load_explicit(&q->drained, memory_order_relaxed)) mp_shm_queue_finish_drained(q, what->w);
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
static int take_next(mp_shm_queue *q, uint64_t at, const request *what, mp_shm_incoming *g) {
  bool closed = false;
  if (q->nret && take_returned(q, g, what->lease)) return 0;
  return more(q, at, &closed) ? take_first(q, at, what, g) : none(q, closed);
}

/* One try: as take_next, or -EMSGSIZE. */
static int try_get(mp_shm_queue *q, const request *what, mp_shm_incoming *g) {
  int err = mp_shm_queue_lock(q, &q->consumers, what->w);
  if (err) return err;
  uint64_t at = mp_shm_queue_head(q);
  if (what->test) err = test_next(q, at, what->test);
  if (!err) err = take_next(q, at, what, g);
  mp_os_mutex_unlock(&q->consumers);
  return err;
}

static bool has_data(void *arg) { return mp_shm_queue_unreaped(arg) || mp_shm_queue_has_news(arg); }

/* What this process has deferred may be what it waits for, for that is in its own hands: it tries again each slice. */
static int await_data_or_late(mp_shm_queue *q, const mp_shm_wait *w) {
  mp_shm_wait slice = {mp_shm_wait_slice(w), w->interrupted, w->arg};
  mp_shm_deferred_flush();
  int err = mp_shm_wait_queue_wait(&q->data, has_data, q, w->deadline ? &slice : w);
  return err == -ETIMEDOUT && mp_os_now() < mp_shm_wait_deadline(w) ? 0 : err;
}

/* Who waits sweeps at each slice; so must who only ever polls, or a dead reader's large message would not come back to it, nor
 * would it learn that a pipe's other end is dead. */
static int get(mp_shm_queue *q, const request *what, mp_shm_incoming *g) {
  const mp_shm_wait *w = what->w;
  int err;
  if (mp_shm_deferred) mp_shm_deferred_flush();
  while ((err = try_get(q, what, g)) == -EAGAIN) {
    if (!w->deadline) mp_shm_sweep_now_and_then();
    err = mp_shm_deferred ? await_data_or_late(q, w) : mp_shm_wait_queue_wait(&q->data, has_data, q, w);
    if (err) break;
  }
  mp_shm_wait_set_look(&q->data);
  return err;
}

int mp_shm_queue_get(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_wait *w) {
  return get(q, &(request){.buf = buf, .most = 1, .w = w}, g);
}

int mp_shm_queue_get_many(mp_shm_queue *q, void *buf, uint32_t most, mp_shm_incoming *g, const mp_shm_wait *w) {
  return get(q, &(request){.buf = buf, .most = most, .w = w}, g);
}

int mp_shm_queue_get_if(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_queue_test *t,
                        const mp_shm_wait *w) {
  return get(q, &(request){.buf = buf, .most = 1, .test = t, .w = w}, g);
}

int mp_shm_queue_lease(mp_shm_queue *q, mp_shm_incoming *g, const mp_shm_wait *w) {
  return get(q, &(request){.most = 1, .lease = true, .w = w}, g);
}
