/* SPDX-License-Identifier: MIT */
/*
 * What the queue's own files share (layer 1): queue.c is its birth and end, put.c and get.c move messages, large_message.c
 * keeps messages in chunks of their own, recovery.c mends after a death. Only they include it, and sweep.c for the head of a
 * large message.
 */
#ifndef MP_SHM_QUEUE_INTERNAL_H
#define MP_SHM_QUEUE_INTERNAL_H

#include <string.h>

#include "shm/arena/proc.h"
#include "shm/queue/queue.h"

#pragma GCC visibility push(hidden)

enum { MP_RECORD_INLINE = 1, MP_RECORD_LARGE, MP_RECORD_JUMP };
typedef struct mp_shm_record {
  uint32_t bytes;
  uint16_t nhandles;
  uint8_t type, pad;
  uint64_t seq;
} mp_shm_record;
_Static_assert(sizeof(mp_shm_record) == 16 && sizeof(mp_shm_segment) == 16,
               "what a message costs is part of the contract");
typedef struct mp_shm_large { /* at the start of a large message's chunk; then handles, then data at a multiple of 16 */
  uint64_t len;
  uint32_t nhandles, pad;
} mp_shm_large;

static inline uint64_t mp_shm_segment_of(uint64_t pos) { return pos & ~(MP_SEGMENT - 1); }
static inline uint64_t mp_shm_record_span(uint32_t bytes) { return sizeof(mp_shm_record) + ((bytes + 15u) & ~15u); }
/* The first record of a segment of the queue. */
static inline uint64_t mp_shm_queue_segment_begin(const mp_shm_queue *q, uint64_t segment) {
  return segment + (segment == mp_shm_offset(q) ? q->begin : sizeof(mp_shm_segment));
}
static inline uint64_t mp_shm_queue_head(mp_shm_queue *q) {
  return atomic_load_explicit(&q->head, memory_order_relaxed);
}
/* Whether chunk index + 1 is the own segment's. */
static inline bool mp_shm_queue_is_own(const mp_shm_queue *q, uint32_t s) {
  return mp_shm_chunk_offset(s - 1) == mp_shm_offset(q);
}
/* The caches ngot and nret cannot be trusted: a consumer died. */
bool mp_shm_queue_unreaped(const mp_shm_queue *q);
/* Without a lock, so a hint: there is a message, or the end: closed, and nothing may come back. */
bool mp_shm_queue_has_news(mp_shm_queue *q);
/* A lock of the queue, recovered if need be: 0, -EINTR, -ETIMEDOUT. side: its producers or consumers. */
int mp_shm_queue_lock_slowly(mp_shm_queue *q, mp_os_mutex *side, int tried, const mp_shm_wait *w);
static inline int mp_shm_queue_lock(mp_shm_queue *q, mp_os_mutex *side, const mp_shm_wait *w) {
  int r = mp_os_mutex_try(side);
  if (r == MP_LOCKED && !atomic_load_explicit(&q->needs_recovery, memory_order_relaxed)) return 0;
  return mp_shm_queue_lock_slowly(q, side, r, w);
}
int mp_shm_queue_lock_both(mp_shm_queue *q, const mp_shm_wait *w);
void mp_shm_queue_unlock_both(mp_shm_queue *q);
void mp_shm_queue_destroy(uint32_t slot, void *block, bool thorough);
/* With the consumers' lock: chunk i, in the hands of a reader that gives it up or is dead, is to be taken again. */
void mp_shm_queue_hand_back(mp_shm_queue *q, uint64_t i);
/* Frees or keeps as spare the segment that head has left. */
int mp_shm_queue_finish_drained(mp_shm_queue *q, const mp_shm_wait *w);

/* joinable.c. With the consumers' lock: this process has taken a message of a joinable queue, before head moves
 * (+1); or has not, or gives it back, after that (-1). */
void mp_shm_joinable_note(mp_shm_queue *q, int delta);
static inline void mp_shm_joinable_count(mp_shm_queue *q, int delta) {
  if (__builtin_expect(q->kind & MP_QUEUE_JOINABLE, 0)) mp_shm_joinable_note(q, delta);
}
size_t mp_shm_joinable_bytes(void);
void mp_shm_joinable_init(mp_shm_queue *q);
int mp_shm_joinable_reap(void *block, uint32_t proc);
bool mp_shm_joinable_claimed(void *block, uint32_t proc);

/* large_message.c */
/* Copies without a call what is as short as most messages are. */
static inline void mp_shm_copy(void *to, const void *from, size_t n) {
  char *t = to;
  const char *f = from;
  if (n > 16 || n < 2) {
    memcpy(t, f, n);
  } else if (n >= 8) { /* two halves, which may overlap */
    uint64_t half[2];
    memcpy(&half[0], f, 8), memcpy(&half[1], f + n - 8, 8);
    memcpy(t, &half[0], 8), memcpy(t + n - 8, &half[1], 8);
  } else if (n >= 4) {
    uint32_t half[2];
    memcpy(&half[0], f, 4), memcpy(&half[1], f + n - 4, 4);
    memcpy(t, &half[0], 4), memcpy(t + n - 4, &half[1], 4);
  } else {
    uint16_t half[2];
    memcpy(&half[0], f, 2), memcpy(&half[1], f + n - 2, 2);
    memcpy(t, &half[0], 2), memcpy(t + n - 2, &half[1], 2);
  }
}
/* Copies an outgoing message's iovecs one after another. */
static inline void mp_shm_gather(char *to, const mp_shm_outgoing *m) {
  if (m->niovecs == 1) {
    mp_shm_copy(to, m->iovecs->base, m->len);
    return;
  }
  for (size_t i = 0; i < m->niovecs; i++) {
    memcpy(to, m->iovecs[i].base, m->iovecs[i].len);
    to += m->iovecs[i].len;
  }
}
/* A chunk with the message in it, HELD by this process: its index, -ENOMEM, -EINTR, -ETIMEDOUT. */
int64_t mp_shm_large_make(mp_shm_queue *q, const mp_shm_outgoing *m, const mp_shm_wait *w);
/* Frees it, HELD by this process; -1 is none. */
void mp_shm_large_drop(int64_t i);
/* With the consumers' lock: large message i is READING by this process. lease: it stays so after the call. */
void mp_shm_large_take(mp_shm_incoming *g, uint64_t i, bool lease);
/* Whether it carries handles. */
bool mp_shm_large_carries(uint64_t i);
/* With the consumers' lock: whether large message i passes. */
bool mp_shm_large_passes(const mp_shm_queue_test *t, uint64_t i);
/* With the consumers' lock: copies the inline record r into a large message, READING by this process when head moves on.
 * 0, or an error: nothing is changed. mp_shm_lease_taken after head has moved. */
int mp_shm_lease_inline(mp_shm_queue *q, const mp_shm_record *r, mp_shm_incoming *g, const mp_shm_wait *w);
static inline void mp_shm_lease_taken(mp_shm_queue *q) { atomic_store_explicit(&q->leasing, 0, memory_order_release); }
/* The RETURNED large message to be taken first, or -1. */
int64_t mp_shm_large_returned(mp_shm_queue *q);
/* Does what finalizers, and calls whose time was over, have deferred. */
void mp_shm_deferred_flush(void);
extern MP_PROCESS_LOCAL uint32_t mp_shm_deferred; /* not 0: there is something to do */
/* True while messages that were taken may come back. */
bool mp_shm_queue_out(mp_shm_queue *q);

#pragma GCC visibility pop
#endif
