/* SPDX-License-Identifier: MIT */
/* A process's slot as shm sees it. The meaning of its words stands in registry.h. */
#ifndef MP_SHM_ARENA_PROC_H
#define MP_SHM_ARENA_PROC_H

#include "shm/arena/arena.h"
#include "shm/arena/registry.h"

#pragma GCC visibility push(hidden)

enum { MP_PROC_FREE, MP_PROC_STARTING, MP_PROC_LIVE, MP_PROC_DEAD, MP_PROC_CLEANED };

typedef struct mp_shm_proc {
  _Alignas(MP_LINE) mp_os_mutex life;
  _Atomic uint64_t state; /* gen << 32 | MP_PROC_* */
  _Atomic uint64_t parent, since;
  _Atomic int32_t pid, exit;
  _Atomic uint32_t nclaimed, asleep;
  _Atomic uint32_t wait_set, private_wait;
  _Atomic int32_t status;
  char name[MP_PROC_NAME]; /* cut, and ended by a 0; the process's own */
} mp_shm_proc;
_Static_assert(sizeof(mp_shm_proc) == MP_LINE, "the registry's stride is part of the layout");

extern MP_PROCESS_LOCAL uint32_t mp_shm_my_slot; /* this process's slot */
/* This process, or one that it was forked from, has noted something of itself in an object, or held one whose end
 * others wait for: leaving in order lets go of it at once. */
extern MP_PROCESS_LOCAL bool mp_shm_has_claims;

static inline mp_shm_proc *mp_shm_proc_at(uint32_t slot) {
  return (mp_shm_proc *)mp_shm_at(mp_shm_header->procs) + slot;
}
static inline uint32_t mp_shm_ref_slot(mp_shm_proc_ref r) { return (uint32_t)r; }
static inline uint64_t mp_shm_proc_state(uint32_t slot) {
  return atomic_load_explicit(&mp_shm_proc_at(slot)->state, memory_order_acquire);
}
/* Life first: a cleaner, who takes it, says so before. */
static inline bool mp_shm_proc_slot_dead(uint32_t slot) {
  return !mp_os_mutex_held(&mp_shm_proc_at(slot)->life) || (mp_shm_proc_state(slot) & 0xff) == MP_PROC_CLEANED;
}
static inline void mp_shm_proc_add_claimed(int delta) {
  mp_shm_proc *p = mp_shm_proc_at(mp_shm_my_slot);
  uint32_t n = atomic_load_explicit(&p->nclaimed, memory_order_relaxed);
  atomic_store_explicit(&p->nclaimed, n + (uint32_t)delta, memory_order_release);
}

/* For newcomer.c. Whether the ref still names what has the slot: it may be any number that claims to be one. */
bool mp_shm_proc_is_current(mp_shm_proc_ref ref);
/* The arena lock for calls without a deadline of their own: 0; -EAGAIN: some process is stopped with it. */
int mp_shm_proc_lock_briefly(void);
/* With the arena lock: a free slot becomes STARTING. 0 or -EUSERS. */
int mp_shm_proc_claim_slot(mp_shm_proc_ref parent, mp_shm_proc_ref *out);
/* The same: the slot becomes FREE, if its child has not come up. */
void mp_shm_proc_free_starting(uint32_t slot);
/* Takes this process's place. False when it came too late. */
bool mp_shm_proc_enter(mp_shm_proc_ref ref);
/* From now on each fork of this process, by whomever, takes a place. 0 or -errno. */
int mp_shm_proc_watch_forks(void);

/* Gives back what a dead process had claimed: chunks to their queues or the heap, then its references.
 * The caller owns that slot's life. -EINTR or 0. In sweep.c. */
int mp_shm_proc_reap(uint32_t slot);

#pragma GCC visibility pop
#endif
