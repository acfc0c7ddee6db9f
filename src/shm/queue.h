/* SPDX-License-Identifier: MIT */
/*
 * The queue (layer 1): any number of producers and consumers, FIFO, each message delivered once. Called by L3.
 *
 * Records lie in a chain of segments (64 KiB chunks). A drained segment goes back to the producers as `spare`, so that
 * a queue whose reader keeps up runs in two segments that stay in the cache; a queue without a reader grows by
 * segments, and shrinks by them. Messages over MP_INLINE_MAX lie in extents: chunks of their own, written and read
 * with no lock held; their record only names them.
 *
 * A record is 16 bytes {bytes, handles, type, seq} and its payload {handles, data} rounded up to 16. A segment always
 * has room for one more record head behind its last record: JUMP, whose seq is the next segment's offset.
 *
 * word        written by, order                                what a survivor sees
 * tail        producers, last of a put: THE COMMIT of put      before: nothing was put; after: all of it. Offset of the next
 *                                                              record; 0 until the first put
 * head        consumers: THE COMMIT of get                     before: the message is still there; after: it was delivered
 *                                                              (an extent: is READING, and delivered when that is freed)
 * first       producers, before the first tail                 the first segment; where consumers start while head is 0
 * fresh       producers: a segment being claimed; cleared      in the chain, or freed by repair
 *             after the commit
 * spare       consumers 0->s, producers s->0 after the commit  in the chain (then cleared), or a free segment of ours
 * drained     consumers, before head leaves it; cleared when   still in the chain (head did not move), or spare, or freed
 *             it is spare or freed
 * publishing  producers: an extent, set before it turns QUEUED in a record, or freed by repair
 * seen        consumers' lock                                  a cache: some tail of before, at or behind head in the chain, or 0.
 *                                                              Saves a look at tail's cache line; repair clears it
 * end         producers' lock, after tail                      a cache of tail beside their lock; repair copies it
 * nput ngot   each after its commit                            caches; repair walks head..tail
 * nret        consumers' lock                                  cache; repair counts RETURNED chunks
 *             Who waits on ngot or nret must not trust them while consumers is abandoned or dirty stands: it repairs first
 * dirty       who got a lock whose owner had died              set before that lock is made consistent; cleared by repair
 * closed      under both locks                                 0 -> 1, once
 *
 * Repair runs under both locks and the arena lock, so its first act is to settle an interrupted move of handles.
 */
#ifndef MP_SHM_QUEUE_H
#define MP_SHM_QUEUE_H

#include "shm/bell.h"
#include "shm/chunk.h"
#include "shm/object.h"

#pragma GCC visibility push(hidden)

#define MP_SEGMENT UINT64_C(65536)
#define MP_INLINE_MAX 32752u /* payload bytes of a record; larger messages are extents */

typedef struct mp_queue {
  uint32_t slot, kind;                              /* kind: L3's, which type of queue it shows as */
  _Atomic uint32_t closed, dirty, extents, carried; /* the last two: it ever held extents, handles */
  _Atomic uint32_t first, spare;                    /* chunk index + 1 */
  uint64_t maxsize;                                 /* 0: none */

  _Alignas(MP_LINE) mp_os_mutex producers;
  _Atomic uint64_t end, nput;
  _Atomic uint32_t fresh, publishing;

  _Alignas(MP_LINE) _Atomic uint64_t tail;

  _Alignas(MP_LINE) mp_os_mutex consumers;
  _Atomic uint64_t head, seen;
  _Atomic uint64_t ngot;
  _Atomic uint32_t nret, drained;

  mp_bell data; /* rung by producers */
  mp_bell room; /* rung by consumers when there is a maxsize */
} mp_queue;

typedef struct mp_piece {
  const void *base;
  size_t len;
} mp_piece;

typedef struct mp_parcel { /* what put takes */
  const mp_piece *pieces;
  size_t npieces, len; /* len: the sum */
  const mp_handle *handles;
  uint32_t nhandles; /* distinct, all held by this process */
} mp_parcel;

