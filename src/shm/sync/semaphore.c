/* SPDX-License-Identifier: MIT */
/* Semaphores. The words and their survivors' view stand in semaphore.h. */
#include "shm/sync/semaphore.h"

#include <errno.h>
#include <string.h>

/* --- plain --- */

static bool take(void *arg) {
  mp_shm_semaphore *s = arg;
  uint64_t n = atomic_load_explicit(&s->value, memory_order_relaxed);
  while (n > 0)
    if (atomic_compare_exchange_weak(&s->value, &n, n - 1)) return true;
  return false;
}

static int give(mp_shm_semaphore *s, uint64_t k) {
  uint64_t n = atomic_load_explicit(&s->value, memory_order_relaxed);
  mp_shm_pending(&s->wait_queue.word);
  while (n <= MP_SEMAPHORE_MOST - k)
    if (atomic_compare_exchange_weak(&s->value, &n, n + k)) {
      mp_shm_wait_queue_wake_sleeper_after_rmw(&s->wait_queue);
      mp_shm_pending(NULL);
      return 0;
    }
  mp_shm_pending(NULL);
  return -EOVERFLOW;
}

/* --- bounded --- */

static uint64_t out_in_all(mp_shm_semaphore *s) {
  uint64_t sum = 0;
  for (uint32_t p = 0; p < mp_shm_per_process_count(&s->slots); p++) sum += mp_shm_per_process_load(&s->slots, p);
  return sum;
}

/* Lowers p's slot by as much of k as it has; what is left of k. */
static uint64_t lower(mp_shm_semaphore *s, uint32_t p, uint64_t k) {
  uint64_t has = mp_shm_per_process_load(&s->slots, p), n = has < k ? has : k;
  if (n) atomic_store_explicit(&s->slots.slot[p], has - n, memory_order_release);
  return k - n;
}

/* Lowers the per-process slots by k, where target wants them, and then says that they are there. */
static void reach_target(mp_shm_semaphore *s, uint64_t k) {
  k = lower(s, s->releaser, k);
  for (uint32_t p = 0; k > 0 && p < mp_shm_per_process_count(&s->slots); p++) k = lower(s, p, k);
  atomic_store_explicit(&s->target, 0, memory_order_release);
}

/* Raises value, or finds it right. Who had m before may have died between the commit and the wake. */
static void recover(mp_shm_semaphore *s) {
  mp_shm_pending(&s->wait_queue.word);
  if (s->target && !MP_MUTANT(TARGET)) reach_target(s, out_in_all(s) - (s->target - 1));
  atomic_store_explicit(&s->value, s->max - out_in_all(s), memory_order_release);
  mp_shm_wait_queue_wake_sleeper(&s->wait_queue);
  mp_shm_pending(NULL);
  mp_os_mutex_consistent(&s->m);
}

static int lock(mp_shm_semaphore *s, const mp_shm_wait *w) {
  int r = mp_shm_lock_word(&s->m, w);
  if (r == MP_ABANDONED) recover(s);
  return r < 0 ? r : 0;
}

static void unlock(mp_shm_semaphore *s) { mp_os_mutex_unlock(&s->m); }

/* 0, -EAGAIN: none is there, or lock's errors. */
static int take_bounded(mp_shm_semaphore *s, const mp_shm_wait *w) {
  int r = lock(s, w);
  if (r) return r;
  uint64_t n = s->value;
  if (n > 0) {
    _Atomic uint64_t *own = mp_shm_per_process_ensure_slot(&s->slots);
    atomic_store_explicit(own, *own + 1, memory_order_release);
    atomic_store_explicit(&s->value, n - 1, memory_order_release);
  }
  unlock(s);
  return n > 0 ? 0 : -EAGAIN;
}

/* True as well when nobody can tell: then the lock does. */
static bool may_take(void *arg) {
  mp_shm_semaphore *s = arg;
  return atomic_load_explicit(&s->value, memory_order_acquire) > 0 || mp_os_mutex_abandoned(&s->m);
}

static int acquire_bounded(mp_shm_semaphore *s, const mp_shm_wait *w) {
  int r = take_bounded(s, w);
  while (r == -EAGAIN) {
    r = mp_shm_wait_queue_wait(&s->wait_queue, may_take, s, w);
    if (r == 0) r = take_bounded(s, w);
    int over = r == -EAGAIN ? mp_shm_wait_check(w) : 0;
    if (over) return over;
  }
  return r;
}

