/* SPDX-License-Identifier: MIT */
/* What was taken and is not done. The words and their survivors' view stand in joinable.h. */
#include "shm/queue/joinable.h"

#include <errno.h>

#include "shm/queue/internal.h"

static mp_shm_joinable *of(mp_shm_queue *q) { return (mp_shm_joinable *)(void *)q; }

_Static_assert(sizeof(mp_shm_joinable) + MP_PROC_MOST * sizeof(uint64_t) + MP_LINE + sizeof(mp_shm_record) <=
                   MP_SEGMENT,
               "a queue's own segment has room for a jump at least");
size_t mp_shm_joinable_bytes(void) { return sizeof(mp_shm_joinable) + mp_shm_per_process_bytes(); }

void mp_shm_joinable_init(mp_shm_queue *q) {
  mp_shm_joinable *j = of(q);
  mp_shm_wait_queue_init(&j->idle);
  j->lost = j->pad = 0;
  j->slots.ready = 0;
}

void mp_shm_joinable_note(mp_shm_queue *q, int delta) {
  atomic_fetch_add(mp_shm_per_process_ensure_slot(&of(q)->slots), (uint64_t)(int64_t)delta);
}

static uint64_t taken(mp_shm_joinable *j) {
  uint64_t n = 0;
  for (uint32_t p = 0; p < mp_shm_per_process_count(&j->slots); p++) n += mp_shm_per_process_load(&j->slots, p);
  return n;
}

/* Lowers a slot that is not 0. The wait queue is woken for every one: who wakes last sees them all at 0. */
static bool lower(mp_shm_joinable *j, uint32_t proc) {
  uint64_t n = mp_shm_per_process_load(&j->slots, proc);
  bool done = false;
  mp_shm_pending(&j->idle.word);
  while (n && !(done = atomic_compare_exchange_weak(&j->slots.slot[proc], &n, n - 1)))
    ;
  if (done && n == 1) mp_shm_wait_queue_wake(&j->idle);
  mp_shm_pending(NULL);
  return done;
}

int mp_shm_joinable_done(mp_shm_queue *q) {
  mp_shm_joinable *j = of(q);
  if (lower(j, mp_shm_my_slot)) return 0;
  for (uint32_t p = 0; p < mp_shm_per_process_count(&j->slots); p++)
    if (lower(j, p)) return 0;
  return -ERANGE;
}

/* It has tasks that it has not finished: who joins must learn of its end, even if it lets the queue go before. */
bool mp_shm_joinable_claimed(void *block, uint32_t proc) {
  mp_shm_joinable *j = block;
  return (j->q.kind & MP_QUEUE_JOINABLE) && mp_shm_per_process_load(&j->slots, proc) != 0;
}

int mp_shm_joinable_reap(void *block, uint32_t proc) {
  mp_shm_joinable *j = block;
  if (!(j->q.kind & MP_QUEUE_JOINABLE) || !mp_shm_per_process_load(&j->slots, proc)) return 0;
  j->lost = 1;
  mp_shm_pending(&j->idle.word);
  atomic_store(&j->slots.slot[proc], 0);
  mp_shm_wait_queue_wake(&j->idle);
  mp_shm_pending(NULL);
  return 0;
}

static bool holds_messages(mp_shm_queue *q) {
  uint64_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  return tail != mp_shm_queue_head(q) || atomic_load_explicit(&q->nret, memory_order_relaxed);
}

/* A hint: what it says is made sure of with both locks. */
static bool seems_idle(void *arg) { return !holds_messages(arg) && !taken(of(arg)); }
static bool seems_idle_or_recover(void *arg) { return mp_shm_queue_unreaped(arg) || seems_idle(arg); }

/* 1: idle; 0: not; or an error. */
static int is_idle(mp_shm_queue *q, const mp_shm_wait *w) {
  int err = mp_shm_queue_lock_both(q, w);
  if (err) return err;
  int idle = seems_idle(q);
  mp_shm_queue_unlock_both(q);
  return idle;
}

int mp_shm_joinable_join(mp_shm_queue *q, const mp_shm_wait *w) {
  for (;;) {
    int r = is_idle(q, w);
    if (r < 0) return r;
    if (r) return atomic_exchange(&of(q)->lost, 0) ? MP_ABANDONED : 0;
    r = mp_shm_wait_queue_wait(&of(q)->idle, seems_idle_or_recover, q, w);
    if (r) return r;
  }
}

uint64_t mp_shm_joinable_unfinished(mp_shm_queue *q) { return mp_shm_queue_size(q) + taken(of(q)); }
