/* SPDX-License-Identifier: MIT */
/* The types of objects there are. Called once per process tree by L3 and by the C tests. */
#include "shm/condition.h"
#include "shm/object.h"
#include "shm/queue.h"

void mp_types_setup(void) {
  mp_queue_setup();
  mp_condition_setup();
}
