/* SPDX-License-Identifier: MIT */
/*
 * The condition (layer 1): processes that hold a lock wait until another one that holds it notifies them. Called by L3.
 * The lock is an mp_shm_mutex of another object, or the same part of one, in all calls; who says "the lock" means that.
 *
 * word      written by, order                                what a survivor sees
 * m         notify, and whoever reaps; a few dozen           nothing under it needs recovery
 *           instructions, the innermost but the arena's
 * ticket    a waiter, holding the lock, before its slot      the last number given; a gap means nothing
 * upto      notify, under the lock and m: ITS COMMIT         who waits with a ticket up to this one is notified; only grows
 * slot[p]   ticket << 3 and
 *   WAITING   p, holding the lock: THE COMMIT of wait.       it waits, or with a ticket <= upto: is notified
 *   GIVEN     under m, by CAS from WAITING                   it has the notification of one that died
 *   TAKEN     p, which was notified and has the lock again   wait has succeeded; the release of the lock, or the next wait,
 *                                                            uses the notification up
 *   0         p, CAS from WAITING under the lock, at its     p does not wait
 *             time's end; at the release of the lock; the reaper
 *   | LEFT    p, ended by Ctrl-C, when it can have neither   whoever has m next reaps the slot as if p were dead
 *             the lock nor m
 *
 * One store notifies any number of waiters. It is the ticket of the nth oldest living one: tickets at or below it that
 * nobody waits with are of the dead, whose per-process slots notify puts to 0 first, or have been notified before.
 *
 * Reaping. A process that was notified and died, or left, before it used that up owes it to the oldest that waits:
 * the reaper gives it (one CAS), puts the slot to 0, and wakes. Killed between the first two it leaves a
 * notification that is given once more: never one too few. What TAKEN owes is given only when p was killed: a process
 * that ends in order has ended its work, though it should have released the lock.
 *
 * A waiter needs m never, but after Ctrl-C. It sleeps on its own word (wait_queue.h). A notifier wakes once it has released
 * the lock: who is woken before that could only go to sleep again, in line for the lock. A notifier killed in between wakes
 * for nobody, and those it notified look when their slice ends. The first that wakes wakes for the others as well.
 */
#ifndef MP_SHM_SYNC_CONDITION_H
#define MP_SHM_SYNC_CONDITION_H

#include "shm/arena/per_process.h"
#include "shm/sync/mutex.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_CONDITION = 6 };

typedef struct mp_shm_condition {
  mp_os_mutex m;
  _Atomic uint64_t ticket, upto;
  mp_shm_per_process slots;
} mp_shm_condition;

extern const mp_shm_object_type_info mp_shm_condition_type;         /* for types.c */
int mp_shm_condition_new(const mp_shm_wait *w, mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */

/* All but _waiting are for the holder of the lock. h: the condition's handle, lock: that of x, the lock. */

/* Lets the lock go however often it was acquired, sleeps until notified, and acquires it as often, which may outlast the
 * deadline. 0: notified; -ETIMEDOUT; both with the lock held; -EINTR: the lock is held unless its owner kept it for
 * another MP_SLICE. *abandoned: its last owner had died holding it. */
int mp_shm_condition_wait(mp_shm_condition *c, mp_shm_handle h, mp_shm_mutex *x, mp_shm_handle lock,
                          const mp_shm_wait *w, bool *abandoned);
/* Notifies the n oldest living waiters, or all, who wake when the lock is released. 0; -EINTR, -ETIMEDOUT: nobody. */
int mp_shm_condition_notify(mp_shm_condition *c, mp_shm_handle h, mp_shm_handle lock, uint64_t n, const mp_shm_wait *w);
/* How many wait and are not notified; a snapshot. */
unsigned mp_shm_condition_waiting(mp_shm_condition *c);

#pragma GCC visibility pop
#endif
