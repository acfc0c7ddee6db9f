/* SPDX-License-Identifier: MIT */
/* Put, of one message or many. The words and their survivors' view stand in queue.h. */
#include <errno.h>
#include <string.h>

#include "shm/queue/internal.h"
#include "shm/wait/wait_set.h"

/* --- room --- */

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

/* --- segments and records --- */

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

/* --- appending --- */

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
