/* SPDX-License-Identifier: MIT */
/*
 * Wait sets (layer 1): waiting for many things at once, and descriptors for the event loops of others. Called by L3; the
 * queue tells it when it has been looked at.
 *
 * A wait set is wait queues and a wake pipe of the process that observes them (os/event.h). Who wakes a wait queue that
 * is observed writes a byte into the pipes of all who observe it. Nothing waits here under a lock, and nothing is owed to the dead: a wake that is lost, because
 * its waker was killed before it or could not open the pipe, costs the observer its slice (MP_SLICE), no more.
 *
 * word               written by, order                           what a survivor sees
 * mp_shm_wait_queue  arming << 1 | 1. An observer, once its       1: somebody may observe. A waker killed on the way leaves
 *   .observed        entry stands: +1 arming and 1 (CAS), then    it so, and the next one wakes them
 *                    it looks, then it sleeps. A waker, after its
 *                    committing store: reads it; writes into the
 *                    pipes; clears the bit by CAS, if nobody has
 *                    armed it since
 * mp_shm_proc        the observer: its table's chunk + 1, once    that table; of a process that is dead or has
 *   .wait_set        the table is whole; 0 before that is freed   unregistered nobody looks
 * table: owner room  the observer, before that                    constant
 *        n           the observer, after the entries it counts    entries beyond it say nothing
 *        entry       the observer: the pipe, then its wait        any mixture of old and new: a pipe is known by its
 *                    queue; wait queue 0: nothing                 inode, so that a wrong one is never written to
 *
 * The table is a chunk HELD by its process, so that it is freed like all that a dead process had claimed. It may be freed,
 * and be another's, while a waker reads it: the waker believes what has the right owner and a possible size, reads
 * again when mp_shm_proc.wait_set has changed meanwhile, and is at worst wrong about whom it wakes.
 *
 * Neither a store nor a wake is lost between two living processes: the observer arms, then looks; the waker stores, then
 * looks at `observed`; a fence stands between on both sides. Who is woken empties its pipe first, then arms, then looks.
 * Who looks again because its slice is over, with nothing in its pipe since it armed, need not arm where the bit still
 * stands: a waker that is about to clear it has not written yet, and who is woken by that arms.
 */
#ifndef MP_SHM_WAIT_WAIT_SET_H
#define MP_SHM_WAIT_WAIT_SET_H

#include "os/event.h"
#include "shm/arena/object.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

typedef struct mp_shm_wait_source { /* one thing to wait for */
  mp_shm_wait_queue *wait_queue;    /* woken whenever ready(arg) may have become true; NULL: nobody wakes */
  bool (*ready)(void *arg);         /* looks and hardly waits, without a lock; NULL: fd alone tells */
  void *arg;
  pid_t pid; /* ready when that process ends, too; 0: none */
  int fd;    /* ready when it is readable, too; -1: none */
  int found; /* set by mp_shm_wait_set_wait: 1: ready; -EBADF: fd is not open */
} mp_shm_wait_source;

/* Waits until one of n sources is ready, and finds all that are: how many; -ETIMEDOUT, -EINTR; -EBADF. fds: room for
 * n + 1, nothing in it. */
int mp_shm_wait_set_wait(mp_shm_wait_source *s, size_t n, mp_os_pollfd *fds, const mp_shm_wait *w);

/* A descriptor for event loops, one for each wait queue: readable while ready(arg), and now and then when it is not, until it is
 * looked at by mp_shm_wait_set_look. Closed with this process's last use of the object h. -EMFILE, -ENOENT (no /proc) and such. */
int mp_shm_wait_set_fd(mp_shm_handle h, const mp_shm_wait_source *s);
extern MP_PROCESS_LOCAL uint32_t mp_shm_wait_set_fds; /* how many this process has */
/* Called by whoever has taken something, or found nothing to take, at that wait queue: when nothing is there, its descriptor is not
 * readable from now on. */
void mp_shm_wait_set_look_slowly(mp_shm_wait_queue *b);
static inline void mp_shm_wait_set_look(mp_shm_wait_queue *b) {
  if (__builtin_expect(mp_shm_wait_set_fds != 0, 0)) mp_shm_wait_set_look_slowly(b);
}

/* What this process observes, for wait_set_wait.c and wait_set_fd.c. Entries below mp_shm_wait_set_kept are descriptors', the rest a wait's. */
extern MP_PROCESS_LOCAL uint64_t mp_shm_wait_set_table; /* the chunk + 1 of this process's table, or 0 */
extern MP_PROCESS_LOCAL uint32_t mp_shm_wait_set_kept;
bool mp_shm_wait_set_reserve(uint32_t n); /* room for n entries; false: there is none, and slices must do */
void mp_shm_wait_set_put(uint32_t i, mp_shm_wait_queue *b, int pipe,
                         uint64_t inode); /* b NULL: nothing. i < what was reserved */
void mp_shm_wait_set_count(uint32_t n);   /* the entries below n stand */
void mp_shm_wait_set_release(void);       /* gives the table back if nothing is kept. Never waits */
/* Before looking whether it is ready: who wakes it from now on wakes its observers. mp_shm_wait_set_armed after the last one. */
void mp_shm_wait_set_arm(mp_shm_wait_queue *b);
/* A hint: whether the next waker looks for observers. */
static inline bool mp_shm_wait_set_is_armed(const mp_shm_wait_queue *b) {
  return atomic_load_explicit(&b->observed, memory_order_relaxed) & 1;
}
static inline void mp_shm_wait_set_armed(void) { atomic_thread_fence(memory_order_seq_cst); }

/* Hooks, for types.c (object.h). */
/* The last use of the object in that slot ends: so do its descriptors. */
void mp_shm_wait_set_last_use(uint32_t slot);
/* In a fresh fork, where nothing else has run: closes the parent's descriptors. */
void mp_shm_wait_set_forked(void);
/* This process ends in order: nothing is looked at any more, and the table must not stay claimed. */
void mp_shm_wait_set_leaves(void);

#pragma GCC visibility pop
#endif
