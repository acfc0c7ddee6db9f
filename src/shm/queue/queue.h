/* SPDX-License-Identifier: MIT */
/*
 * The queue (layer 1): any number of producers and consumers, FIFO, each message delivered once. Called by L3.
 *
 * Records lie in a chain of segments (64 KiB chunks). The queue's own chunk is one of them, with less room: a queue
 * through which little went takes a page. A drained segment goes back to the producers, as `spare` or, the own one, `vacant`, so
 * that a queue whose reader keeps up runs in two segments that stay in the cache; a queue without a reader grows by
 * segments, and shrinks by them. Large messages, those over MP_INLINE_MAX, lie in chunks of their own, written and read
 * with no lock held; their record only names them.
 *
 * A record is 16 bytes {bytes, handles, type, seq} and its payload {handles, data} rounded up to 16. A segment always
 * has room for one more record head behind its last record: JUMP, whose seq is the next segment's offset.
 *
 * word        written by, order                                what a survivor sees
 * tail        producers, last of a put: THE COMMIT of put      before: nothing was put; after: all of it. Offset of the next
 *                                                              record
 * head        consumers: THE COMMIT of get                     before: the message is still there; after: it was delivered
 *                                                              (a large message: is READING, and delivered when that is freed)
 * fresh       producers: a segment being claimed; cleared      in the chain, or freed by recovery
 *             after the commit
 * spare       consumers 0->s, producers s->0 after the commit  in the chain (then cleared), or a free segment of ours
 * vacant      consumers 0->1, producers 1->0 after the commit  the chain says whether the own segment is in it
 * drained     consumers, before head leaves it; cleared when   still in the chain (head did not move), or spare, vacant or
 *             it is spare, vacant or freed                     freed
 * publishing  producers: a large message's chunk, set before  in a record, or freed by recovery
 *             it turns QUEUED
 * leasing     consumers: the copy of a short message for its  head still lease_head: the copy is freed; moved: it is
 *             lessee, set before it is READING, cleared when  the message, which goes back if its lessee is dead
 *             head has moved; lease_head is head before that
 * seen        consumers' lock                                  a cache: some tail of before, at or behind head in the chain.
 *                                                              Saves a look at tail's cache line; recovery makes it head
 * end         producers' lock, after tail                      a cache of tail beside their lock; recovery copies it
 * nput ngot   each after its commit                            caches; recovery walks head..tail
 * nret        consumers' lock                                  cache; recovery counts RETURNED chunks
 *             A lease counts as taken; what may still come back is found in the chunk table (mp_shm_queue_out)
 *             Who waits on ngot or nret must not trust them while consumers is abandoned or needs_recovery stands: it
 *             recovers first
 * needs_recovery
 *             who got a lock whose owner had died              set before that lock is made consistent; cleared by
 *                                                              recovery
 * closed      under both locks; in a pipe (pipe_end.h), under  0 -> 1, once
 *             the arena lock, once an end has lost its last holder
 *
 * Recovery runs under both locks and the arena lock, so its first act is to finish or undo an interrupted move of handles.
 */
#ifndef MP_SHM_QUEUE_QUEUE_H
#define MP_SHM_QUEUE_QUEUE_H

#include "shm/arena/chunk.h"
#include "shm/arena/object.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_QUEUE = 1 };

#define MP_SEGMENT UINT64_C(65536)
#define MP_INLINE_MAX 32752u /* payload bytes of a record; larger ones are large messages */

typedef struct mp_shm_segment { /* the head of a segment */
  uint64_t next;                /* offset of the next segment; meaningful before the tail's segment only */
  uint64_t pad;
} mp_shm_segment;

typedef struct mp_shm_queue {
  mp_shm_segment own;
  uint32_t slot, kind;                                         /* kind: MP_QUEUE_*, for good */
  _Atomic uint32_t closed, needs_recovery, had_large, carried; /* the last two: it ever held large messages, handles */
  _Atomic uint32_t vacant, spare;                              /* spare: chunk index + 1 */
  uint64_t maxsize;                                            /* 0: none */
  uint64_t begin; /* where the own segment's records begin: bytes from its start */

  _Alignas(MP_LINE) mp_os_mutex producers;
  _Atomic uint64_t end, nput;
  _Atomic uint32_t fresh, publishing;

  _Alignas(MP_LINE) _Atomic uint64_t tail;

  _Alignas(MP_LINE) mp_os_mutex consumers;
  _Atomic uint64_t head, seen;
  _Atomic uint64_t ngot;
  _Atomic uint32_t nret, drained, leasing;
  uint64_t lease_head;

  mp_shm_wait_queue data; /* woken by producers */
  mp_shm_wait_queue room; /* woken by consumers when there is a maxsize */
} mp_shm_queue;

/* Bits of kind. The first two say how it shows to Lua. */
enum { MP_QUEUE_SIMPLE = 1, MP_QUEUE_JOINABLE = 2, MP_QUEUE_REPORTS = 4 /* what its dead lessees had: orphans */ };

typedef struct mp_shm_iovec {
  const void *base;
  size_t len;
} mp_shm_iovec;

typedef struct mp_shm_outgoing { /* what put takes */
  const mp_shm_iovec *iovecs;
  size_t niovecs, len; /* len: the sum */
  const mp_shm_handle *handles;
  uint32_t nhandles; /* distinct, all held by this process */
} mp_shm_outgoing;

