/* SPDX-License-Identifier: MIT */
/*
 * The wait queue (layer 1): the one construction on which processes sleep until others change something.
 *
 * word   MP_WORD_ARMED while the one sleeper sleeps or is about to; MP_WORD_IDLE otherwise. The sleeper stores both,
 *        a waker turns ARMED to IDLE by CAS and wakes. Its low 30 bits are always 0, so that the kernel passes the wake
 *        on when a process is killed that had named it in its pending entry.
 * sleeper_lock
 *        a robust mutex: its owner is the one sleeper; others who wait, wait for it.
 * observed
 *        arming << 1 | 1 while somebody waits for this wait queue and others at once (wait_set.h); a waker clears the bit.
 *
 * A waker: pending(word); the store that others shall see; mp_shm_wait_queue_wake; pending(NULL). Killed before its
 * store it has changed nothing; after it, the kernel wakes. A sleeper killed asleep leaves the sleeper lock to the next,
 * who looks first.
 * Slices (MP_SLICE) make the rest correct: whatever wake is lost, somebody looks again.
 *
 * A broadcast wait queue: where one store releases all who wait, each of them sleeps on the word and nobody takes the
 * sleeper lock. Then IDLE is a bit, and beside it PHASE changes with every wake that finds the word armed: who looked before a wake and
 * sleeps after it is not fooled by another who has armed the word since. Who arms clears IDLE, who wakes sets it.
 *
 * A private wait is the same sleep without a sleeper lock, on the word in the process's own slot
 * (mp_shm_proc.private_wait): for objects that know whom they wake. Who sleeps there is always the one, so that a wake that comes late, or to the slot's next process, only
 * makes it look once more.
 */
#ifndef MP_SHM_WAIT_WAIT_QUEUE_H
#define MP_SHM_WAIT_WAIT_QUEUE_H

#include <stdatomic.h>

#include "os/os.h"
#include "shm/arena/deadline.h"
#include "shm/arena/robust.h"

#pragma GCC visibility push(hidden)

#define MP_WAIT_QUEUE_PHASE 0x40000000u

typedef struct mp_shm_wait_queue {
  _Alignas(128) mp_os_mutex sleeper_lock;
  _Atomic uint32_t word;
  _Atomic uint32_t observed; /* beside word: a waker looks at both */
} mp_shm_wait_queue;
_Static_assert(offsetof(mp_shm_wait_queue, observed) < 64, "one cache line for all that a waker looks at");

int mp_shm_wait_queue_init(mp_shm_wait_queue *b);
void mp_shm_word_wake(_Atomic uint32_t *word);

static inline void mp_shm_word_notify(_Atomic uint32_t *word) {
  atomic_thread_fence(
      memory_order_seq_cst); /* the caller's store, then the look: against the sleeper's arm, then look */
  if (atomic_load_explicit(word, memory_order_relaxed) == MP_WORD_ARMED) mp_shm_word_wake(word);
}
/* Waking has two halves, in this order. The second may make system calls, and may come once a lock has been let go: who
 * observes has no help of the kernel to lose, but its slice. */
static inline void mp_shm_wait_queue_wake_sleeper(mp_shm_wait_queue *b) { mp_shm_word_notify(&b->word); }
/* The same when what others shall see was an atomic read-modify-write. */
static inline void mp_shm_wait_queue_wake_sleeper_after_rmw(mp_shm_wait_queue *b) {
  mp_os_fence_after_rmw();
  if (atomic_load_explicit(&b->word, memory_order_relaxed) == MP_WORD_ARMED) mp_shm_word_wake(&b->word);
}
void mp_shm_wait_set_wake(mp_shm_wait_queue *b); /* wait_set.c */
static inline void mp_shm_wait_queue_wake_observers(mp_shm_wait_queue *b) {
  if (__builtin_expect(atomic_load_explicit(&b->observed, memory_order_acquire) & 1, 0)) mp_shm_wait_set_wake(b);
}
static inline void mp_shm_wait_queue_wake(mp_shm_wait_queue *b) {
  mp_shm_wait_queue_wake_sleeper(b);
  mp_shm_wait_queue_wake_observers(b);
}

/* Wakes for a state that stands already: nothing is stored between. */
void mp_shm_wait_queue_wake_again(mp_shm_wait_queue *b);

/* Waits until ready(arg): 0, -ETIMEDOUT, -EINTR. Call it without any lock. Once ready has said true it is not asked
 * again, so it may take what it found. */
int mp_shm_wait_queue_wait(mp_shm_wait_queue *b, bool (*ready)(void *arg), void *arg, const mp_shm_wait *w);

/* Looks for a while, if that may help: true once ready(arg). */
bool mp_shm_wait_queue_spin(bool (*ready)(void *arg), void *arg);

/* The same for this process alone: others wake mp_shm_private_wait_word(its slot). on: the object, for viewers. */
int mp_shm_private_wait(bool (*ready)(void *arg), void *arg, const void *on, const mp_shm_wait *w);
_Atomic uint32_t *mp_shm_private_wait_word(uint32_t proc);

/* False when spinning helps nobody: more processes are awake than there are CPUs, or MPROC_SPIN=0 turned it off. */
bool mp_shm_wait_queue_may_spin(void);
/* MPROC_SPIN, NULL where there is none, and whether it is "0", "1" or empty. */
const char *mp_shm_wait_queue_setting(bool *valid);

/* For broadcasts: arms the wait queue, before a look; the value of the word to sleep on. */
uint32_t mp_shm_wait_queue_arm(mp_shm_wait_queue *b);
/* Wakes as mp_shm_wait_queue_wake_sleeper does, for all. True when they slept and have been woken by this call. */
bool mp_shm_wait_queue_wake_all(mp_shm_wait_queue *b);

/* After a sleep that ended without what was waited for; why: -ETIMEDOUT, or what else ended it. Looks for dead processes,
 * once a slice also where wakes for nothing, or signals, let no slice come to its end. */
void mp_shm_wait_queue_woke(int why);

/* This process goes to sleep, for what `waits` says (monitor.h) / is awake again: a hint for others' spinning, and what viewers
 * show. For waits outside the wait queue. */
void mp_shm_wait_queue_asleep(uint64_t waits);
void mp_shm_wait_queue_awake(void);

#pragma GCC visibility pop
#endif
