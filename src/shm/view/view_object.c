/* SPDX-License-Identifier: MIT */
/* The objects of a view: queues, locks, and what a process waits for. What it may trust stands in view.h. */
#include <string.h>

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
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"
#include "shm/view/internal.h"

enum { PAGES_BACK = 64 /* a block's wait queues lie near its beginning */ };

static const mp_shm_object *slot_at(const mp_shm_view *v, uint32_t slot) {
  return slot < v->nobjects ? (const mp_shm_object *)(const void *)(v->base + v->objects) + slot : NULL;
}

static uint64_t state_of(const mp_shm_object *o) { return atomic_load_explicit(&o->state, memory_order_acquire); }

uint32_t mp_shm_view_objects(const mp_shm_view *v) {
  uint32_t top = __atomic_load_n(&((const mp_shm_arena *)(const void *)v->base)->top_object, __ATOMIC_ACQUIRE);
  return top < v->nobjects ? top : v->nobjects;
}

int mp_shm_view_type(const mp_shm_view *v, uint32_t slot) {
  const mp_shm_object *o = slot_at(v, slot);
  uint64_t state = o ? state_of(o) : 0;
  return (state & 0xff) == MP_OBJECT_LIVE ? (int)(state >> 8 & 0xff) : 0;
}

static uint64_t chunk_word(const mp_shm_view *v, uint64_t i) {
  const mp_shm_chunk *c = (const mp_shm_chunk *)(const void *)(v->base + v->chunks) + i;
  return atomic_load_explicit(&c->st, memory_order_acquire);
}

uint64_t mp_shm_view_object_at(const mp_shm_view *v, uint32_t slot, int type) {
  if (mp_shm_view_type(v, slot) != type) return 0;
  uint64_t i = __atomic_load_n(&slot_at(v, slot)->chunk, __ATOMIC_RELAXED);
  if (i >= v->npages) return 0;
  uint64_t st = chunk_word(v, i);
  return mp_shm_chunk_state(st) == MP_USED && mp_shm_chunk_tag(st) == slot ? v->data + i * MP_PAGE : 0;
}

/* --- what lies where --- */

/* A part of a block: [from, to). */
typedef struct part {
  int type;
  size_t from, to;
  const char *name;
} part;

#define WHOLE 0, SIZE_MAX
#define MEMBER(t, m) offsetof(t, m), offsetof(t, m) + sizeof(((t *)0)->m)

static const part parts[] = {
    {MP_TYPE_QUEUE, MEMBER(mp_shm_queue, data), "message"},
    {MP_TYPE_QUEUE, MEMBER(mp_shm_queue, room), "room"},
    {MP_TYPE_QUEUE, WHOLE, "tasks"}, /* of a JoinableQueue */
    {MP_TYPE_MUTEX, WHOLE, "lock"},
    {MP_TYPE_ARRAY, MEMBER(mp_shm_array, lock), "lock"},
    {MP_TYPE_DICT, MEMBER(mp_shm_dict, user), "lock"},
    {MP_TYPE_LIST, MEMBER(mp_shm_list, user), "lock"},
    {MP_TYPE_RWLOCK, MEMBER(mp_shm_rwlock, m), "lock"},
    {MP_TYPE_RWLOCK, MEMBER(mp_shm_rwlock, drained), "readers"},
    {MP_TYPE_RWLOCK, MEMBER(mp_shm_rwlock, readers), "lock"},
    {MP_TYPE_SEMAPHORE, WHOLE, "permit"},
    {MP_TYPE_EVENT, WHOLE, "event"},
    {MP_TYPE_BARRIER, WHOLE, "barrier"},
    {MP_TYPE_CONDITION, WHOLE, "condition"},
};

static const char *const kinds[MP_TYPES] = {
    [MP_TYPE_QUEUE] = "queue",         [MP_TYPE_MUTEX] = "lock",
    [MP_TYPE_SEMAPHORE] = "semaphore", [MP_TYPE_EVENT] = "event",
    [MP_TYPE_BARRIER] = "barrier",     [MP_TYPE_CONDITION] = "condition",
    [MP_TYPE_RWLOCK] = "RWLock",       [MP_TYPE_ARRAY] = "number",
    [MP_TYPE_DICT] = "Dict",           [MP_TYPE_LIST] = "List",
    [MP_TYPE_FROZEN] = "frozen table", [MP_TYPE_MEMORY] = "SharedMemory",
    [MP_TYPE_PIPE_END] = "pipe",       [MP_TYPE_DESCRIPTOR] = "Descriptor",
};

const char *mp_shm_view_kind(int type) { return type > 0 && type < MP_TYPES && kinds[type] ? kinds[type] : "object"; }

static const char *part_name(int type, uint64_t inside) {
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (parts[i].type == type && inside >= parts[i].from && inside < parts[i].to) return parts[i].name;
  return "";
}

