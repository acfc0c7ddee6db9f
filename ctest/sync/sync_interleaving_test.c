/* SPDX-License-Identifier: MIT */
/*
 * Two processes on one lock, semaphore, barrier and so on: one stands still between two instructions of its operation,
 * each in turn, while the other does all of its own. Nobody may be where another excludes it, what was counted must come
 * out right, and then the object works as a new one. Neither waits. MP_STRIDE=n tries every nth instruction.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "interleaving.h"
#include "shm/number/array.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"

typedef struct told { /* by both sides: in memory that mproc knows nothing of */
  _Atomic int32_t readers, writers;
  _Atomic int first, other; /* what the operations gave */
  _Atomic uint64_t first_index, other_index;
} told;

static told *t;
static mp_shm_handle h, lock_h;
static void *it;
static mp_shm_mutex *lock;
static const mp_shm_wait now = {0, NULL, NULL};

static void made(int err, int type) {
  CHECK(err == 0);
  memset(t, 0, sizeof *t);
  it = mp_shm_object_block(h, type);
}

static void let_go(void) {
  CHECK(t->readers == 0 && t->writers == 0);
  mp_shm_object_unuse(h);
  t_nothing_left();
}

static void enter_writing(void) {
  t->writers++;
  CHECK(t->writers == 1 && t->readers == 0);
}
static void leave_writing(void) { t->writers--; }

/* --- Lock --- */

static void a_lock(void) { made(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h), MP_TYPE_MUTEX); }

static int lock_and_unlock(void) {
  int r = mp_shm_mutex_acquire(it, h, &now);
  if (r < 0) return r;
  CHECK(r == MP_LOCKED);
  enter_writing();
  leave_writing();
  mp_shm_mutex_release(it, h);
  return 0;
}

static void first_locks(void *arg) { (void)arg, t->first = lock_and_unlock(); }
static void other_locks(void) { t->other = lock_and_unlock(); }
static void lock_works(void) {
  CHECK(t->first == 0 || t->other == 0);
  CHECK(lock_and_unlock() == 0);
  let_go();
}

/* --- RWLock --- */

static void a_rwlock(void) { made(mp_shm_rwlock_new(&t_soon, &h), MP_TYPE_RWLOCK); }

static int read_and_end(void) {
  int r = mp_shm_rwlock_read(it, &now);
  if (r < 0) return r;
  CHECK(r == MP_LOCKED);
  t->readers++;
  CHECK(t->writers == 0);
  t->readers--;
  mp_shm_rwlock_end_read(it);
  return 0;
}

static int write_and_end(void) {
  int r = mp_shm_rwlock_write(it, h, &now);
  if (r < 0) return r;
  CHECK(r == MP_LOCKED);
  enter_writing();
  leave_writing();
  mp_shm_rwlock_end_write(it, h);
  return 0;
}

static void first_reads(void *arg) { (void)arg, t->first = read_and_end(); }
static void first_writes(void *arg) { (void)arg, t->first = write_and_end(); }
static void other_reads(void) { t->other = read_and_end(); }
static void other_writes(void) { t->other = write_and_end(); }
static void rwlock_works(void) {
  CHECK(read_and_end() == 0 && write_and_end() == 0 && read_and_end() == 0);
  let_go();
}
static void both_read(void) { /* but for one who found the other standing in a short lock */
  CHECK(t->first == 0 && (t->other == 0 || t->other == -ETIMEDOUT));
  rwlock_works();
}

/* --- Semaphore --- */

static void a_plain_one(void) { made(mp_shm_semaphore_new(MP_SEMAPHORE_PLAIN, 1, &t_soon, &h), MP_TYPE_SEMAPHORE); }
static void a_bounded_one(void) { made(mp_shm_semaphore_new(MP_SEMAPHORE_BOUNDED, 1, &t_soon, &h), MP_TYPE_SEMAPHORE); }
static void bounded_and_out(void) {
  made(mp_shm_semaphore_new(MP_SEMAPHORE_BOUNDED, 2, &t_soon, &h), MP_TYPE_SEMAPHORE);
  CHECK(mp_shm_semaphore_acquire(it, &now) == 0);
}

static int pass(void) {
  int r = mp_shm_semaphore_acquire(it, &now);
  if (r < 0) return r;
  enter_writing();
  leave_writing();
  CHECK(mp_shm_semaphore_release(it, 1, &t_soon) == 0);
  return 0;
}

