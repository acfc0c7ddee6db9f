/* SPDX-License-Identifier: MIT */
/* Opening a view, and its processes. What it may trust stands in view.h. */
#include "shm/view/view.h"

#include <errno.h>
#include <string.h>

#include "os/process.h"
#include "shm/number/array.h"
#include "shm/view/internal.h"

static bool fits(const mp_shm_view *v, uint64_t at, uint64_t count, uint64_t each) {
  return at % 8 == 0 && at <= v->size && count <= (v->size - at) / each;
}

/* The header's counts and places are taken over once: what they say later does not matter. */
static int read_header(mp_shm_view *v) {
  const mp_shm_arena *a = (const void *)v->base;
  v->layout = a->layout;
  if (a->magic != MP_MAGIC || a->layout != MP_LAYOUT || a->page != MP_PAGE || a->size > v->size) return -EPROTO;
  v->nprocs = a->nprocs;
  v->nobjects = a->nobjects;
  v->npages = a->npages;
  v->procs = a->procs;
  v->monitors = a->monitors;
  v->objects = a->objects;
  v->references = a->references;
  v->row_words = a->row_words;
  v->chunks = a->chunks;
  v->data = a->data;
  bool sound = v->nprocs <= MP_PROC_MOST && v->nobjects <= MP_OBJECT_MOST && v->row_words <= MP_OBJECT_MOST / 64 &&
               v->nobjects <= v->row_words * 64 && v->data % MP_PAGE == 0 &&
               fits(v, v->procs, v->nprocs, sizeof(mp_shm_proc)) &&
               fits(v, v->monitors, v->nprocs, sizeof(mp_shm_monitor)) &&
               fits(v, v->objects, v->nobjects, sizeof(mp_shm_object)) &&
               fits(v, v->references, v->nprocs, v->row_words * 8 + !v->row_words) &&
               fits(v, v->chunks, v->npages, sizeof(mp_shm_chunk)) && fits(v, v->data, v->npages, MP_PAGE);
  return sound ? 0 : -EPROTO;
}

int mp_shm_view_open(mp_shm_view *v, int fd) {
  int err = 0;
  memset(v, 0, sizeof *v);
  v->base = mp_os_map_view(fd, &v->size, &err);
  if (!v->base) return err;
  err = v->size < sizeof(mp_shm_arena) ? -EPROTO : read_header(v);
  if (err) mp_shm_view_close(v);
  return err;
}

bool mp_shm_view_own(mp_shm_view *v) {
  memset(v, 0, sizeof *v);
  v->base = (const char *)mp_shm_header;
  v->size = mp_shm_header->size;
  return read_header(v) == 0;
}

void mp_shm_view_close(mp_shm_view *v) {
  if (v->base) mp_os_unmap_view(v->base, v->size);
  v->base = NULL;
}

const void *mp_shm_view_block(const mp_shm_view *v, uint64_t at, uint64_t bytes) {
  return at % 8 == 0 && at <= v->size && bytes <= v->size - at ? v->base + at : NULL;
}

static uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }

/* --- processes --- */

static const mp_shm_proc *proc_at(const mp_shm_view *v, uint32_t slot) {
  return slot < v->nprocs ? (const mp_shm_proc *)(const void *)(v->base + v->procs) + slot : NULL;
}

uint32_t mp_shm_view_procs(const mp_shm_view *v) {
  uint32_t top = atomic_load_explicit(&((const mp_shm_arena *)(const void *)v->base)->top_proc, memory_order_acquire);
  return top < v->nprocs ? top : v->nprocs;
}

bool mp_shm_view_lives(const mp_shm_view *v, mp_shm_proc_ref ref) {
  const mp_shm_proc *p = proc_at(v, mp_shm_ref_slot(ref));
  uint64_t live = (ref & ~UINT64_C(0xffffffff)) | MP_PROC_LIVE;
  return p && atomic_load_explicit(&p->state, memory_order_acquire) == live && mp_os_mutex_held(&p->life);
}