/* The chunk in which a page lies, and its word. False when it cannot be found. */
static bool find_chunk(const mp_shm_view *v, uint64_t *page, uint64_t *st) {
  for (unsigned back = 0; back < PAGES_BACK; back++, --*page) {
    *st = chunk_word(v, *page);
    if (mp_shm_chunk_state(*st) != MP_NONE) return true;
    if (*page == 0) return false;
  }
  return false;
}

void mp_shm_view_find_thing(const mp_shm_view *v, uint64_t at, mp_shm_view_thing *to) {
  uint64_t page = at < v->data ? v->npages : (at - v->data) / MP_PAGE, st;
  memset(to, 0, sizeof *to);
  if (page >= v->npages || !find_chunk(v, &page, &st) || mp_shm_chunk_state(st) != MP_USED) return;
  uint32_t slot = mp_shm_chunk_tag(st);
  int type = mp_shm_view_type(v, slot);
  uint64_t block = type ? mp_shm_view_object_at(v, slot, type) : 0;
  if (!block || block > at) return;
  *to = (mp_shm_view_thing){slot + 1, type, part_name(type, at - block)};
}

/* --- queues --- */

static uint32_t count_users(const mp_shm_view *v, uint32_t slot) {
  uint32_t n = 0;
  uint64_t row = v->references + slot / 64 * 8;
  for (uint32_t i = 0; i < mp_shm_view_procs(v); i++, row += v->row_words * 8) {
    const uint64_t *word = mp_shm_view_block(v, row, 8);
    if (word && __atomic_load_n(word, __ATOMIC_RELAXED) >> slot % 64 & 1) n++;
  }
  return n;
}

bool mp_shm_view_queue_at(const mp_shm_view *v, uint32_t slot, mp_shm_view_queue *to) {
  uint64_t at = mp_shm_view_object_at(v, slot, MP_TYPE_QUEUE);
  const mp_shm_queue *q = at ? mp_shm_view_block(v, at, sizeof *q) : NULL;
  if (!q) return false;
  uint64_t state = state_of(slot_at(v, slot));
  to->got = atomic_load_explicit(&q->ngot, memory_order_acquire); /* before put, so that it is not behind it */
  to->put = atomic_load_explicit(&q->nput, memory_order_relaxed);
  to->returned = atomic_load_explicit(&q->nret, memory_order_relaxed);
  to->most = q->maxsize;
  to->closed = atomic_load_explicit(&q->closed, memory_order_relaxed) != 0;
  to->users = count_users(v, slot);
  atomic_thread_fence(memory_order_acquire);
  return state_of(slot_at(v, slot)) == state;
}

/* --- locks --- */

/* The mutex that the object's block begins with, or NULL. */
static const mp_shm_mutex *mutex_of(const mp_shm_view *v, uint32_t slot) {
  int type = mp_shm_view_type(v, slot);
  if (type != MP_TYPE_MUTEX && type != MP_TYPE_ARRAY && type != MP_TYPE_DICT && type != MP_TYPE_LIST &&
      type != MP_TYPE_RWLOCK)
    return NULL;
  uint64_t at = mp_shm_view_object_at(v, slot, type);
  return at ? mp_shm_view_block(v, at, sizeof(mp_shm_mutex)) : NULL;
}
_Static_assert(offsetof(mp_shm_dict, user) == 0 && offsetof(mp_shm_list, user) == 0 && offsetof(mp_shm_rwlock, m) == 0,
               "a lock is what the block begins with");

uint32_t mp_shm_view_holder(const mp_shm_view *v, uint32_t slot) {
  const mp_shm_mutex *x = mutex_of(v, slot);
  if (!x || !mp_os_mutex_held(&x->m)) return 0;
  mp_shm_proc_ref owner = atomic_load_explicit(&x->owner, memory_order_relaxed);
  return owner && mp_shm_view_lives(v, owner) ? mp_shm_ref_slot(owner) + 1 : 0;
}

uint32_t mp_shm_view_reader(const mp_shm_view *v, uint32_t slot, uint32_t *from) {
  enum { READS = 1, STATES = 3 }; /* of rwlock.c: depth << 2 | READS */
  uint64_t at = mp_shm_view_object_at(v, slot, MP_TYPE_RWLOCK);
  for (; at && *from < v->nprocs; ++*from) {
    uint64_t last = at + sizeof(mp_shm_rwlock) + (uint64_t)*from * 8;
    const mp_shm_rwlock *x = mp_shm_view_block(v, at, last + 8 - at);
    if (!x || *from >= atomic_load_explicit(&x->slots.ready, memory_order_acquire)) return 0;
    uint64_t word = atomic_load_explicit(&x->slots.slot[*from], memory_order_relaxed);
    if ((word & STATES) == READS) return ++*from;
  }
  return 0;
}
