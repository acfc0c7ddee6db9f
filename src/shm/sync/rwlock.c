/* SPDX-License-Identifier: MIT */
/* The lock that many may read and one may write. Its words, and who changes them how, stand in rwlock.h. */
#include "shm/sync/rwlock.h"

#include <errno.h>
#include <string.h>

#include "shm/arena/proc.h"

enum { CLOSED = 1, WRITES = 2, TORN = 4, PHASE = 8 }; /* in gate */
enum { READS = 1, WAITS, GIVEN, STATES };             /* in a slot, below the depth */

#define ONCE (STATES | READS)

static uint64_t phase_of(uint64_t gate) { return gate / PHASE; }
static mp_shm_wait_queue *wait_queue_of(mp_shm_rwlock *x, uint64_t gate) {
  return &x->readers[phase_of(gate) % MP_RWLOCK_WAIT_QUEUES];
}
static bool swap(_Atomic uint64_t *slot, uint64_t from, uint64_t to) {
  return atomic_compare_exchange_strong(slot, &from, to);
}

/* --- gate, by the holder of m --- */

/* Those who wait read before the next writer, who looks at their per-process slots only once it has m. */
static void give(mp_shm_rwlock *x) {
  for (uint32_t p = 0, n = mp_shm_per_process_count(&x->slots); p < n; p++)
    if (mp_shm_per_process_load(&x->slots, p) == WAITS) swap(&x->slots.slot[p], WAITS, GIVEN);
}

/* Who was given and did not come waits again. */
static void take_back(mp_shm_rwlock *x) {
  for (uint32_t p = 0, n = mp_shm_per_process_count(&x->slots); p < n; p++)
    if (mp_shm_per_process_load(&x->slots, p) == GIVEN) swap(&x->slots.slot[p], GIVEN, WAITS);
}

static void open_gate(mp_shm_rwlock *x, uint64_t torn) {
  uint64_t gate = atomic_load(&x->gate);
  mp_shm_wait_queue *wait_queue = wait_queue_of(x, gate);
  give(x);
  mp_shm_pending(&wait_queue->word);
  atomic_store(&x->gate, (phase_of(gate) + 1) * PHASE | torn);
  mp_shm_wait_queue_wake(wait_queue);
  mp_shm_pending(NULL);
}

/* What the last holder of m left is open, or was closed by one who died. Returns TORN or 0. */
static uint64_t close_gate(mp_shm_rwlock *x) {
  uint64_t gate = atomic_load(&x->gate);
  uint64_t torn = gate & (MP_MUTANT(TORN) ? TORN : TORN | WRITES) ? TORN : 0;
  atomic_store(&x->gate, phase_of(gate) * PHASE | torn | CLOSED);
  return torn;
}

/* Opens for a writer that died; or finds that another has done so, or is about to. Those who are given the lock must
 * find TORN there already. */
static void recover(mp_shm_rwlock *x) {
  int r = mp_os_mutex_try(&x->m.m);
  if (r < 0) return;
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->m.m);
  if (atomic_load(&x->gate) & CLOSED) open_gate(x, close_gate(x));
  mp_os_mutex_unlock(&x->m.m);
}

/* --- reading --- */

typedef struct visit {
  mp_shm_rwlock *x;
  _Atomic uint64_t *slot; /* this process's */
  uint64_t gate;          /* as it was when it was found closed */
} visit;

static int reach(mp_shm_rwlock *x, const mp_shm_wait *w, _Atomic uint64_t **slot) {
  *slot = mp_shm_per_process_mine(&x->slots);
  if (*slot) return 0;
  int r = mp_shm_lock_word(&x->slots_lock, w);
  if (r < 0) return r;
  *slot = mp_shm_per_process_ensure_slot(&x->slots);
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->slots_lock);
  mp_os_mutex_unlock(&x->slots_lock);
  return 0;
}

static void stop_reading(mp_shm_rwlock *x, _Atomic uint64_t *slot) {
  mp_shm_pending(&x->drained.word);
  atomic_store(slot, 0);
  mp_shm_wait_queue_wake(&x->drained);
  mp_shm_pending(NULL);
}

static bool is_open(visit *v) {
  v->gate = atomic_load(&v->x->gate);
  return !(v->gate & CLOSED);
}

/* A writer stores CLOSED, then looks at the per-process slots; a reader stores its slot, then looks at gate. */
static bool enter(visit *v) {
  if (!is_open(v)) return false;
  atomic_store(v->slot, ONCE);
  if (is_open(v)) return true;
  stop_reading(v->x, v->slot);
  return false;
}

static bool may_go_on(void *arg) {
  visit *v = arg;
  if (atomic_load(v->slot) != WAITS) return true;
  return phase_of(atomic_load(&v->x->gate)) != phase_of(v->gate) || mp_os_mutex_abandoned(&v->x->m.m);
}

/* Waits for the end of the phase: 1 when it reads now, 0 to try again, or an error. */
static int await_opening(visit *v, const mp_shm_wait *w) {
  atomic_store(v->slot, WAITS);
  int err = mp_shm_wait_queue_wait(wait_queue_of(v->x, v->gate), may_go_on, v, w);
  while (!swap(v->slot, WAITS, 0))
    if (swap(v->slot, GIVEN, ONCE)) return 1;
  if (!err && mp_os_mutex_abandoned(&v->x->m.m)) recover(v->x);
  return err;
}

