/* SPDX-License-Identifier: MIT */
/* The types of objects there are. Called once per process tree by L3 and by the C tests. */
#include "shm/arena/object.h"
#include "shm/queue/pipe_end.h"
#include "shm/queue/queue.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"

void mp_shm_types_setup(void) {
  mp_shm_queue_setup();
  mp_shm_barrier_setup();
  mp_shm_rwlock_setup();
  mp_shm_semaphore_setup();
  mp_shm_pipe_end_setup();
  mp_shm_condition_setup();
}
