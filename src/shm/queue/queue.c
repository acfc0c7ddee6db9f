/* SPDX-License-Identifier: MIT */
/* A queue's birth, what others see of it without a lock, its end. The words and their survivors' view stand in queue.h; put.c
 * and get.c move messages; what happens after a death is in recovery.c. */
#include <string.h>

#include "shm/queue/internal.h"
#include "shm/wait/wait_set.h"

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

bool mp_shm_queue_has_news(mp_shm_queue *q) {
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  return tail != mp_shm_queue_head(q) || atomic_load_explicit(&q->nret, memory_order_relaxed) ||
         (atomic_load_explicit(&q->closed, memory_order_relaxed) && !mp_shm_queue_out(q));
}

/* For those who only look: what a getter would recover, this recovers. */
bool mp_shm_queue_ready(void *arg) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (mp_shm_deferred) mp_shm_deferred_flush();
  if (mp_shm_queue_unreaped(arg) && mp_shm_queue_lock_both(arg, &brief) == 0) mp_shm_queue_unlock_both(arg);
  return mp_shm_queue_has_news(arg);
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