typedef struct mp_shm_incoming { /* what get gives; handles of an inline message are in use until mp_shm_queue_done */
  const void *data;
  size_t len;
  uint64_t seq;
  const mp_shm_handle *handles;
  uint32_t nhandles;
  uint32_t more; /* messages that came with it: mp_shm_incoming_next */
  int64_t large; /* chunk, or -1: inline */
} mp_shm_incoming;

extern uint32_t
    mp_shm_queue_inline_max; /* MP_INLINE_MAX; tests lower it, so that a large message is short to step through */
extern const mp_shm_object_type_info mp_shm_queue_type; /* for types.c */
/* maxsize 0: no limit. */
int mp_shm_queue_new(uint64_t maxsize, uint32_t kind, const mp_shm_wait *w,
                     mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */
/* Puts n messages in their order: 0; -ETIMEDOUT full; -EPIPE closed; -ENOMEM the arena is full; -EINTR. *done were put, on an
 * error too. They take the lock once for each segment that they fill, and once for each large one; and come with one store
 * for each stretch of a segment, a large one or one with handles by its own. Other producers' messages may come between. */
int mp_shm_queue_put_many(mp_shm_queue *q, const mp_shm_outgoing *m, size_t n, size_t *done, const mp_shm_wait *w);
/* One. On an error nothing was put. */
static inline int mp_shm_queue_put(mp_shm_queue *q, const mp_shm_outgoing *m, const mp_shm_wait *w) {
  size_t done;
  return mp_shm_queue_put_many(q, m, 1, &done, w);
}
/* buf: MP_INLINE_MAX bytes, 16-aligned, for an inline message. 0; -ETIMEDOUT empty; -EPIPE closed and drained; -EINTR. */
int mp_shm_queue_get(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_wait *w);
/* The same for the next message and those behind it that go with one store: up to `most`, inline ones without handles, of
 * one segment, what buf has room for. g is the first; g->more says how many follow. Each is used and ended by itself. */
int mp_shm_queue_get_many(mp_shm_queue *q, void *buf, uint32_t most, mp_shm_incoming *g, const mp_shm_wait *w);
/* Makes g, whose `more` is not 0, the next one. */
void mp_shm_incoming_next(mp_shm_incoming *g);
/* The same, but the message stays this process's until mp_shm_queue_done (delivered) or mp_shm_lease_give_back; its death
 * gives it back, or makes it an orphan. Never inline; its handles stay in transit. -ENOMEM too. */
int mp_shm_queue_lease(mp_shm_queue *q, mp_shm_incoming *g, const mp_shm_wait *w);
/* For finalizers: never waits. */
void mp_shm_lease_give_back(mp_shm_incoming *g);
/* Takes what a dead lessee had, oldest first, to be ended by mp_shm_queue_done or mp_shm_orphan_return. -EAGAIN: none. */
int mp_shm_queue_orphan(mp_shm_queue *q, mp_shm_incoming *g, const mp_shm_wait *w);
pid_t mp_shm_orphan_lessee(const mp_shm_incoming *g);
/* Whether that process has leases of it; of a dead one: that are not reaped yet. Once false, what it had is an orphan. */
bool mp_shm_queue_leased_by(mp_shm_queue *q, pid_t pid);
void mp_shm_orphan_return(mp_shm_incoming *g);
/* The same, but takes the message only if it passes. -EMSGSIZE: there is one that does not, and it stays. */
typedef struct mp_shm_queue_test {
  bool (*passes)(void *arg, const void *data, size_t len); /* with a lock held: looks, and does nothing else */
  void *arg;
} mp_shm_queue_test;
int mp_shm_queue_get_if(mp_shm_queue *q, void *buf, mp_shm_incoming *g, const mp_shm_queue_test *t,
                        const mp_shm_wait *w);
/* The message was used: frees its large message, lets its handles go. */
void mp_shm_queue_done(mp_shm_incoming *g);
/* It could not be used for want of memory: puts it back, to be taken before all others. -ENOMEM: could not. */
int mp_shm_queue_return(mp_shm_queue *q, mp_shm_incoming *g);
int mp_shm_queue_close(mp_shm_queue *q, const mp_shm_wait *w); /* 0 -EINTR -ETIMEDOUT */
/* For the arena lock's holder, who knows that no producer, or no consumer, is left: closes it and wakes who waits. */
void mp_shm_queue_mark_closed(mp_shm_queue *q);
/* Likewise; it is marked closed and nobody can take its messages any more: their handles come out of transit. May be cut
 * short anywhere and run again. */
void mp_shm_queue_drop_messages(mp_shm_queue *q);
/* Messages there; exact while nobody else moves it. The second looks without a lock: a hint. */
uint64_t mp_shm_queue_size(mp_shm_queue *q);
uint64_t mp_shm_queue_count(mp_shm_queue *q);
/* Whether get would not wait (q: an mp_shm_queue): a message or the end is there. */
bool mp_shm_queue_ready(void *q);
/* For the cleaner of the dead process `proc`: chunk i was READING in its hands. 0, or an error: again later. */
int mp_shm_queue_reap(uint64_t i, uint32_t proc);

#pragma GCC visibility pop
#endif