/* Where the words of a worker are: the elements of an array of at least `n` 64-bit integers; NULL: not there. */
static const uint64_t *words_of(const mp_shm_view *v, mp_shm_handle h, uint64_t n) {
  uint32_t slot = (uint32_t)h & MP_SLOT_MASK;
  uint64_t at = slot ? mp_shm_view_object_at(v, slot - 1, MP_TYPE_ARRAY) : 0;
  const mp_shm_array *a = at ? mp_shm_view_block(v, at, sizeof(mp_shm_array) + n * 8) : NULL;
  return a && a->elements.n >= n ? (const void *)a->data : NULL;
}

/* The words of pool_worker.c, in its order: when the task began, its chunk, its item. */
static void read_task(const mp_shm_view *v, mp_shm_handle words, mp_shm_view_proc *p) {
  enum { BEGAN, CHUNK, OFFSET, WORDS, TRIES = 4 };
  const uint64_t *w = words_of(v, words, WORDS);
  for (int i = 0; w && i < TRIES; i++) {
    p->task_began = __atomic_load_n(w + BEGAN, __ATOMIC_ACQUIRE);
    p->chunk = __atomic_load_n(w + CHUNK, __ATOMIC_RELAXED);
    p->offset = __atomic_load_n(w + OFFSET, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (p->task_began == __atomic_load_n(w + BEGAN, __ATOMIC_RELAXED)) return;
  }
  p->task_began = 0;
}

static void read_waits(const mp_shm_view *v, const mp_shm_monitor *m, mp_shm_view_proc *p) {
  uint64_t waits = load(&m->waits), what = waits & ((UINT64_C(1) << MP_WAITS_SHIFT) - 1);
  p->waits = (unsigned)(waits >> MP_WAITS_SHIFT);
  p->waits_since = load(&m->since);
  if (p->waits == MP_WAITS_PROCESS) p->waits_pid = (int32_t)what;
  if ((p->waits == MP_WAITS_ON || p->waits == MP_WAITS_MANY) && what) mp_shm_view_find_thing(v, what, &p->waits_for);
}

static void read_monitor(const mp_shm_view *v, uint32_t slot, mp_shm_view_proc *p) {
  const mp_shm_monitor *m = (const mp_shm_monitor *)(const void *)(v->base + v->monitors) + slot;
  read_waits(v, m, p);
  p->done = load(&m->done);
  p->failed = load(&m->failed);
  p->busy = load(&m->busy);
  uint64_t pool = load(&m->pool), queues = load(&m->queues);
  p->pool_owner = (uint32_t)(pool >> 32);
  p->pool = (uint32_t)pool;
  p->tasks = (uint32_t)(queues >> 32);
  p->results = (uint32_t)queues;
  if (pool) read_task(v, load(&m->words), p);
}

bool mp_shm_view_proc_at(const mp_shm_view *v, uint32_t slot, mp_shm_view_proc *p) {
  const mp_shm_proc *at = proc_at(v, slot);
  memset(p, 0, sizeof *p);
  if (!at) return false;
  uint64_t state = atomic_load_explicit(&at->state, memory_order_acquire);
  p->slot = slot;
  p->alive = (state & 0xff) == MP_PROC_LIVE && mp_os_mutex_held(&at->life);
  if (!p->alive && (state & 0xff) != MP_PROC_STARTING) return false;
  p->pid = atomic_load_explicit(&at->pid, memory_order_relaxed);
  mp_shm_proc_ref parent = load(&at->parent);
  p->parent = mp_shm_view_lives(v, parent) ? mp_shm_ref_slot(parent) + 1 : 0;
  p->began = load(&at->since);
  memcpy(p->name, at->name, MP_PROC_NAME - 1);
  read_monitor(v, slot, p);
  atomic_thread_fence(memory_order_acquire);
  uint64_t after = atomic_load_explicit(&at->state, memory_order_relaxed);
  return after == state && (!p->alive || mp_os_mutex_held(&at->life));
}
