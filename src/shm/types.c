/* SPDX-License-Identifier: MIT */
/* The types of objects there are, and what else the arena tells (object.h). Called once per process tree by src/mproc.c
 * and by the C tests. */
#include "shm/arena/object.h"
#include "shm/container/blob.h"
#include "shm/container/dict.h"
#include "shm/container/frozen.h"
#include "shm/container/list.h"
#include "shm/descriptor/descriptor.h"
#include "shm/number/array.h"
#include "shm/number/memory.h"
#include "shm/queue/pipe_end.h"
#include "shm/queue/queue.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/mutex.h"
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"
#include "shm/wait/wait_set.h"

static const mp_shm_object_type_info plain; /* it lives and dies, and nothing else */

/* By number: two types with the same one do not compile. */
static const mp_shm_object_type_info *const types[MP_TYPES] = {
    [MP_TYPE_QUEUE] = &mp_shm_queue_type,
    [MP_TYPE_MUTEX] = &plain,
    [MP_TYPE_SEMAPHORE] = &mp_shm_semaphore_type,
    [MP_TYPE_EVENT] = &plain,
    [MP_TYPE_BARRIER] = &mp_shm_barrier_type,
    [MP_TYPE_CONDITION] = &mp_shm_condition_type,
    [MP_TYPE_RWLOCK] = &mp_shm_rwlock_type,
    [MP_TYPE_PIPE_END] = &mp_shm_pipe_end_type,
    [MP_TYPE_ARRAY] = &plain,
    [MP_TYPE_DICT] = &mp_shm_dict_type,
    [MP_TYPE_BLOB] = &mp_shm_blob_type,
    [MP_TYPE_LIST] = &mp_shm_list_type,
    [MP_TYPE_FROZEN] = &mp_shm_frozen_type,
    [MP_TYPE_DESCRIPTOR] = &mp_shm_descriptor_type,
    [MP_TYPE_MEMORY] = &mp_shm_memory_type,
};

MP_HOT_AFTER_FORK static void forked(void) {
  mp_shm_wait_set_forked();
  if (mp_shm_descriptor_hook.forked) mp_shm_descriptor_hook.forked();
}

void mp_shm_types_setup(void) {
  for (int i = 0; i < MP_TYPES; i++)
    if (types[i]) mp_shm_object_type(i, types[i]);
  mp_shm_hook = (mp_shm_hooks){.last_use = mp_shm_wait_set_last_use,
                               .forked = forked,
                               .leaves = mp_shm_wait_set_leaves,
                               .bound = mp_shm_mutex_any};
}
