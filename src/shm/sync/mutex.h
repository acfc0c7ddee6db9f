/* SPDX-License-Identifier: MIT */
/*
 * The lock that Lua code holds (layer 1): Lock, RLock, and what is built on them. Called by L3 and by condition.c.
 *
 * word     written by, order                              what a survivor sees
 * m        acquire, release: THE COMMIT of both           the system gives a dead owner's on, marked abandoned
 * line     who waits holds it while it is the next one    abandoned: the one behind it goes on in its place
 * starving the next one, once it has waited STARVING_AFTER; 1 though nobody waits: whoever comes stands in line,
 *          cleared when it has m or gives up, and by who  becomes the next one, and clears it
 *          takes m from behind it
 * contended
 *          1: who stands behind the next one; 0: who      a hint: a wrong one costs one short sleep
 *          found the line empty
 * owner    the owner, after m, and 0 before it goes       a name for messages only; m tells the truth
 * depth    the owner                                      meaningless while nobody holds m
 *
 * Who comes while nobody is starving may take m before those who wait (that is fast: no sleep between release and
 * acquire); who is starving has it next. The line, a mutex, goes to whom the system runs first: who finds it contended
 * sleeps shortly before joining it, so that those who stand in it already are run. Who stands in it looks at m now and then, and
 * takes it if it is free: a next one that is stopped, or is not run, holds nobody up. A process counts what it holds,
 * and keeps those objects alive.
 */
#ifndef MP_SHM_SYNC_MUTEX_H
#define MP_SHM_SYNC_MUTEX_H

#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_MUTEX = 2 };

enum { MP_MUTEX_MOST = 1024 }; /* held by one process: the system releases 2048 robust mutexes at its death */
enum { MP_MUTEX_PLAIN, MP_MUTEX_RECURSIVE };
enum { MP_PART_LOCK = 1 }; /* of an object whose block begins with an mp_shm_mutex */

typedef struct mp_shm_mutex {
  mp_os_mutex m;
  _Atomic uint32_t starving;
  uint32_t depth, kind;
  _Atomic uint32_t contended;
  _Atomic uint64_t owner;
  mp_os_mutex line;
} mp_shm_mutex;

void mp_shm_mutex_init(mp_shm_mutex *x, uint32_t kind);
int mp_shm_mutex_new(uint32_t kind, const mp_shm_wait *w, mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */

/* One acquisition of a mutex in the object h: MP_LOCKED, MP_ABANDONED (locked; its last owner died with it), -ETIMEDOUT,
 * -EINTR, -ENOLCK (this process holds MP_MUTEX_MOST). Not for one that it holds already. */
int mp_shm_mutex_acquire(mp_shm_mutex *x, mp_shm_handle h, const mp_shm_wait *w);
/* By its holder. */
void mp_shm_mutex_release(mp_shm_mutex *x, mp_shm_handle h);
/* By the holder of the mutex in h, for what belongs to its release, and lies in `object`, which lives until then. Of each
 * at most one per lock: what was asked before is done now.
 * Just before it lets go, *slot is put to 0; NULL: nothing. */
void mp_shm_mutex_before_release(mp_shm_handle h, mp_shm_handle object, _Atomic uint64_t *slot);
/* Just after it has let go, wake(block) is called, which only wakes. first: the word of one for whom it is, who passes the
 * wake on to all others, or NULL: the system wakes him if this process is killed before. */
void mp_shm_mutex_after_release(mp_shm_handle h, mp_shm_handle object, void (*wake)(void *block), void *block,
                                _Atomic uint32_t *first);
static inline bool mp_shm_mutex_mine(const mp_shm_mutex *x) { return mp_os_mutex_mine(&x->m); }
static inline bool mp_shm_mutex_locked(const mp_shm_mutex *x) { return mp_os_mutex_held(&x->m); }
/* Who holds it, or 0. */
mp_shm_proc_ref mp_shm_mutex_owner(const mp_shm_mutex *x);
/* How many this process holds; whether it holds any (a hook, for types.c). */
unsigned mp_shm_mutex_count(void);
bool mp_shm_mutex_any(void);

#pragma GCC visibility pop
#endif
