/* SPDX-License-Identifier: MIT */
/*
 * The event (layer 1): a flag that processes wait for. Called by L3.
 *
 * word    written by, order                              what a survivor sees
 * state   set, by CAS: generation + 1 and the flag;      all there is to know. Set already: set changes nothing. THE COMMIT
 *         clear: the flag off                            of both
 * wait_queue
 *         broadcast (wait_queue.h): who waits arms and   its word is pending while its maker may owe a wake: the system
 *         sleeps on its word; set wakes all              then wakes one who sleeps
 * broadcast_gen
 *         set, after a wake that reached those who       the generation of which everybody asleep has been told. Another
 *         slept: its generation; who was woken, after    than state's: a wake may have been a dying process's, and the
 *         his own                                        only one
 *
 * Who waits is released when the flag is up or the generation is not the one it found: a clear() right after the set()
 * takes nothing from it. Who was woken, released or not, wakes all others unless `broadcast_gen` says that they know,
 * and has the word pending until then: whoever is killed, setter or waiter, hands the duty to one who sleeps.
 */
#ifndef MP_SHM_SYNC_EVENT_H
#define MP_SHM_SYNC_EVENT_H

#include "shm/arena/object.h"
#include "shm/wait/wait_queue.h"

#pragma GCC visibility push(hidden)

enum { MP_TYPE_EVENT = 4 };

typedef struct mp_shm_event {
  _Alignas(MP_LINE) _Atomic uint64_t state; /* generation << 1 | MP_EVENT_SET */
  _Atomic uint64_t broadcast_gen;
  mp_shm_wait_queue wait_queue;
} mp_shm_event;

enum { MP_EVENT_SET = 1 };

int mp_shm_event_new(const mp_shm_wait *w, mp_shm_handle *out); /* 0 -ENOMEM -EINTR -ETIMEDOUT */
void mp_shm_event_set(mp_shm_event *e);
void mp_shm_event_clear(mp_shm_event *e);
/* Waits until it is set, or has been since the call began: 0, -ETIMEDOUT, -EINTR. */
int mp_shm_event_wait(mp_shm_event *e, const mp_shm_wait *w);
static inline bool mp_shm_event_is_set(const mp_shm_event *e) {
  return (atomic_load_explicit(&e->state, memory_order_acquire) & MP_EVENT_SET) != 0;
}

#pragma GCC visibility pop
#endif
