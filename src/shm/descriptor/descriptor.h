/* SPDX-License-Identifier: MIT */
/*
 * Descriptors (layer 1): an object that stands for an open file, which a process of its own keeps for the tree, the store
 * (process/store.h). Called by L2 and L3. Invariant: the store keeps a file as long as its object lives, or is dead itself.
 *
 * An object's word:
 *   epoch    the maker, once the store has the file    0: not stored; else the number of the store that keeps it. Nobody
 *                                                      else has the handle before. Killed there, the maker leaves an
 *                                                      object that goes with its reference, and the store lets go of the file
 *
 * The store's words, in the arena's header (mp_shm_fd_store). `starting` is a robust lock, taken before any other lock; who has
 * it starts a store. Its next owner after a death finds epoch 0 and starts one of its own.
 *   epoch    0 by a starter, before it writes name, secret, since, pid; the new number last, with release.
 *            A reader loads it, copies the words, and loads it again: equal and not 0 means that they belong together.
 *            A store whose number it is not, while nobody holds `starting`, ends: its starter was killed, or there is a
 *            newer one. (The lock is looked at first: a starter stores the number before it lets go.)
 *   number   a starter, one more before each start     numbers never come again: a descriptor of a dead store is lost
 *   died     destroy, under the arena lock             how many descriptors have died: what the store looks at, ten times a
 *                                                      second, when nobody told it which. A hint: counted twice, it costs a look
 *   pid      a starter                                 of the store; 0 before there was one
 */
#ifndef MP_SHM_DESCRIPTOR_DESCRIPTOR_H
#define MP_SHM_DESCRIPTOR_DESCRIPTOR_H

#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_DESCRIPTOR = 14 };

typedef struct mp_shm_descriptor {
  _Atomic uint64_t epoch;
} mp_shm_descriptor;

/* What the process folder does; set once per process tree. */
typedef struct mp_shm_descriptor_hooks {
  void (*forked)(void); /* as mp_shm_hooks.forked */
  /* Without a lock: n descriptors have died in this process's hands, the last of them this one. */
  void (*died)(mp_shm_handle h, unsigned n);
} mp_shm_descriptor_hooks;
extern mp_shm_descriptor_hooks mp_shm_descriptor_hook;

/* A descriptor that nobody keeps yet, held by this process. 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_descriptor_new(const mp_shm_wait *w, mp_shm_handle *out);
/* That store has it. By its maker. */
void mp_shm_descriptor_stored(mp_shm_handle h, uint64_t epoch);
/* The number of the store that keeps it; 0: none does, or the handle names none. */
uint64_t mp_shm_descriptor_epoch(mp_shm_handle h);

extern const mp_shm_object_type_info mp_shm_descriptor_type;

#pragma GCC visibility pop
#endif