static int come(visit *v, const mp_shm_wait *w) {
  int r = 0;
  while (r == 0 && !enter(v)) {
    if (mp_shm_rwlock_mine(v->x)) return -EDEADLK;
    if (!w->deadline && !mp_os_mutex_abandoned(&v->x->m.m)) return -ETIMEDOUT;
    r = await_opening(v, w);
  }
  return r < 0 ? r : 0;
}

int mp_shm_rwlock_read(mp_shm_rwlock *x, const mp_shm_wait *w) {
  visit v = {.x = x};
  int err = reach(x, w, &v.slot);
  if (err) return err;
  uint64_t c = atomic_load_explicit(v.slot, memory_order_relaxed);
  if (c % STATES == READS) return atomic_store(v.slot, c + STATES), MP_LOCKED;
  err = come(&v, w);
  if (err) return err;
  return atomic_load(&x->gate) & TORN ? MP_ABANDONED : MP_LOCKED;
}

void mp_shm_rwlock_end_read(mp_shm_rwlock *x) {
  _Atomic uint64_t *slot = mp_shm_per_process_mine(&x->slots);
  uint64_t c = atomic_load_explicit(slot, memory_order_relaxed);
  if (c != ONCE) {
    atomic_store(slot, c - STATES);
    return;
  }
  stop_reading(x, slot);
}

uint64_t mp_shm_rwlock_depth(mp_shm_rwlock *x) {
  _Atomic uint64_t *slot = mp_shm_per_process_mine(&x->slots);
  return slot && *slot % STATES == READS ? *slot / STATES : 0;
}

/* --- writing --- */

static bool reads(mp_shm_rwlock *x, uint32_t p) {
  uint64_t state = mp_shm_per_process_load(&x->slots, p) % STATES;
  return (state == READS || state == GIVEN) && !mp_shm_proc_slot_dead(p);
}

static bool no_reader(void *arg) {
  mp_shm_rwlock *x = arg;
  atomic_thread_fence(memory_order_seq_cst);
  for (uint32_t p = 0, n = mp_shm_per_process_count(&x->slots); p < n; p++)
    if (reads(x, p)) return false;
  return true;
}

static int await_no_reader(mp_shm_rwlock *x, const mp_shm_wait *w) {
  mp_shm_wait first = {mp_shm_wait_slice(w), w->interrupted, w->arg};
  int err = mp_shm_wait_queue_wait(&x->drained, no_reader, x, &first);
  if (err != -ETIMEDOUT || first.deadline == w->deadline) return err;
  take_back(x);
  return mp_shm_wait_queue_wait(&x->drained, no_reader, x, w);
}

int mp_shm_rwlock_write(mp_shm_rwlock *x, mp_shm_handle h, const mp_shm_wait *w) {
  if (mp_shm_rwlock_depth(x)) return -EDEADLK;
  int err = mp_shm_mutex_acquire(&x->m, h, w);
  if (err < 0) return err;
  uint64_t torn = close_gate(x);
  err = await_no_reader(x, w);
  if (!err) {
    atomic_store(&x->gate, phase_of(atomic_load(&x->gate)) * PHASE | WRITES | CLOSED);
    return torn ? MP_ABANDONED : MP_LOCKED;
  }
  open_gate(x, torn);
  mp_shm_mutex_release(&x->m, h);
  return err;
}

void mp_shm_rwlock_end_write(mp_shm_rwlock *x, mp_shm_handle h) {
  open_gate(x, 0);
  mp_shm_mutex_release(&x->m, h);
}

/* --- the rest --- */

mp_shm_proc_ref mp_shm_rwlock_writer(mp_shm_rwlock *x, bool *waits) {
  uint64_t gate = atomic_load(&x->gate);
  *waits = !(gate & WRITES);
  return gate & CLOSED ? mp_shm_mutex_owner(&x->m) : 0;
}

mp_shm_proc_ref mp_shm_rwlock_reader(mp_shm_rwlock *x, uint32_t *at) {
  while (*at < mp_shm_per_process_count(&x->slots)) {
    uint32_t p = (*at)++;
    if (reads(x, p)) return (mp_shm_proc_state(p) & ~UINT64_C(0xffffffff)) | p;
  }
  return 0;
}

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot, (void)arg;
  mp_shm_rwlock *x = block;
  memset(x, 0, sizeof *x);
  mp_shm_mutex_init(&x->m, MP_MUTEX_PLAIN);
  mp_shm_robust_init(&x->slots_lock);
  mp_shm_wait_queue_init(&x->drained);
  for (int i = 0; i < MP_RWLOCK_WAIT_QUEUES; i++) mp_shm_wait_queue_init(&x->readers[i]);
}

int mp_shm_rwlock_new(const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_RWLOCK, sizeof(mp_shm_rwlock) + mp_shm_per_process_bytes(), init, NULL, w, out);
}

/* A writer that is dead is seen to as well: those who wait need no slice to find out. */
static int reap(void *block, uint32_t proc) {
  mp_shm_rwlock *x = block;
  if (mp_shm_per_process_load(&x->slots, proc)) stop_reading(x, &x->slots.slot[proc]);
  if (mp_os_mutex_abandoned(&x->m.m)) recover(x);
  return 0;
}

/* A reading outlasts its handle. */
static bool claimed(void *block, uint32_t proc) {
  return mp_shm_per_process_load(&((mp_shm_rwlock *)block)->slots, proc) != 0;
}

const mp_shm_object_type_info mp_shm_rwlock_type = {.reap = reap, .claimed = claimed};
