/* SPDX-License-Identifier: MIT */
/*
 * Another tree's arena, looked at from outside (layer 1): mapped without the right to write, read without a lock. Called by
 * L3 for `mproc top`; it knows all types, and nothing of this process's own arena.
 *
 * Whatever lies there is taken for hostile bytes: a tree may be at any point of any operation, be killed there, or be no tree
 * at all but a file that claims to be one. So
 * - every offset, count and index is held against the size that was mapped before it is followed;
 * - the file must be sealed against shrinking, or a read could find its pages gone;
 * - a slot's generation is read before and after its words; when it has moved on, nothing is said of the slot;
 * - nothing here loops longer than the header's counts, which are bounded when the view is opened.
 */
#ifndef MP_SHM_VIEW_VIEW_H
#define MP_SHM_VIEW_VIEW_H

#include "shm/arena/monitor.h"
#include "shm/arena/object.h"

#pragma GCC visibility push(hidden)

typedef struct mp_shm_view {
  const char *base;
  uint64_t size;
  uint32_t nprocs, nobjects;
  uint64_t npages, procs, monitors, objects, references, row_words, chunks, data;
  uint32_t layout; /* what the arena says of itself */
} mp_shm_view;

/* What is waited for, or held: an object and a part of it. */
typedef struct mp_shm_view_thing {
  uint32_t slot; /* + 1; 0: none that can be told */
  int type;
  const char *part; /* "message", "room", "lock" ... */
} mp_shm_view_thing;

typedef struct mp_shm_view_proc {
  uint32_t slot, parent; /* parent: its slot + 1, 0: none */
  bool alive;            /* else it is starting */
  int32_t pid;
  uint64_t began;
  char name[MP_PROC_NAME];
  unsigned waits; /* MP_WAITS_* */
  int32_t waits_pid;
  mp_shm_view_thing waits_for;
  uint64_t waits_since, done, failed, busy;
  uint32_t pool_owner, pool; /* the owner's slot + 1, or 0; the pool's number */
  uint32_t tasks, results;   /* queues: slot + 1 */
  uint64_t task_began;       /* 0: no task runs */
  uint64_t chunk, offset;
} mp_shm_view_proc;

typedef struct mp_shm_view_queue {
  uint64_t put, got, returned, most;
  bool closed;
  uint32_t users; /* processes that refer to it */
} mp_shm_view_queue;

/* Maps the arena that fd names. 0; -errno; -EPROTO: none, or one of another layout (v->layout) or page size; -EPERM: not sealed. */
int mp_shm_view_open(mp_shm_view *v, int fd);
void mp_shm_view_close(mp_shm_view *v);
/* This process's own arena as a view, which is not closed. */
bool mp_shm_view_own(mp_shm_view *v);
/* What lies at an offset; to->slot is 0 when that cannot be told. */
void mp_shm_view_find_thing(const mp_shm_view *v, uint64_t at, mp_shm_view_thing *to);
/* What objects of a type are called: "queue". */
const char *mp_shm_view_kind(int type);

/* How many slots of each kind have ever been used. */
uint32_t mp_shm_view_procs(const mp_shm_view *v);
uint32_t mp_shm_view_objects(const mp_shm_view *v);

/* False: no process is there, or its slot has moved on meanwhile. */
bool mp_shm_view_proc_at(const mp_shm_view *v, uint32_t slot, mp_shm_view_proc *p);
/* The type of the live object in that slot, or 0. */
int mp_shm_view_type(const mp_shm_view *v, uint32_t slot);
/* Of a queue. False when none is there. */
bool mp_shm_view_queue_at(const mp_shm_view *v, uint32_t slot, mp_shm_view_queue *q);
/* Who holds the lock in that object, as slot + 1, or 0: nobody, or it has none. */
uint32_t mp_shm_view_holder(const mp_shm_view *v, uint32_t slot);
/* Of an RWLock: the next process from *at on that reads, as slot + 1; 0: none is left. */
uint32_t mp_shm_view_reader(const mp_shm_view *v, uint32_t slot, uint32_t *at);

#pragma GCC visibility pop
#endif