static int give_bounded(mp_shm_semaphore *s, uint64_t k, const mp_shm_wait *w) {
  int r = lock(s, w);
  if (r) return r;
  uint64_t n = s->value, out = s->max - n;
  if (k <= out) {
    mp_shm_pending(&s->wait_queue.word);
    s->releaser = mp_shm_my_slot;
    atomic_store_explicit(&s->target, out - k + 1, memory_order_release);
    reach_target(s, k);
    atomic_store_explicit(&s->value, n + k, memory_order_release);
    mp_shm_wait_queue_wake_sleeper(&s->wait_queue);
    mp_shm_pending(NULL);
  }
  unlock(s);
  return k <= out ? 0 : -EOVERFLOW;
}

static bool has_out(void *block, uint32_t proc) {
  mp_shm_semaphore *s = block;
  return s->kind == MP_SEMAPHORE_BOUNDED && mp_shm_per_process_load(&s->slots, proc) > 0;
}

static void take_back(mp_shm_semaphore *s, uint32_t proc) {
  uint64_t has = mp_shm_per_process_load(&s->slots, proc);
  if (!has) return;
  mp_shm_pending(&s->wait_queue.word);
  atomic_store_explicit(&s->slots.slot[proc], 0, memory_order_release);
  atomic_store_explicit(&s->value, s->value + has, memory_order_release);
  mp_shm_wait_queue_wake_sleeper(&s->wait_queue);
  mp_shm_pending(NULL);
}

/* A release that the dead process had under way is finished by lock(). */
static int reap(void *block, uint32_t proc) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  mp_shm_semaphore *s = block;
  if (s->kind != MP_SEMAPHORE_BOUNDED || (!has_out(s, proc) && !mp_os_mutex_abandoned(&s->m))) return 0;
  int r = lock(s, &brief);
  if (r) return r;
  take_back(s, proc);
  unlock(s);
  return 0;
}

/* --- both --- */

typedef struct making {
  uint32_t kind;
  uint64_t n;
} making;

static void init(uint32_t slot, void *block, const void *arg) {
  mp_shm_semaphore *s = block;
  const making *a = arg;
  (void)slot;
  memset(s, 0, sizeof *s);
  s->kind = a->kind;
  s->value = s->max = a->n;
  mp_shm_robust_init(&s->m);
  mp_shm_wait_queue_init(&s->wait_queue);
}

const mp_shm_object_type_info mp_shm_semaphore_type = {.reap = reap, .claimed = has_out};

int mp_shm_semaphore_new(uint32_t kind, uint64_t n, const mp_shm_wait *w, mp_shm_handle *out) {
  making a = {kind, n};
  size_t slots = kind == MP_SEMAPHORE_BOUNDED ? mp_shm_per_process_bytes() : 0;
  return mp_shm_object_new(MP_TYPE_SEMAPHORE, sizeof(mp_shm_semaphore) + slots, init, &a, w, out);
}

int mp_shm_semaphore_acquire(mp_shm_semaphore *s, const mp_shm_wait *w) {
  if (s->kind == MP_SEMAPHORE_BOUNDED) return acquire_bounded(s, w);
  return take(s) ? 0 : mp_shm_wait_queue_wait(&s->wait_queue, take, s, w);
}

int mp_shm_semaphore_release(mp_shm_semaphore *s, uint64_t k, const mp_shm_wait *w) {
  return s->kind == MP_SEMAPHORE_BOUNDED ? give_bounded(s, k, w) : give(s, k);
}

int mp_shm_semaphore_value(mp_shm_semaphore *s, const mp_shm_wait *w, uint64_t *value) {
  if (s->kind == MP_SEMAPHORE_BOUNDED && mp_os_mutex_abandoned(&s->m)) {
    int r = lock(s, w);
    if (r) return r;
    unlock(s);
  }
  *value = s->value;
  return 0;
}

uint64_t mp_shm_semaphore_holder(mp_shm_semaphore *s, uint32_t *proc, mp_shm_proc_ref *who) {
  for (; s->kind == MP_SEMAPHORE_BOUNDED && *proc < mp_shm_per_process_count(&s->slots); ++*proc) {
    uint64_t n = mp_shm_per_process_load(&s->slots, *proc);
    if (!n) continue;
    *who = (mp_shm_proc_state(*proc) & ~UINT64_C(0xffffffff)) | *proc;
    return n;
  }
  return 0;
}
