/* SPDX-License-Identifier: MIT */
/* The condition. The states of its words stand in condition.h. */
#include "shm/sync/condition.h"

#include <errno.h>

#include "shm/wait/wait_queue.h"

enum { WAITING = 1, GIVEN, TAKEN, STATE = 3, LEFT = 4, TICKET_SHIFT = 3 };

static const mp_shm_wait brief = {0, NULL, NULL}; /* MP_GRACE */

static uint64_t cell_word(uint64_t ticket, unsigned state) { return ticket << TICKET_SHIFT | state; }
static uint64_t ticket_of(uint64_t v) { return v >> TICKET_SHIFT; }
static unsigned state_of(uint64_t v) { return v & STATE; }

static uint64_t upto(mp_shm_condition *c) { return atomic_load_explicit(&c->upto, memory_order_acquire); }
static bool waits(mp_shm_condition *c, uint64_t v) { return state_of(v) == WAITING && ticket_of(v) > upto(c); }
static bool notified(mp_shm_condition *c, uint64_t v) {
  return state_of(v) == GIVEN || (state_of(v) == WAITING && ticket_of(v) <= upto(c));
}

static int lock(mp_shm_condition *c, const mp_shm_wait *w) {
  int r = mp_shm_lock_word(&c->m, w);
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&c->m);
  return r < 0 ? r : 0;
}

/* --- who is woken; under m --- */

static bool put_cell(mp_shm_condition *c, uint32_t p, uint64_t from, uint64_t to) {
  return atomic_compare_exchange_strong(&c->slots.slot[p], &from, to);
}

/* The living one that has waited longest, or -1. */
static int64_t oldest(mp_shm_condition *c) {
  int64_t found = -1;
  uint64_t least = UINT64_MAX;
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++) {
    uint64_t v = mp_shm_per_process_load(&c->slots, p);
    if (!waits(c, v) || v & LEFT || ticket_of(v) >= least || mp_shm_proc_slot_dead(p)) continue;
    found = p;
    least = ticket_of(v);
  }
  return found;
}

static bool give(mp_shm_condition *c, uint32_t p) {
  uint64_t v = mp_shm_per_process_load(&c->slots, p);
  if (!waits(c, v) || v & LEFT) return false;
  mp_shm_pending(mp_shm_private_wait_word(p));
  return put_cell(c, p, v, cell_word(ticket_of(v), GIVEN));
}

/* Who has been given what somebody owes, or -1. A waiter whose time is over leaves without m: then the next one. Whose word
 * is pending has still to be woken for. */
static int64_t pass_on(mp_shm_condition *c) {
  int64_t p = oldest(c);
  while (p >= 0 && !give(c, (uint32_t)p)) p = oldest(c);
  return p;
}

static bool owes(mp_shm_condition *c, uint64_t v, uint32_t p) {
  return notified(c, v) || (state_of(v) == TAKEN && mp_shm_proc_at(p)->exit == MP_EXIT_NONE);
}

static void resolve_cell(mp_shm_condition *c, uint32_t p) {
  int64_t heir = owes(c, mp_shm_per_process_load(&c->slots, p), p) ? pass_on(c) : -1;
  atomic_store_explicit(&c->slots.slot[p], 0, memory_order_release);
  if (heir >= 0) mp_shm_word_notify(mp_shm_private_wait_word((uint32_t)heir));
  mp_shm_pending(NULL);
}

static int reap(void *block, uint32_t p) {
  mp_shm_condition *c = block;
  if (mp_shm_per_process_load(&c->slots, p) == 0) return 0;
  int err = lock(c, &brief);
  if (err) return err;
  resolve_cell(c, p);
  mp_os_mutex_unlock(&c->m);
  return 0;
}

/* --- notify --- */

static void resolve_left(mp_shm_condition *c) {
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++)
    if (mp_shm_per_process_load(&c->slots, p) & LEFT) resolve_cell(c, p);
}

/* How many wait with a ticket up to t. */
static uint64_t count(mp_shm_condition *c, uint64_t t) {
  uint64_t n = 0;
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++) {
    uint64_t v = mp_shm_per_process_load(&c->slots, p);
    n += waits(c, v) && ticket_of(v) <= t;
  }
  return n;
}

/* The dead who were not notified must not pass for notified ones once upto has gone by. */
static void forget_dead(mp_shm_condition *c) {
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++) {
    uint64_t v = mp_shm_per_process_load(&c->slots, p);
    if (waits(c, v) && mp_shm_proc_slot_dead(p)) put_cell(c, p, v, 0);
  }
}

/* The ticket of the nth oldest, or the last one given when no more than n wait. */
static uint64_t nth(mp_shm_condition *c, uint64_t n) {
  uint64_t low = upto(c), high = c->ticket;
  if (count(c, high) <= n) return high;
  while (high - low > 1) { /* count(low) < n <= count(high) */
    uint64_t middle = low + (high - low) / 2;
    if (count(c, middle) < n)
      low = middle;
    else
      high = middle;
  }
  return high;
}

