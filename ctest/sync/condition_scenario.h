/* SPDX-License-Identifier: MIT */
/*
 * For tests of conditions: one with its lock, processes that wait for it (witnesses), and one more, the victim, which is
 * traced and stopped or killed. A test begins with cond_begin and ends with cond_finish.
 */
#ifndef MP_CTEST_CONDITION_SCENE_H
#define MP_CTEST_CONDITION_SCENE_H

#include "harness.h"
#include "shm/sync/condition.h"
#include "shm/wait/wait_queue.h"

enum { COND_WITNESSES = 3, COND_PAUSE_US = 20 };

/* A process that waits, in memory shared with it. */
typedef struct cond_witness {
  _Atomic uint64_t armed; /* when its present slice began, or a little before */
  _Atomic uint64_t woken; /* when its wait had returned; 0: not yet */
  _Atomic uint32_t slot, interrupt, releasing, released, abandoned;
  _Atomic int32_t result;
  mp_shm_wait wait;
  pid_t pid;
} cond_witness;

extern cond_witness *cond_w; /* [COND_WITNESSES + 1]; the last is the victim */
extern mp_shm_condition *cond_c;
extern mp_shm_mutex *cond_lock;
extern mp_shm_handle cond_handle, cond_lock_handle;
cond_witness *cond_victim(void);

/* First of all: t_start, without spinning, which would be stepped through. */
void cond_setup(void);
void cond_begin(void);
/* Whatever happened before: each further notification is one waiter less, all wake, and nothing is left. */
void cond_finish(void);

void cond_acquire(void);
void cond_notify(uint64_t n); /* acquires, notifies, releases */
unsigned cond_waiting(void);
void cond_must_wait(unsigned n); /* so many, soon */

/* What a witness does: waits once, and notes what came of it. */
void cond_wait_once(void *witness);
void cond_start(int i); /* returns once it sleeps */
void cond_start_all(void);
void cond_await_asleep(const cond_witness *s);
void cond_look_now(const cond_witness *s); /* ends its slice */
void cond_must_wake(const cond_witness *s);

/* Stops a process, and waits until it is stopped. */
void cond_stop(pid_t pid);
/* The victim, traced, asleep in its wait, and stopped there. */
pid_t cond_stopped_asleep(void);
/* Lets the victim's wait return. */
void cond_run_to_end(pid_t pid);

#endif