static void first_passes(void *arg) { (void)arg, t->first = pass(); }
static void other_passes(void) { t->other = pass(); }
static void semaphore_works(void) {
  uint64_t value;
  CHECK(mp_shm_semaphore_value(it, &now, &value) == 0 && value == 1);
  CHECK(pass() == 0);
  let_go();
}

static void first_gives(void *arg) { (void)arg, t->first = mp_shm_semaphore_release(it, 1, &now); }
static void other_gives(void) { t->other = mp_shm_semaphore_release(it, 1, &now); }
static void other_takes(void) { t->other = mp_shm_semaphore_acquire(it, &now); }
static void one_gave(void) { /* one permit was out */
  uint64_t value;
  CHECK((t->first == 0) + (t->other == 0) == 1);
  CHECK(mp_shm_semaphore_value(it, &now, &value) == 0 && value == 2);
  let_go();
}
static void gave_and_took(void) {
  uint64_t value;
  CHECK(mp_shm_semaphore_value(it, &now, &value) == 0);
  CHECK(value == 1u + (t->first == 0) - (t->other == 0));
  if (value < 2) CHECK(mp_shm_semaphore_release(it, 2 - value, &now) == 0);
  let_go();
}

/* --- Event --- */

static void an_event(void) { made(mp_shm_event_new(&t_soon, &h), MP_TYPE_EVENT); }
static void a_set_event(void) { an_event(), mp_shm_event_set(it); }
static void first_sets(void *arg) { (void)arg, mp_shm_event_set(it); }
static void first_clears(void *arg) { (void)arg, mp_shm_event_clear(it); }
static void first_waits_for_it(void *arg) { (void)arg, t->first = mp_shm_event_wait(it, &now); }
static void other_sets(void) { mp_shm_event_set(it); }
static void other_clears(void) { mp_shm_event_clear(it); }
static void event_works(void) {
  CHECK(mp_shm_event_wait(it, &now) == (mp_shm_event_is_set(it) ? 0 : -ETIMEDOUT));
  mp_shm_event_set(it);
  CHECK(mp_shm_event_wait(it, &now) == 0);
  mp_shm_event_clear(it);
  CHECK(mp_shm_event_wait(it, &now) == -ETIMEDOUT);
  let_go();
}
static void it_is_set(void) {
  CHECK(mp_shm_event_is_set(it));
  event_works();
}

/* --- Barrier of two --- */

static void a_barrier(void) { made(mp_shm_barrier_new(2, &t_soon, &h), MP_TYPE_BARRIER); }
static void a_broken_one(void) { a_barrier(), mp_shm_barrier_abort(it); }

static int come(_Atomic uint64_t *index) {
  uint64_t i = 0;
  int r = mp_shm_barrier_wait(it, false, &now, &i);
  *index = i;
  return r;
}

static void first_comes(void *arg) { (void)arg, t->first = come(&t->first_index); }
static void first_aborts(void *arg) { (void)arg, mp_shm_barrier_abort(it); }
static void first_resets(void *arg) { (void)arg, mp_shm_barrier_reset(it); }
static void other_comes(void) { t->other = come(&t->other_index); }
static void other_aborts(void) { mp_shm_barrier_abort(it); }
static void other_resets(void) { mp_shm_barrier_reset(it); }
static void barrier_works(void) {
  uint64_t index;
  mp_shm_barrier_reset(it);
  CHECK(!mp_shm_barrier_broken(it) && mp_shm_barrier_waiting(it) == 0);
  CHECK(mp_shm_barrier_wait(it, false, &now, &index) == -ETIMEDOUT && mp_shm_barrier_broken(it));
  let_go();
}
static void both_or_none(void) {
  CHECK((t->first == 0) == (t->other == 0));
  if (t->first == 0) CHECK(t->first_index + t->other_index == 1);
  barrier_works();
}
static void nobody_passed(void) {
  CHECK(t->first != 0);
  barrier_works();
}

/* --- Condition --- */

