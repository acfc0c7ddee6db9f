/* SPDX-License-Identifier: MIT */
/* Put and get. The words and their survivors' view stand in queue.h; what happens after a death, in recovery.c. */
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

uint64_t mp_shm_queue_count(mp_shm_queue *q) {
  uint64_t got = atomic_load_explicit(&q->ngot, memory_order_relaxed);
  uint64_t put = atomic_load_explicit(&q->nput, memory_order_relaxed);
  return (put > got ? put - got : 0) + atomic_load_explicit(&q->nret, memory_order_relaxed);
}

/* A consumer died with its lock, so that ngot and nret may be behind head and the chunks: a waiter that trusted them
 * could sleep for ever where nobody else takes that lock. It recovers instead. */
bool mp_shm_queue_unreaped(const mp_shm_queue *q) {
  return mp_os_mutex_abandoned(&q->consumers) || atomic_load_explicit(&q->needs_recovery, memory_order_relaxed);
}

/* Or the end: closed, and nothing may come back. */
static bool has_news(mp_shm_queue *q) {
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  return tail != mp_shm_queue_head(q) || atomic_load_explicit(&q->nret, memory_order_relaxed) ||
         (atomic_load_explicit(&q->closed, memory_order_relaxed) && !mp_shm_queue_out(q));
}

static bool has_data(void *arg) { return mp_shm_queue_unreaped(arg) || has_news(arg); }

/* For those who only look: what a getter would recover, this recovers. */
bool mp_shm_queue_ready(void *arg) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (mp_shm_deferred) mp_shm_deferred_flush();
  if (mp_shm_queue_unreaped(arg) && mp_shm_queue_lock_both(arg, &brief) == 0) mp_shm_queue_unlock_both(arg);
  return has_news(arg);
}

static uint64_t room_left(mp_shm_queue *q) {
  if (!q->maxsize) return UINT64_MAX;
  uint64_t n = mp_shm_queue_count(q);
  return n < q->maxsize ? q->maxsize - n : 0;
}

static bool has_room(mp_shm_queue *q) {
  return room_left(q) > 0 || atomic_load_explicit(&q->closed, memory_order_relaxed);
}

