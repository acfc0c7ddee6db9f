/* SPDX-License-Identifier: MIT */
/*
 * Objects (layer 1): the directory of what lives in the arena, who holds it and which messages carry it.
 *
 * An object lives while some process's reference bitmap has its bit or `in_transit` is not 0. All of this is written under the
 * arena lock, a bitmap's bits only for oneself, for a child being reserved, or for a dead process being cleaned.
 *
 * word        states
 * state       gen << 32 | type << 8 | FREE, LIVE, DYING. FREE->LIVE gives birth (block, mutexes and the maker's bit stand
 *             before it). LIVE->DYING ends it: no handle is valid any more; whoever has the arena lock then takes
 *             it apart, recovery included. DYING->FREE, gen + 1, is last.
 * transit      records between head and tail (and large messages not yet delivered) that carry it. Moves by the arena's
 *             transit log, which makes count and commit one step for a survivor.
 */
#ifndef MP_SHM_ARENA_OBJECT_H
#define MP_SHM_ARENA_OBJECT_H

#include "shm/arena/arena.h"
#include "shm/arena/registry.h"

#pragma GCC visibility push(hidden)

typedef uint64_t mp_shm_handle; /* gen << 32 | part << 24 | slot + 1; 0 is nothing */

/* A part names something inside an object that shows as an object of its own, as an array's lock; it lives, and is
 * counted, with the whole. 0 is the whole. */
#define MP_PART_SHIFT 24
#define MP_SLOT_MASK ((1u << MP_PART_SHIFT) - 1)
static inline unsigned mp_shm_handle_part(mp_shm_handle h) { return (uint32_t)h >> MP_PART_SHIFT; }
static inline mp_shm_handle mp_shm_handle_with_part(mp_shm_handle h, unsigned part) {
  return h | (mp_shm_handle)part << MP_PART_SHIFT;
}

enum { MP_OBJECT_FREE, MP_OBJECT_LIVE, MP_OBJECT_DYING };
/* Types are numbers here, from 1 on; each is named in its own header, and shm/types.c has the list. */
enum { MP_TYPES = 16 };

typedef struct mp_shm_object {
  _Atomic uint64_t state;
  uint32_t chunk; /* index of its block */
  uint32_t in_transit;
  uint32_t next; /* list of free or dying slots, slot + 1 */
  uint32_t pad[3];
} mp_shm_object;
_Static_assert(sizeof(mp_shm_object) == 32, "the directory's stride is part of the layout");

static inline mp_shm_object *mp_shm_object_at(uint32_t slot) {
  return (mp_shm_object *)mp_shm_at(mp_shm_header->objects) + slot;
}
static inline unsigned mp_shm_object_state(uint32_t slot) {
  return (unsigned)atomic_load_explicit(&mp_shm_object_at(slot)->state, memory_order_acquire) & 0xff;
}

typedef struct mp_shm_object_type_info { /* what a type does besides living; each may be NULL */
  /* Using one is no claim: a process that leaves in order, and has used nothing else, lets go of it later. */
  bool use_is_no_claim;
  /* Its last holder is gone: frees what its block refers to, not the block. A survivor may run it again after it
   * was cut short anywhere: then `thorough`, and nothing that a freed chunk held can be trusted. Under the arena lock.
   * One that frees much tells of it by mp_shm_object_spend. */
  void (*destroy)(uint32_t slot, void *block, bool thorough);
  /* A process that had a reference is dead or leaves: what the block says of that process is undone, and who waits for
   * it is woken. Without a lock; 0, or an error: again later. May be cut short anywhere and run again. */
  int (*reap)(void *block, uint32_t proc);
  /* True when this one, just initialised, never needs reap; NULL: all of the type do. */
  bool (*quiet)(const void *block);
  /* True while the block says something of that process that reap must find: then its reference outlasts its last use
   * as long as others know the object. Under the arena lock. */
  bool (*claimed)(void *block, uint32_t proc);
  /* The same as reap for chunk i, READING in the dead process's hands and taken from such an object. */
  int (*reap_chunk)(uint64_t i, uint32_t proc);
  /* Whether such a chunk carries handles. */
  bool (*chunk_carries)(uint64_t i);
} mp_shm_object_type_info;
/* Once per process tree and type, by mp_shm_types_setup. */
void mp_shm_object_type(int type, const mp_shm_object_type_info *is);
/* What the object in that slot does. */
const mp_shm_object_type_info *mp_shm_object_type_at(uint32_t slot);