typedef struct mp_got { /* what get gives; handles of an inline message are in use until mp_queue_done */
  const void *data;
  size_t len;
  uint64_t seq;
  const mp_handle *handles;
  uint32_t nhandles;
  int64_t extent; /* chunk, or -1: inline */
} mp_got;

extern uint32_t mp_queue_inline_max; /* MP_INLINE_MAX; tests lower it, so that an extent is short to step through */
void mp_queue_setup(void);           /* for types.c */
/* maxsize 0: no limit. */
int mp_queue_new(uint64_t maxsize, uint32_t kind, const mp_wait *w, mp_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */
/* 0; -ETIMEDOUT full; -EPIPE closed; -ENOMEM the arena is full; -EINTR. On an error nothing was put. */
int mp_queue_put(mp_queue *q, const mp_parcel *m, const mp_wait *w);
/* buf: MP_INLINE_MAX bytes, 16-aligned, for an inline message. 0; -ETIMEDOUT empty; -EPIPE closed and drained; -EINTR. */
int mp_queue_get(mp_queue *q, void *buf, mp_got *g, const mp_wait *w);
/* The message was used: frees its extent, lets its handles go. */
void mp_queue_done(mp_got *g);
/* It could not be used for want of memory: puts it back, to be taken before all others. -ENOMEM: could not. */
int mp_queue_return(mp_queue *q, mp_got *g);
int mp_queue_close(mp_queue *q, const mp_wait *w); /* 0 -EINTR -ETIMEDOUT */
/* Messages there; exact while nobody else moves it. */
uint64_t mp_queue_size(mp_queue *q);
/* For the cleaner of the dead process `proc`: chunk i was READING in its hands. 0, or an error: again later. */
int mp_queue_settle(uint64_t i, uint32_t proc);

/* queue_repair.c, for queue.c alone */
typedef struct mp_segment {
  uint64_t next; /* offset of the next segment's start; meaningful before the tail's segment only */
  uint64_t pad;
} mp_segment;
enum { MP_RECORD_INLINE = 1, MP_RECORD_EXTENT, MP_RECORD_JUMP };
typedef struct mp_record {
  uint32_t bytes;
  uint16_t nhandles;
  uint8_t type, pad;
  uint64_t seq;
} mp_record;
_Static_assert(sizeof(mp_record) == 16 && sizeof(mp_segment) == 16, "what a message costs is part of the contract");
typedef struct mp_extent { /* at the start of an extent's chunk; then handles, then data at a multiple of 16 */
  uint64_t len;
  uint32_t nhandles, pad;
} mp_extent;

static inline uint64_t mp_segment_of(uint64_t pos) { return pos & ~(MP_SEGMENT - 1); }
static inline uint64_t mp_record_span(uint32_t bytes) { return sizeof(mp_record) + ((bytes + 15u) & ~15u); }
static inline uint64_t mp_queue_start(mp_queue *q) { /* where consumers go on */
  uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
  uint32_t first = atomic_load_explicit(&q->first, memory_order_acquire);
  return head || !first ? head : mp_chunk_offset(first - 1) + sizeof(mp_segment);
}
/* A lock of the queue, repaired if need be: 0, -EINTR, -ETIMEDOUT. side: its producers or consumers. */
int mp_queue_lock_slowly(mp_queue *q, mp_os_mutex *side, int tried, const mp_wait *w);
static inline int mp_queue_lock(mp_queue *q, mp_os_mutex *side, const mp_wait *w) {
  int r = mp_os_mutex_try(side);
  if (r == MP_LOCKED && !atomic_load_explicit(&q->dirty, memory_order_relaxed)) return 0;
  return mp_queue_lock_slowly(q, side, r, w);
}
int mp_queue_lock_both(mp_queue *q, const mp_wait *w);
void mp_queue_unlock_both(mp_queue *q);
void mp_queue_destroy(uint32_t slot, void *block, bool thorough);
/* With the consumers' lock: chunk i, in the hands of a reader that gives it up or is dead, is to be taken again. */
void mp_queue_hand_back(mp_queue *q, uint64_t i);
/* Frees or keeps as spare the segment that head has left. */
int mp_queue_finish_drained(mp_queue *q, const mp_wait *w);

#pragma GCC visibility pop
#endif
