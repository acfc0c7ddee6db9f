/* SPDX-License-Identifier: MIT */
/* Spin shortly, then sleep in slices with the turn held. The protocol stands in bell.h. */
#include "shm/bell.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "shm/proc.h"

#define SPIN_MOST 4096u
#define SPIN_LEAST 64u
#define SPIN_GAP 4u /* pauses between looks, grown to from 1: a closer look would slow the one we wait for */

int mp_bell_init(mp_bell *b) {
  atomic_store(&b->word, MP_BELL_IDLE);
  atomic_store(&b->watched, 0);
  return mp_os_mutex_init(&b->turn);
}

void mp_word_wake(_Atomic uint32_t *word) {
  uint32_t armed = MP_BELL_ARMED;
  if (MP_BROKEN(WAKE)) return;
  if (atomic_compare_exchange_strong(word, &armed, MP_BELL_IDLE)) mp_os_futex_wake(word, 1);
}

void mp_bell_ring_again(mp_bell *b) {
  mp_os_pending(&b->word);
  mp_bell_ring(b);
  mp_os_pending(NULL);
}

uint32_t mp_bell_arm(mp_bell *b) {
  uint32_t armed = atomic_fetch_and(&b->word, ~MP_BELL_IDLE) & ~MP_BELL_IDLE;
  atomic_thread_fence(memory_order_seq_cst);
  return armed;
}

bool mp_bell_ring_all(mp_bell *b) {
  atomic_thread_fence(memory_order_seq_cst);
  uint32_t armed = atomic_load_explicit(&b->word, memory_order_relaxed);
  if (armed & MP_BELL_IDLE || MP_BROKEN(WAKE)) return false;
  if (!atomic_compare_exchange_strong(&b->word, &armed, (armed ^ MP_BELL_PHASE) | MP_BELL_IDLE)) return false;
  mp_os_futex_wake(&b->word, INT_MAX);
  return true;
}

void mp_bell_asleep(bool asleep) {
  atomic_store_explicit(&mp_proc_at(mp_me)->asleep, asleep, memory_order_relaxed);
  atomic_fetch_add_explicit(&mp_a->awake, asleep ? -1 : 1, memory_order_relaxed);
}

bool mp_bell_may_spin(void) {
  static MP_OWN int cpus = -1;
  if (cpus < 0) {
    const char *s = getenv("MPROC_SPIN");
    cpus = s && *s == '0' ? 0 : mp_os_cpu_usable();
  }
  return cpus > 1 && atomic_load_explicit(&mp_a->awake, memory_order_relaxed) <= cpus;
}

/* The budget doubles when spinning paid and halves when it did not. */
bool mp_bell_spin(bool (*ready)(void *), void *arg) {
  static MP_OWN unsigned budget = SPIN_MOST;
  if (!mp_bell_may_spin()) return false;
  for (unsigned i = 0, gap = 1; i < budget; i += gap, gap = gap < SPIN_GAP ? gap * 2 : SPIN_GAP) {
    for (unsigned k = 0; k < gap; k++) mp_os_pause();
    if (ready(arg)) {
      budget = budget < SPIN_MOST / 2 ? budget * 2 : SPIN_MOST;
      return true;
    }
  }
  budget = budget > 2 * SPIN_LEAST ? budget / 2 : SPIN_LEAST;
  return false;
}

/* 0: the turn is ours; 1: ready without it; or an error. */
static int take_turn(mp_bell *b, bool (*ready)(void *), void *arg, const mp_wait *w) {
  uint64_t slice = MP_SLICE; /* whose turn it is looks each of his own */
  int r = mp_os_mutex_try(&b->turn);
  while (r == -EBUSY || r == -ETIMEDOUT) {
    r = mp_os_mutex_until(&b->turn, mp_wait_longer(w, &slice, MP_SLICE_IDLE));
    if (r != -ETIMEDOUT) break;
    if (ready(arg)) return 1;
    int err = mp_wait_check(w);
    if (err) return err;
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&b->turn);
  return r < 0 ? r : 0;
}

/* One sleep, until then at most, by the word's one sleeper: 0 when ready, else why it woke. */
static int sleep_once(_Atomic uint32_t *word, bool (*ready)(void *), void *arg, uint64_t until) {
  int r = 0;
  mp_os_pending(word);
  atomic_store_explicit(word, MP_BELL_ARMED, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst); /* against the ringer's: its store, then its look */
  bool now = ready(arg);
  if (!now) r = mp_os_futex_wait(word, MP_BELL_ARMED, until);
  atomic_store_explicit(word, MP_BELL_IDLE, memory_order_relaxed);
  mp_os_pending(NULL);
  return now || ready(arg) ? 0 : r ? r : -EAGAIN;
}

void mp_bell_woke(int why) {
  if (why == -ETIMEDOUT)
    mp_shm_sweep();
  else if (!MP_BROKEN(OFTEN))
    mp_shm_sweep_now_and_then();
}

static int sleep_until(_Atomic uint32_t *word, bool (*ready)(void *), void *arg, const mp_wait *w) {
  for (uint64_t slice = MP_SLICE;;) {
    int r = sleep_once(word, ready, arg, mp_wait_longer(w, &slice, MP_SLICE_LOOKING));
    if (r == 0) return 0;
    mp_bell_woke(r);
    if (ready(arg)) return 0;
    r = mp_wait_check(w);
    if (r) return r;
  }
}

int mp_bell_wait(mp_bell *b, bool (*ready)(void *), void *arg, const mp_wait *w) {
  if (ready(arg)) return 0;
  if (w->deadline == 0) return -ETIMEDOUT;
  if (mp_bell_spin(ready, arg)) return 0;
  mp_bell_asleep(true);
  int r = take_turn(b, ready, arg, w);
  if (r == 0) {
    r = sleep_until(&b->word, ready, arg, w);
    mp_os_mutex_unlock(&b->turn);
  }
  mp_bell_asleep(false);
  return r > 0 ? 0 : r;
}

_Atomic uint32_t *mp_nap_word(uint32_t proc) { return &mp_proc_at(proc)->nap; }

int mp_nap(bool (*ready)(void *), void *arg, const mp_wait *w) {
  if (ready(arg)) return 0;
  if (w->deadline == 0) return -ETIMEDOUT;
  if (mp_bell_spin(ready, arg)) return 0;
  mp_bell_asleep(true);
  int r = sleep_until(mp_nap_word(mp_me), ready, arg, w);
  mp_bell_asleep(false);
  return r;
}
