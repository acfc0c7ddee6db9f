/* SPDX-License-Identifier: MIT */
/* The types of objects there are. Called once per process tree by L3 and by the C tests. */
#include "shm/barrier.h"
#include "shm/condition.h"
#include "shm/end.h"
#include "shm/object.h"
#include "shm/queue.h"
#include "shm/rwlock.h"
#include "shm/semaphore.h"

void mp_types_setup(void) {
  mp_queue_setup();
  mp_barrier_setup();
  mp_rwlock_setup();
  mp_semaphore_setup();
  mp_end_setup();
  mp_condition_setup();
}
