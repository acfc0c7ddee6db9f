/* SPDX-License-Identifier: MIT */
/*
 * Deliberate breakages, one at a time, for test builds (layer 0): `make controls` builds with -DMP_BREAK=n for each and
 * expects the tests of crashes to fail. Without it every MP_BROKEN is false, and costs nothing.
 */
#ifndef MP_OS_BROKEN_H
#define MP_OS_BROKEN_H

#ifndef MP_BREAK
#define MP_BREAK 0
#endif

/* The names and what each leaves out; scripts/controls.sh reads them here. */
enum {
  MP_BREAK_NOTHING,
  MP_BREAK_ROBUST,      /* locks die with their owners */
  MP_BREAK_WAKE,        /* a ringer wakes nobody */
  MP_BREAK_PENDING,     /* a ringer does not name the bell's word */
  MP_BREAK_REPAIR,      /* a queue whose lock was abandoned is used as it is */
  MP_BREAK_COMMIT,      /* tail moves before the record is written */
  MP_BREAK_TAKE,        /* head moves before an extent is marked as being read */
  MP_BREAK_FREE,        /* a read extent is freed before it counts as delivered */
  MP_BREAK_SETTLE,      /* what a dead reader had in hand does not come back */
  MP_BREAK_HOLDS,       /* the holds of a dead process stay */
  MP_BREAK_FLIGHT,      /* an interrupted move of handles is not undone */
  MP_BREAK_LISTS,       /* the arena's lists are not rebuilt */
  MP_BREAK_INHAND,      /* a chunk is claimed before it is counted as in hand */
  MP_BREAK_LEASE,       /* the copy of a lease that was cut short stays */
  MP_BREAK_UNPUBLISHED, /* an extent whose put was cut short stays */
  MP_BREAK_CELLS,       /* what objects noted of a dead process stays */
  MP_BREAK_MARK,        /* whom the reset of a barrier breaks is not told so */
  MP_BREAK_TORN,        /* that a writer died while it wrote is not told */
  MP_BREAK_END,         /* an end of a pipe lets its queues go before it has closed them */
  MP_BREAK_WATCH,       /* a ringer wakes nobody who watches */
  MP_BREAK_ARM,         /* arming again does not keep a ringer that is late from undoing it */
  MP_BREAK_LOOK,        /* a watcher looks before it arms, not after */
  MP_BREAK_CLAIM,       /* an object that knows something of a process forgets it with the last handle there */
  MP_BREAK_GOAL,        /* a release of others' permits that was cut short stays half done */
  MP_BREAK_TELL,        /* who was woken in place of all wakes nobody else */
  MP_BREAK_TOLD,        /* that a lock's owner died is not told */
  MP_BREAK_PARTY,       /* who comes to a barrier does not look for dead parties */
  MP_BREAK_OFTEN,       /* who is woken for nothing, over and over, never looks for the dead */
  MP_BREAK_COUNT
};
#define MP_BROKEN(what) (MP_BREAK == MP_BREAK_##what)

#endif