/* What folders above are told of this process; each may be NULL. */
typedef struct mp_shm_hooks {
  void (*last_use)(uint32_t slot);                /* its last use of the object in that slot ends */
  void (*forked)(void);                           /* it is a fresh fork, in which nothing else has run */
  void (*leaves)(void);                           /* it ends in order: nothing may stay in its hands that need not */
  bool (*bound)(void);                            /* true: it has what the system alone releases, at its death */
  void (*waited)(uint64_t waits, uint64_t since); /* a sleep has ended (monitor.h); 0, 0: one begins */
} mp_shm_hooks;
extern mp_shm_hooks mp_shm_hook; /* set once per process tree, by mp_shm_types_setup */
/* The handle of the live object in a slot. */
mp_shm_handle mp_shm_object_handle(uint32_t slot);
/* The type of a live object; 0 when none lives by that handle. */
int mp_shm_object_type_of(mp_shm_handle h);

/* Makes an object of `bytes` bytes held by this process; init fills its block under the arena lock.
 * 0, -ENOMEM, -EINTR, -ETIMEDOUT. */
int mp_shm_object_new(int type, uint64_t bytes, void (*init)(uint32_t slot, void *block, const void *arg),
                      const void *arg, const mp_shm_wait *w, mp_shm_handle *out);
bool mp_shm_object_live(mp_shm_handle h); /* of whatever type */
/* The block of a live object of that type, or NULL. Valid while this process holds it. */
void *mp_shm_object_block(mp_shm_handle h, int type);

/* Process-local uses of an object: userdata, and what a receiver retains. The first takes the reference, the last lets it go.
 * _use: 0, or -ENOENT when no such object lives. _use_held: for one that this process is known to hold. */
int mp_shm_object_use(mp_shm_handle h, int type, const mp_shm_wait *w);
void mp_shm_object_use_held(mp_shm_handle h);
/* For one that is not held but kept alive, as a pipe's queue is by an end that this process holds: holds it. Needs no lock:
 * nobody else writes this process's reference bitmap. */
void mp_shm_object_use_kept(mp_shm_handle h);
/* Never waits: when the arena lock is busy the reference is let go later. */
void mp_shm_object_unuse(mp_shm_handle h);
/* The same by one who may wait: 0; -EINTR, -ETIMEDOUT: one use less, but the reference is let go later. */
int mp_shm_object_release(mp_shm_handle h, const mp_shm_wait *w);

/* Handles in transit, with the arena lock held. record: offset of n distinct handles. Between begin and end the
 * caller makes the one store that commits: `value` at offset `word`. A survivor that finds another value there
 * undoes the counts. end marks what has lost its last holder; mp_shm_object_destroy_dead takes that apart. */
void mp_shm_transit_begin(uint64_t record, uint32_t n, uint64_t word, uint64_t value, int delta);
void mp_shm_transit_end(void);
/* One more local use of each: what a receiver does before it takes them out of transit. */
void mp_shm_transit_retain(uint64_t record, uint32_t n);
void mp_shm_object_destroy_dead(bool thorough);
/* For destroy, which has done so much: about so many handles' worth. False: it must return, with what is left such that it
 * may be run again, not thorough; that is done in another section of the arena lock, so that nobody waits long for it. */
bool mp_shm_object_spend(uint64_t units);
/* Without the arena lock, and not waiting for it: goes on with what is dying. all: to the end, or one portion. */
void mp_shm_object_finish(bool all);
extern MP_PROCESS_LOCAL bool mp_shm_object_unfinished; /* this process has begun to destroy something, and not ended */
extern uint32_t mp_shm_object_portion;                 /* units in one section; tests lower it */

/* Without a lock: mp_shm_references_flush, unless the arena lock is busy. */
void mp_shm_references_flush_if_free(void);
/* This process, which ends, uses no object of that type any more. Waits for MP_GRACE at most. Where that is over, or the
 * process has a message claimed, whose queue must live, they go with the process. */
void mp_shm_references_drop(int type);

/* types.c: makes all types and hooks known. Once per process tree. */
void mp_shm_types_setup(void);

/* For the registry, with the arena lock held. */
void mp_shm_references_copy(uint32_t from_proc, uint32_t to_proc);
void mp_shm_references_add(uint32_t from_proc, uint32_t to_proc); /* to what it has */
void mp_shm_reference_give(uint32_t to_proc, mp_shm_handle h);    /* of an object that this process holds */
void mp_shm_references_clear(uint32_t proc);                      /* and destroys what nobody refers to now */
/* Reaps all that a dead process referred to. Without a lock. 0 or the first error. */
int mp_shm_references_reap(uint32_t proc);
void mp_shm_references_flush(void); /* lets go what could not be let go when its last use ended */
void mp_shm_transit_recover(void);  /* for recovery, in this order: the transit log, */
void mp_shm_object_rebuild(void);   /* the lists, and what was dying */
uint32_t mp_shm_object_count(void);

#pragma GCC visibility pop
#endif
