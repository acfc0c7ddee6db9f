/* SPDX-License-Identifier: MIT */
/*
 * Deliberate breakages, one at a time, for test builds (layer 1): `make mutants` builds with -DMP_MUTANTS, runs the tests of
 * crashes with the number of each in the environment (MP_MUTANT=1 ...), and expects one to fail. Without that flag every
 * MP_MUTANT is false, and costs nothing.
 */
#ifndef MP_SHM_ARENA_MUTANTS_H
#define MP_SHM_ARENA_MUTANTS_H

#include <stdbool.h>

/* The names and what each leaves out; scripts/mutants.sh reads them here. */
enum {
  MP_MUTANT_NOTHING,
  MP_MUTANT_ROBUST,      /* locks die with their owners */
  MP_MUTANT_WAKE,        /* a waker wakes nobody */
  MP_MUTANT_PENDING,     /* a waker does not name the wait queue's word */
  MP_MUTANT_RECOVERY,    /* a queue whose lock was abandoned is used as it is */
  MP_MUTANT_COMMIT,      /* tail moves before the record is written */
  MP_MUTANT_BATCH,       /* tail moves before the later records of a batch are written */
  MP_MUTANT_DRAIN,       /* a batch is taken with two stores */
  MP_MUTANT_TAKE,        /* head moves before a large message is marked as being read */
  MP_MUTANT_FREE,        /* a read large message is freed before it counts as delivered */
  MP_MUTANT_REAP,        /* what a dead reader had claimed does not come back */
  MP_MUTANT_REFERENCES,  /* the references of a dead process stay */
  MP_MUTANT_TRANSIT,     /* an interrupted move of handles is not undone */
  MP_MUTANT_LISTS,       /* the arena's lists are not rebuilt */
  MP_MUTANT_CLAIMED,     /* a chunk is claimed before it is counted as claimed */
  MP_MUTANT_LEASE,       /* the copy of a lease that was cut short stays */
  MP_MUTANT_UNPUBLISHED, /* a large message whose put was cut short stays */
  MP_MUTANT_PER_PROCESS, /* what objects noted of a dead process stays */
  MP_MUTANT_MARK,        /* whom the reset of a barrier breaks is not told so */
  MP_MUTANT_TORN,        /* that a writer died while it wrote is not told */
  MP_MUTANT_END,         /* an end of a pipe lets its queues go before it has closed them */
  MP_MUTANT_WATCH,       /* a waker wakes nobody who observes */
  MP_MUTANT_ARM,         /* arming again does not keep a waker that is late from undoing it */
  MP_MUTANT_LOOK,        /* an observer looks before it arms, not after */
  MP_MUTANT_CLAIM,       /* an object that knows something of a process forgets it with the last handle there */
  MP_MUTANT_TARGET,      /* a release of others' permits that was cut short stays half done */
  MP_MUTANT_TELL,        /* who was woken in place of all wakes nobody else */
  MP_MUTANT_TOLD,        /* that a lock's owner died is not told */
  MP_MUTANT_PARTY,       /* who comes to a barrier does not look for dead parties */
  MP_MUTANT_OFTEN,       /* who is woken for nothing, over and over, never looks for the dead */
  MP_MUTANT_VERSION,     /* a container's table is replaced and its version stays */
  MP_MUTANT_STILL,       /* a container's reader does not look at the version again */
  MP_MUTANT_MENDED,      /* recovery of a container uses log space again in the same version */
  MP_MUTANT_PART,        /* recovery of a container frees a chunk that another stripe has claimed since */
  MP_MUTANT_MASK,        /* a dictionary's reader does not look whether it was split before the version it saw */
  MP_MUTANT_SLOT,        /* a container's index names an entry that is not written yet */
  MP_MUTANT_FRESH,       /* a table whose writer died stays */
  MP_MUTANT_OLD,         /* a container notes the old table once the new one is in place */
  MP_MUTANT_RETIRED,     /* the handles of an entry that left its container stay in transit */
  MP_MUTANT_COUNTED,     /* recovery of a container does not count */
  MP_MUTANT_WATCHED,     /* the log of handles in transit observes another word than the one that commits */
  MP_MUTANT_SHAPE,       /* a list's reader does not look whether its item is in the list still */
  MP_MUTANT_DIED,        /* that a descriptor has died is neither told nor counted */
  MP_MUTANT_COUNT
};

#if defined(MP_MUTANTS)
extern int mp_shm_active_mutant; /* set before main, and never again */
#define MP_MUTANT(what) (mp_shm_active_mutant == MP_MUTANT_##what)
#else
#define MP_MUTANT(what) false
#endif

#endif
