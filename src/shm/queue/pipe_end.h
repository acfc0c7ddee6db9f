/* SPDX-License-Identifier: MIT */
/*
 * The ends of a pipe (layer 1): who holds one may send into one queue and receive from another. Called by L3.
 *
 * An end is an object of its own so that its lifetime says who could send: the processes that hold it, and the messages
 * that carry it. It keeps its queues alive as a message would, so that nobody else need hold them.
 *
 * word       written by, order                              what a survivor sees
 * kind in    the maker, before the end is LIVE              constant
 * out queues
 * holding    the maker: 0 -> 1, THE COMMIT that puts its     0: its queues are not counted, and nobody else knows it yet
 *            queues in transit; destroy: 1 -> 0, the commit   1: they live as long as it does
 *            that takes them off
 *
 * When the last hold goes (close, the end of the process, SIGKILL, the collector), destroy marks both queues closed and
 * wakes their wait queues; what was on its way to the dead end comes out of transit (mp_shm_queue_drop_messages), for nobody can take it any
 * more: an end in it is as good as closed. All under the arena lock, all of it to be run again by whoever recovers that.
 *
 * Why `closed` may be stored without the queue's locks:
 * - `in` has no consumer left, only producers at the other end. A put that looked at closed before the store
 *   succeeds as one that came a moment earlier would have; one that carries handles looks again under the arena lock, so
 *   that none goes in transit behind mp_shm_queue_drop_messages' back. The consumers' lock may be abandoned: nobody takes it again but to recover.
 * - `out` has no producer left, only consumers at the other end. Each producer's last store to tail came before it let its
 *   hold go under the arena lock, or before its death was seen in its life's mutex, hence before this store; a
 *   consumer looks at closed, then at tail, so that whoever sees 1 sees the last tail too. A producer killed in its put, lock
 *   held, put all of the message or nothing, and tail and closed say the rest: no consumer needs that lock.
 * An end that is on its way to itself, or two that are on their way to each other, live as long as the tree.
 * A process that could hold the end again comes from a message only, which counts, or from a fork, which copies references.
 */
#ifndef MP_SHM_QUEUE_PIPE_END_H
#define MP_SHM_QUEUE_PIPE_END_H

#include "shm/queue/queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_PIPE_END = 8 };

enum { MP_PIPE_END_DUPLEX, MP_PIPE_END_RECEIVES, MP_PIPE_END_SENDS, MP_PIPE_END_KINDS };

typedef struct mp_shm_pipe_end {
  uint32_t kind, nqueues;
  uint64_t in, out;        /* offsets of queues; 0: none */
  mp_shm_handle queues[2]; /* theirs */
  _Atomic uint64_t holding;
} mp_shm_pipe_end;

extern const mp_shm_object_type_info mp_shm_pipe_end_type; /* for types.c */
/* Makes both ends, held by this process. Without duplex the first receives and the second sends.
 * 0 -ENOMEM -EINTR -ETIMEDOUT. */
int mp_shm_pipe_new(bool duplex, const mp_shm_wait *w, mp_shm_handle ends[2]);
/* The queue it receives from, or NULL. */
static inline mp_shm_queue *mp_shm_pipe_end_in(const mp_shm_pipe_end *e) { return e->in ? mp_shm_at(e->in) : NULL; }
static inline mp_shm_queue *mp_shm_pipe_end_out(const mp_shm_pipe_end *e) { return e->out ? mp_shm_at(e->out) : NULL; }
/* mp_shm_queue_put into the queue of an end that sends, by one who perhaps never waits: it must learn of deaths as well. */
int mp_shm_pipe_end_send(mp_shm_pipe_end *e, const mp_shm_outgoing *m, const mp_shm_wait *w);

#pragma GCC visibility pop
#endif
