/* SPDX-License-Identifier: MIT */
/*
 * The bell (layer 1): the one construction on which processes sleep until others change something.
 *
 * word   MP_BELL_ARMED while the one sleeper sleeps or is about to; MP_BELL_IDLE otherwise. The sleeper stores both,
 *        a ringer turns ARMED to IDLE by CAS and wakes. Its low 30 bits are always 0, so that the kernel passes the wake
 *        on when a process is killed that had named it in its pending cell.
 * turn   a robust mutex: its holder is the one sleeper; others who wait stand in line for it.
 * watched  arming << 1 | 1 while somebody waits for this bell and others at once (watch.h); a ringer clears the bit.
 *
 * A ringer: pending(word); the store that others shall see; mp_bell_ring; pending(NULL). Killed before its store it has
 * changed nothing; after it, the kernel wakes. A sleeper killed asleep leaves the turn to the next, who looks first.
 * Slices (MP_SLICE) make the rest correct: whatever wake is lost, somebody looks again.
 *
 * A crowd's bell: where one store releases all who wait, each of them sleeps on the word and nobody takes the turn. Then
 * IDLE is a bit, and beside it PHASE changes with every ring that finds the word armed: who looked before a ring and
 * sleeps after it is not fooled by another who has armed the word since. Who arms clears IDLE, who rings sets it.
 *
 * A nap is the same sleep without a turn, on the word in the process's own slot (mp_proc.nap): for objects that know whom
 * they wake. Who sleeps there is always the one, so that a ring that comes late, or to the slot's next process, only
 * makes it look once more.
 */
#ifndef MP_SHM_BELL_H
#define MP_SHM_BELL_H

#include <stdatomic.h>

#include "os/os.h"
#include "shm/wait.h"

#pragma GCC visibility push(hidden)

#define MP_BELL_ARMED 0u
#define MP_BELL_IDLE 0x80000000u
#define MP_BELL_PHASE 0x40000000u

typedef struct mp_bell {
  _Alignas(128) mp_os_mutex turn;
  _Atomic uint32_t word;
  _Atomic uint32_t watched; /* beside word: a ringer looks at both */
} mp_bell;
_Static_assert(offsetof(mp_bell, watched) < 64, "one cache line for all that a ringer looks at");

int mp_bell_init(mp_bell *b);
void mp_word_wake(_Atomic uint32_t *word);

static inline void mp_word_ring(_Atomic uint32_t *word) {
  atomic_thread_fence(
      memory_order_seq_cst); /* the caller's store, then the look: against the sleeper's arm, then look */
  if (atomic_load_explicit(word, memory_order_relaxed) == MP_BELL_ARMED) mp_word_wake(word);
}
/* Ringing has two halves, in this order. The second may make system calls, and may come once a lock has been let go: who
 * watches has no help of the kernel to lose, but its slice. */
static inline void mp_bell_ring_sleeper(mp_bell *b) { mp_word_ring(&b->word); }
void mp_watch_ring(mp_bell *b); /* watch.c */
static inline void mp_bell_ring_watchers(mp_bell *b) {
  if (__builtin_expect(atomic_load_explicit(&b->watched, memory_order_acquire) & 1, 0)) mp_watch_ring(b);
}
static inline void mp_bell_ring(mp_bell *b) {
  mp_bell_ring_sleeper(b);
  mp_bell_ring_watchers(b);
}

/* Rings for a state that stands already: nothing is stored between. */
void mp_bell_ring_again(mp_bell *b);

/* Waits until ready(arg): 0, -ETIMEDOUT, -EINTR. Call it without any lock. Once ready has said true it is not asked
 * again, so it may take what it found. */
int mp_bell_wait(mp_bell *b, bool (*ready)(void *arg), void *arg, const mp_wait *w);

/* Looks for a while, if that may help: true once ready(arg). */
bool mp_bell_spin(bool (*ready)(void *arg), void *arg);

/* The same for this process alone: others ring mp_nap_word(its slot). */
int mp_nap(bool (*ready)(void *arg), void *arg, const mp_wait *w);
_Atomic uint32_t *mp_nap_word(uint32_t proc);

/* False when spinning helps nobody: more processes are awake than there are CPUs, or MPROC_SPIN=0 turned it off. */
bool mp_bell_may_spin(void);

/* For a crowd: arms the bell, before a look; the value of the word to sleep on. */
uint32_t mp_bell_arm(mp_bell *b);
/* Rings as mp_bell_ring_sleeper does, for all. True when they slept and have been woken by this call. */
bool mp_bell_ring_all(mp_bell *b);

/* After a sleep that ended without what was waited for; why: -ETIMEDOUT, or what else ended it. Looks for dead processes,
 * once a slice also where wakes for nothing, or signals, let no slice come to its end. */
void mp_bell_woke(int why);

/* This process goes to sleep / is awake again: a hint for others' spinning. For waits outside the bell. */
void mp_bell_asleep(bool asleep);

#pragma GCC visibility pop
#endif