/* The word of the first who is notified and may still sleep, or NULL. */
static _Atomic uint32_t *first_notified(mp_shm_condition *c) {
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++)
    if (notified(c, mp_shm_per_process_load(&c->slots, p))) return mp_shm_private_wait_word(p);
  return NULL;
}

/* Wakes for all who are notified and may still sleep. Without m: a wake too many costs a look. */
static void wake_notified(void *block) {
  mp_shm_condition *c = block;
  for (uint32_t p = 0, all = mp_shm_per_process_count(&c->slots); p < all; p++) {
    if (!notified(c, mp_shm_per_process_load(&c->slots, p))) continue;
    mp_shm_pending(mp_shm_private_wait_word(p));
    mp_shm_word_notify(mp_shm_private_wait_word(p));
  }
  mp_shm_pending(NULL);
}

int mp_shm_condition_notify(mp_shm_condition *c, mp_shm_handle h, mp_shm_handle lock_handle, uint64_t n,
                            const mp_shm_wait *w) {
  if (n == 0 || upto(c) == c->ticket) return 0;
  int err = lock(c, w);
  if (err) return err;
  resolve_left(c);
  forget_dead(c);
  atomic_store_explicit(&c->upto, nth(c, n), memory_order_seq_cst);
  resolve_left(c);
  mp_os_mutex_unlock(&c->m);
  mp_shm_mutex_after_release(lock_handle, h, wake_notified, c, first_notified(c));
  return 0;
}

unsigned mp_shm_condition_waiting(mp_shm_condition *c) { return (unsigned)count(c, UINT64_MAX); }

/* --- wait --- */

typedef struct waiting { /* this process's wait */
  mp_shm_condition *c;
  _Atomic uint64_t *slot;
  uint64_t ticket;
} waiting;

static bool is_notified(void *arg) {
  const waiting *s = arg;
  return notified(s->c, atomic_load_explicit(s->slot, memory_order_acquire));
}

/* With the lock. What an earlier wait has left in the slot is used up, or resolved. */
static int enter(waiting *s, mp_shm_condition *c, mp_shm_handle lock_handle, const mp_shm_wait *w) {
  *s = (waiting){c, mp_shm_per_process_ensure_slot(&c->slots), c->ticket + 1};
  mp_shm_mutex_before_release(lock_handle, 0, NULL);
  if (*s->slot & LEFT) {
    int err = lock(c, w);
    if (err) return err;
    resolve_cell(c, mp_shm_my_slot);
    mp_os_mutex_unlock(&c->m);
  }
  atomic_store_explicit(&c->ticket, s->ticket, memory_order_relaxed);
  atomic_store_explicit(s->slot, cell_word(s->ticket, WAITING), memory_order_release);
  return 0;
}

/* For as long as it takes, but for Ctrl-C. */
static int take_back(mp_shm_mutex *x, mp_shm_handle lock_handle, const mp_shm_wait *w) {
  const mp_shm_wait patient = {MP_FOREVER, w->interrupted, w->arg};
  int r = mp_shm_mutex_acquire(x, lock_handle, &patient);
  if (r != -EINTR) return r;
  const mp_shm_wait last = {mp_os_now() + MP_SLICE, NULL, NULL};
  return mp_shm_mutex_acquire(x, lock_handle, &last);
}

/* With the lock again: true when notified. Only a reaper may be at the slot. */
static bool take(const waiting *s) {
  if (upto(s->c) < s->ticket && put_cell(s->c, mp_shm_my_slot, cell_word(s->ticket, WAITING), 0)) return false;
  atomic_store_explicit(s->slot, cell_word(s->ticket, TAKEN), memory_order_release);
  return true;
}

static int leave_without_lock(const waiting *s) {
  if (reap(s->c, mp_shm_my_slot) != 0) atomic_fetch_or(s->slot, LEFT);
  return -EINTR;
}

int mp_shm_condition_wait(mp_shm_condition *c, mp_shm_handle h, mp_shm_mutex *x, mp_shm_handle lock_handle,
                          const mp_shm_wait *w, bool *abandoned) {
  waiting s;
  *abandoned = false;
  int why = enter(&s, c, lock_handle, w);
  if (why) return why;
  uint32_t depth = x->depth;
  mp_shm_mutex_release(x, lock_handle);
  why = mp_shm_private_wait(is_notified, &s, c, w);
  if (why == 0) wake_notified(c);
  int r = take_back(x, lock_handle, w);
  if (r < 0) return leave_without_lock(&s);
  x->depth = depth;
  *abandoned = r == MP_ABANDONED;
  if (!take(&s)) return why;
  mp_shm_mutex_before_release(lock_handle, h, s.slot);
  return 0;
}

/* --- birth --- */

static void init(uint32_t slot, void *block, const void *arg) {
  mp_shm_condition *c = block;
  (void)slot, (void)arg;
  mp_shm_robust_init(&c->m);
  atomic_store(&c->ticket, 0);
  atomic_store(&c->upto, 0);
  atomic_store(&c->slots.ready, 0);
}

int mp_shm_condition_new(const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_CONDITION, sizeof(mp_shm_condition) + mp_shm_per_process_bytes(), init, NULL, w,
                           out);
}

const mp_shm_object_type_info mp_shm_condition_type = {.reap = reap};