static bool has_room_or_recover(void *arg) {
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

/* Where a record of `span` bytes goes that the tail's segment has no room for: its offset, or an error. */
static MP_SELDOM int64_t enter_segment(mp_shm_queue *q, uint64_t tail, uint64_t span, const mp_shm_wait *w) {
  int err = 0;
  uint64_t segment = next_segment(q, span, w, &err);
  if (!segment) return err;
  link_segment(tail, segment);
  return (int64_t)mp_shm_queue_segment_begin(q, segment);
}

/* Where a record of `span` bytes goes: its offset, or an error. */
static inline int64_t place(mp_shm_queue *q, uint64_t span, const mp_shm_wait *w) {
  uint64_t tail = atomic_load_explicit(&q->end, memory_order_relaxed);
  return fits(tail & (MP_SEGMENT - 1), span) ? (int64_t)tail : enter_segment(q, tail, span, w);
}

/* One word names it: what is fresh is neither the own segment nor, before it has been drained, spare. */
static MP_SELDOM void taken_segment(mp_shm_queue *q, uint64_t segment) {
  uint32_t s = (uint32_t)mp_shm_chunk_index(segment) + 1;
  if (mp_shm_queue_is_own(q, s))
    atomic_store_explicit(&q->vacant, 0, memory_order_release);
  else if (atomic_load_explicit(&q->spare, memory_order_relaxed) == s)
    atomic_store_explicit(&q->spare, 0, memory_order_release);
  else
    atomic_store_explicit(&q->fresh, 0, memory_order_release);
}

static inline void write_inline(uint64_t at, uint64_t seq, const mp_shm_outgoing *m) {
  mp_shm_record *r = mp_shm_at(at);
  *r = (mp_shm_record){.bytes = (uint32_t)m->len, .type = MP_RECORD_INLINE, .seq = seq};
  mp_shm_gather((char *)(r + 1), m);
}

static void write_with_handles(uint64_t at, uint64_t seq, const mp_shm_outgoing *m) {
  mp_shm_record *r = mp_shm_at(at);
  *r = (mp_shm_record){.bytes = (uint32_t)(m->nhandles * 8 + m->len),
                       .nhandles = (uint16_t)m->nhandles,
                       .type = MP_RECORD_INLINE,
                       .seq = seq};
  memcpy(r + 1, m->handles, m->nhandles * sizeof *m->handles);
  mp_shm_gather((char *)(r + 1) + m->nhandles * 8, m);
}

static void write_large(mp_shm_queue *q, uint64_t at, uint64_t seq, int64_t large) {
  mp_shm_record *r = mp_shm_at(at);
  *r = (mp_shm_record){.bytes = sizeof(uint64_t), .type = MP_RECORD_LARGE, .seq = seq};
  *(uint64_t *)(r + 1) = (uint64_t)large;
  mp_shm_chunk_at((uint64_t)large)->seq = seq;
  q->had_large = 1;
  atomic_store_explicit(&q->publishing, (uint32_t)large + 1, memory_order_release);
  mp_shm_chunk_set((uint64_t)large, MP_QUEUED, q->slot);
}

static void commit_tail(mp_shm_queue *q, uint64_t tail) {
  mp_shm_pending(&q->data.word);
  atomic_store_explicit(&q->tail, tail, memory_order_release);
  mp_shm_wait_queue_wake_sleeper(&q->data); /* try_put wakes the watchers */
  mp_shm_pending(NULL);
}

static bool all_live(uint64_t list, uint32_t n) {
  const mp_shm_handle *h = mp_shm_at(list);
  for (uint32_t i = 0; i < n; i++)
    if (!mp_shm_object_live(h[i])) return false;
  return true;
}

/* As commit_tail, with n handles at `list` going in transit in the same step. */
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

static uint64_t handles_at(uint64_t record, int64_t large) {
  return large < 0 ? record + sizeof(mp_shm_record) : mp_shm_chunk_offset((uint64_t)large) + sizeof(mp_shm_large);
}

/* Takes a record that was not committed back: its large message is in our hands again. */
static void retract(mp_shm_queue *q, int64_t large) {
  if (large < 0) return;
  mp_shm_chunk_set((uint64_t)large, MP_HELD, mp_shm_my_slot);
  atomic_store_explicit(&q->publishing, 0, memory_order_release);
}

/* Whether a message goes in a chunk of its own. */
static bool is_large(const mp_shm_outgoing *m) {
  return (uint64_t)m->nhandles * 8 + m->len > mp_shm_queue_inline_max || m->nhandles > UINT16_MAX;
}

/* Whether a message goes by a store of its own. */
static inline bool is_special(const mp_shm_outgoing *m) { return m->nhandles || m->len > mp_shm_queue_inline_max; }

static uint64_t span_of(const mp_shm_outgoing *m, int64_t large) {
  return mp_shm_record_span(large < 0 ? (uint32_t)(m->nhandles * 8 + m->len) : (uint32_t)sizeof(uint64_t));
}

/* After the commit the records are the readers'. */
static void appended(mp_shm_queue *q, uint64_t at, uint64_t tail, uint64_t nput) {
  bool crossed = at != atomic_load_explicit(&q->end, memory_order_relaxed);
  atomic_store_explicit(&q->end, tail, memory_order_relaxed);
  atomic_store_explicit(&q->nput, nput, memory_order_release);
  if (crossed) taken_segment(q, mp_shm_segment_of(at));
}

/* With the producers' lock, room being there: puts a large message, whose chunk is `large message`, or one with handles. */
static MP_SELDOM int append_alone(mp_shm_queue *q, const mp_shm_outgoing *m, int64_t large, const mp_shm_wait *w) {
  int err = 0;
  int64_t place_or_error = place(q, span_of(m, large), w);
  if (place_or_error < 0) return (int)place_or_error;
  uint64_t at = (uint64_t)place_or_error, tail = at + span_of(m, large);
  uint64_t seq = atomic_load_explicit(&q->nput, memory_order_relaxed) + 1;
  if (MP_MUTANT(COMMIT)) atomic_store_explicit(&q->tail, tail, memory_order_release);
  if (large < 0)
    write_with_handles(at, seq, m);
  else
    write_large(q, at, seq, large);
  if (m->nhandles)
    err = commit_with_handles(q, tail, handles_at(at, large), m->nhandles, w);
  else
    commit_tail(q, tail);
  if (err) {
    retract(q, large);
    return err;
  }
  appended(q, at, tail, seq);
  if (large >= 0) {
    atomic_store_explicit(&q->publishing, 0, memory_order_release);
    mp_shm_proc_add_claimed(-1);
  }
  return 1;
}

/* With the producers' lock, room for n being there: puts inline messages without handles, up to the first other one or to
 * the end of the segment, by one store. How many, or an error: then none. */
static int64_t append_run(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, const mp_shm_wait *w) {
  uint64_t span = mp_shm_record_span((uint32_t)m->len), nput = atomic_load_explicit(&q->nput, memory_order_relaxed);
  int64_t at = place(q, span, w);
  if (at < 0) return at;
  uint64_t tail = (uint64_t)at;
  size_t left = n;
  if (MP_MUTANT(COMMIT)) atomic_store_explicit(&q->tail, tail + span, memory_order_release);
  for (;;) {
    write_inline(tail, ++nput, m);
    tail += span;
    if (--left == 0 || is_special(++m)) break;
    span = mp_shm_record_span((uint32_t)m->len);
    if (!fits(tail & (MP_SEGMENT - 1), span)) break;
    if (MP_MUTANT(BATCH)) atomic_store_explicit(&q->tail, tail + span, memory_order_release);
  }
  commit_tail(q, tail);
  appended(q, (uint64_t)at, tail, nput);
  return (int64_t)(n - left);
}

/* With the producers' lock: how many more messages there may be; or -EPIPE, or -EAGAIN. */
static inline int64_t room_to_put(mp_shm_queue *q) {
  if (atomic_load_explicit(&q->closed, memory_order_relaxed)) return -EPIPE;
  if (!q->maxsize) return INT64_MAX;
  uint64_t room = room_left(q);
  return room == 0 ? -EAGAIN : room < INT64_MAX ? (int64_t)room : INT64_MAX;
}

/* With the producers' lock: puts what follows, up to a message that needs a chunk, or to the end of the segment. */
static inline int put_some(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, int64_t large, size_t *put,
                           const mp_shm_wait *w) {
  uint64_t segment = mp_shm_segment_of(atomic_load_explicit(&q->end, memory_order_relaxed));
  for (;;) {
    int64_t r = room_to_put(q);
    if (r > 0) r = is_special(m) ? append_alone(q, m, large, w) : append_run(q, m, (uint64_t)r < n ? (size_t)r : n, w);
    if (r < 0) return (int)r;
    *put += (size_t)r;
    n -= (size_t)r;
    if (n == 0) return 0;
    m += r;
    large = -1;
    if (is_large(m) || segment != mp_shm_segment_of(atomic_load_explicit(&q->end, memory_order_relaxed))) return 0;
  }
}

/* One try: adds to *put how many were put: 0, -EPIPE, -EAGAIN when it has become full, or a failure. */
static int try_put(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, int64_t large, size_t *put,
                   const mp_shm_wait *w) {
  int err = mp_shm_queue_lock(q, &q->producers, w);
  if (err) return err;
  err = put_some(q, m, n, large, put, w);
  mp_os_mutex_unlock(&q->producers);
  mp_shm_wait_queue_wake_observers(&q->data);
  return err;
}

static int wait_for_room(mp_shm_queue *q, const mp_shm_wait *w) {
  if (!q->maxsize) return 0;
  int err = mp_shm_wait_queue_wait(&q->room, has_room_or_recover, q, w);
  if (err || !mp_shm_queue_unreaped(q)) return err;
  err = mp_shm_queue_lock_both(q, w);
  if (!err) mp_shm_queue_unlock_both(q);
  return err;
}

/* Waits for room and puts what fits: how many, and 0, -EAGAIN, or a failure. *large message is the chunk of m[0], if it has one. */
static int put_next(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, int64_t *large, size_t *put,
                    const mp_shm_wait *w) {
  int err = wait_for_room(q, w);
  *put = 0;
  if (!err && *large < 0 && is_large(m)) {
    *large = mp_shm_large_make(q, m, w);
    if (*large < 0) err = (int)*large;
  }
  if (!err) err = try_put(q, m, n, *large, put, w);
  if (*put) *large = -1;
  return err;
}

/* Goes on with what a first try has left. */
static MP_SELDOM int put_rest(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, size_t *done, const mp_shm_wait *w) {
  int64_t large = -1;
  bool swept = false;
  int err = 0;
  while (*done < n && (err == 0 || err == -EAGAIN)) {
    size_t put;
    err = put_next(q, m + *done, n - *done, &large, &put, w);
    *done += put;
    if (err == -ENOMEM && !swept) { /* the dead may have left some */
      mp_shm_sweep();
      swept = true;
      err = 0;
    }
  }
  if (large >= 0) mp_shm_large_drop(large);
  return *done == n ? 0 : err;
}

/* Most messages need neither room to wait for nor a chunk: they are tried at once. */
int mp_shm_queue_put_many(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, size_t *done, const mp_shm_wait *w) {
  *done = 0;
  int err = n == 0 || is_large(m) ? 0 : try_put(q, m, n, -1, done, w);
  if (*done == n) return 0;
  return err == 0 || err == -EAGAIN || err == -ENOMEM ? put_rest(q, m, n, done, w) : err;
}

/* --- get --- */

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
  uint64_t n = mp_shm_queue_count(q);
  if (locked) mp_shm_queue_unlock_both(q);
  mp_shm_wait_set_look(&q->data); /* who is told that it is empty need not get to know it */
  return n;
}