static void a_condition(void) {
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &lock_h) == 0);
  lock = mp_shm_object_block(lock_h, MP_TYPE_MUTEX);
  made(mp_shm_condition_new(&t_soon, &h), MP_TYPE_CONDITION);
}
static void wait_for_notice(void) {
  bool abandoned = false;
  if (mp_shm_mutex_acquire(lock, lock_h, &t_soon) != MP_LOCKED) return;
  t->first = mp_shm_condition_wait(it, h, lock, lock_h, &now, &abandoned);
  CHECK(!abandoned && mp_shm_mutex_mine(lock));
  mp_shm_mutex_release(lock, lock_h);
}
static void first_waits(void *arg) { (void)arg, wait_for_notice(); }
static void other_notifies(void) {
  t->other = mp_shm_mutex_acquire(lock, lock_h, &now);
  if (t->other) return;
  t->other_index = mp_shm_condition_waiting(it);
  CHECK(mp_shm_condition_notify(it, h, lock_h, 1, &now) == 0);
  mp_shm_mutex_release(lock, lock_h);
}
static void who_was_notified_knows(void) {
  if (t->other == 0 && t->other_index == 1) CHECK(t->first == 0);
  CHECK(mp_shm_condition_waiting(it) == 0);
  wait_for_notice();
  CHECK(t->first == -ETIMEDOUT);
  mp_shm_object_unuse(lock_h);
  let_go();
}

/* --- numbers --- */

static void a_number(void) { made(mp_shm_array_new(MP_INT64, MP_ARRAY_VALUE, 1, &t_soon, &h), MP_TYPE_ARRAY); }
static mp_shm_elements *number(void) { return &((mp_shm_array *)it)->elements; }
static void add_one(void) { mp_shm_elements_add64(number(), 0, 1); }
static void first_adds(void *arg) { (void)arg, add_one(); }
static void other_adds(void) { add_one(), add_one(); }
static void first_replaces(void *arg) {
  uint64_t old = 0;
  (void)arg, t->first = mp_shm_elements_compare_exchange(number(), 0, &old, 100);
}
static void three_were_added(void) {
  CHECK(mp_shm_elements_get(number(), 0) == 3);
  let_go();
}
static void replaced_before_or_not(void) {
  CHECK(mp_shm_elements_get(number(), 0) == (t->first ? 102 : 2));
  let_go();
}

static const t_interleaving scenarios[] = {
    {"Lock: acquire and release, while another does", a_lock, first_locks, other_locks, lock_works},
    {"RWLock: read, while another reads", a_rwlock, first_reads, other_reads, both_read},
    {"RWLock: read, while another writes", a_rwlock, first_reads, other_writes, rwlock_works},
    {"RWLock: write, while another reads", a_rwlock, first_writes, other_reads, rwlock_works},
    {"RWLock: write, while another writes", a_rwlock, first_writes, other_writes, rwlock_works},
    {"Semaphore: pass, while another does", a_plain_one, first_passes, other_passes, semaphore_works},
    {"BoundedSemaphore: pass, while another does", a_bounded_one, first_passes, other_passes, semaphore_works},
    {"BoundedSemaphore: give back what others took, twice", bounded_and_out, first_gives, other_gives, one_gave},
    {"BoundedSemaphore: give back, while another takes", bounded_and_out, first_gives, other_takes, gave_and_took},
    {"Event: set, while another does", an_event, first_sets, other_sets, it_is_set},
    {"Event: set, while another clears", an_event, first_sets, other_clears, event_works},
    {"Event: clear, while another sets", a_set_event, first_clears, other_sets, event_works},
    {"Event: wait, while another sets", an_event, first_waits_for_it, other_sets, it_is_set},
    {"Event: wait, while another clears", a_set_event, first_waits_for_it, other_clears, event_works},
    {"Barrier: come, while the other comes", a_barrier, first_comes, other_comes, both_or_none},
    {"Barrier: come, while another aborts", a_barrier, first_comes, other_aborts, nobody_passed},
    {"Barrier: come, while another resets", a_barrier, first_comes, other_resets, nobody_passed},
    {"Barrier: abort, while another comes", a_barrier, first_aborts, other_comes, barrier_works},
    {"Barrier: reset, while another comes", a_broken_one, first_resets, other_comes, barrier_works},
    {"Barrier: reset, while another does", a_broken_one, first_resets, other_resets, barrier_works},
    {"Condition: wait, while another notifies", a_condition, first_waits, other_notifies, who_was_notified_knows},
    {"Value: add, while another adds", a_number, first_adds, other_adds, three_were_added},
    {"Value: compare_exchange, while another adds", a_number, first_replaces, other_adds, replaced_before_or_not},
};

int main(void) {
  t_start();
  t = t_shared(sizeof *t);
  t_run_interleavings(scenarios, sizeof scenarios / sizeof *scenarios);
  return 0;
}
