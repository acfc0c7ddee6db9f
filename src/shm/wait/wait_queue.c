/* SPDX-License-Identifier: MIT */
/* Spin shortly, then sleep in slices with the sleeper lock held. The protocol stands in wait_queue.h. */
#include "shm/wait/wait_queue.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "shm/arena/monitor.h"
#include "shm/arena/object.h"

#define SPIN_MOST 4096u
#define SPIN_LEAST 64u
#define SPIN_GAP 4u /* pauses between looks, grown to from 1: a closer look would slow the one we wait for */

int mp_shm_wait_queue_init(mp_shm_wait_queue *b) {
  atomic_store(&b->word, MP_WORD_IDLE);
  atomic_store(&b->observed, 0);
  return mp_shm_robust_init(&b->sleeper_lock);
}

void mp_shm_word_wake(_Atomic uint32_t *word) {
  uint32_t armed = MP_WORD_ARMED;
  if (MP_MUTANT(WAKE)) return;
  if (atomic_compare_exchange_strong(word, &armed, MP_WORD_IDLE)) mp_os_futex_wake(word, 1);
}

void mp_shm_wait_queue_wake_again(mp_shm_wait_queue *b) {
  mp_shm_pending(&b->word);
  mp_shm_wait_queue_wake(b);
  mp_shm_pending(NULL);
}

uint32_t mp_shm_wait_queue_arm(mp_shm_wait_queue *b) {
  uint32_t armed = atomic_fetch_and(&b->word, ~MP_WORD_IDLE) & ~MP_WORD_IDLE;
  atomic_thread_fence(memory_order_seq_cst);
  return armed;
}

bool mp_shm_wait_queue_wake_all(mp_shm_wait_queue *b) {
  atomic_thread_fence(memory_order_seq_cst);
  uint32_t armed = atomic_load_explicit(&b->word, memory_order_relaxed);
  if (armed & MP_WORD_IDLE || MP_MUTANT(WAKE)) return false;
  if (!atomic_compare_exchange_strong(&b->word, &armed, (armed ^ MP_WAIT_QUEUE_PHASE) | MP_WORD_IDLE)) return false;
  mp_os_futex_wake(&b->word, INT_MAX);
  return true;
}

static void set_asleep(bool asleep) {
  atomic_store_explicit(&mp_shm_proc_at(mp_shm_my_slot)->asleep, asleep, memory_order_relaxed);
  atomic_fetch_add_explicit(&mp_shm_header->awake, asleep ? -1 : 1, memory_order_relaxed);
}

void mp_shm_wait_queue_asleep(uint64_t waits) {
  mp_shm_monitor *m = mp_shm_monitor_at(mp_shm_my_slot);
  bool told = mp_shm_hook.waited != NULL;
  if (told) mp_shm_hook.waited(0, 0);
  atomic_store_explicit(&m->since, told ? mp_os_now() : mp_os_coarse_now(), memory_order_relaxed);
  atomic_store_explicit(&m->waits, waits, memory_order_relaxed);
  set_asleep(true);
}

void mp_shm_wait_queue_awake(void) {
  mp_shm_monitor *m = mp_shm_monitor_at(mp_shm_my_slot);
  if (mp_shm_hook.waited) mp_shm_hook.waited(m->waits, m->since);
  atomic_store_explicit(&m->waits, 0, memory_order_relaxed);
  set_asleep(false);
}

const char *mp_shm_wait_queue_setting(bool *valid) {
  const char *s = getenv("MPROC_SPIN");
  *valid = !s || !*s || strcmp(s, "0") == 0 || strcmp(s, "1") == 0;
  return s;
}

bool mp_shm_wait_queue_may_spin(void) {
  static MP_PROCESS_LOCAL int cpus = -1;
  if (cpus < 0) {
    bool valid;
    const char *s = mp_shm_wait_queue_setting(&valid);
    cpus = s && *s == '0' ? 0 : mp_os_cpu_usable();
  }
  return cpus > 1 && atomic_load_explicit(&mp_shm_header->awake, memory_order_relaxed) <= cpus;
}

/* The budget doubles when spinning paid and halves when it did not. */
bool mp_shm_wait_queue_spin(bool (*ready)(void *), void *arg) {
  static MP_PROCESS_LOCAL unsigned budget = SPIN_MOST;
  if (!mp_shm_wait_queue_may_spin()) return false;
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

/* 0: the sleeper lock is ours; 1: ready without it; or an error. */
static int take_sleeper_lock(mp_shm_wait_queue *b, bool (*ready)(void *), void *arg, const mp_shm_wait *w) {
  uint64_t slice = MP_SLICE; /* who has the sleeper lock looks each of his own */
  int r = mp_os_mutex_try(&b->sleeper_lock);
  while (r == -EBUSY || r == -ETIMEDOUT) {
    r = mp_os_mutex_until(&b->sleeper_lock, mp_shm_wait_longer(w, &slice, MP_SLICE_IDLE));
    if (r != -ETIMEDOUT) break;
    if (ready(arg)) return 1;
    int err = mp_shm_wait_check(w);
    if (err) return err;
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&b->sleeper_lock);
  return r < 0 ? r : 0;
}

/* One sleep, until then at most, by the word's one sleeper: 0 when ready, else why it woke. */
static int sleep_once(_Atomic uint32_t *word, bool (*ready)(void *), void *arg, uint64_t until) {
  int r = 0;
  mp_shm_pending(word);
  atomic_store_explicit(word, MP_WORD_ARMED, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst); /* against the waker's: its store, then its look */
  bool now = ready(arg);
  if (!now) r = mp_os_futex_wait(word, MP_WORD_ARMED, until);
  atomic_store_explicit(word, MP_WORD_IDLE, memory_order_relaxed);
  mp_shm_pending(NULL);
  return now || ready(arg) ? 0 : r ? r : -EAGAIN;
}

void mp_shm_wait_queue_woke(int why) {
  if (why == -ETIMEDOUT)
    mp_shm_sweep();
  else if (!MP_MUTANT(OFTEN))
    mp_shm_sweep_now_and_then();
}

static int sleep_until(_Atomic uint32_t *word, bool (*ready)(void *), void *arg, const mp_shm_wait *w) {
  for (uint64_t slice = MP_SLICE;;) {
    int r = sleep_once(word, ready, arg, mp_shm_wait_longer(w, &slice, MP_SLICE_LOOKING));
    if (r == 0) return 0;
    mp_shm_wait_queue_woke(r);
    if (ready(arg)) return 0;
    r = mp_shm_wait_check(w);
    if (r) return r;
  }
}

int mp_shm_wait_queue_wait(mp_shm_wait_queue *b, bool (*ready)(void *), void *arg, const mp_shm_wait *w) {
  if (ready(arg)) return 0;
  if (w->deadline == 0) return -ETIMEDOUT;
  if (mp_shm_wait_queue_spin(ready, arg)) return 0;
  mp_shm_wait_queue_asleep(mp_shm_waits_on(b));
  int r = take_sleeper_lock(b, ready, arg, w);
  if (r == 0) {
    r = sleep_until(&b->word, ready, arg, w);
    mp_os_mutex_unlock(&b->sleeper_lock);
  }
  mp_shm_wait_queue_awake();
  return r > 0 ? 0 : r;
}

_Atomic uint32_t *mp_shm_private_wait_word(uint32_t proc) { return &mp_shm_proc_at(proc)->private_wait; }

int mp_shm_private_wait(bool (*ready)(void *), void *arg, const void *on, const mp_shm_wait *w) {
  if (ready(arg)) return 0;
  if (w->deadline == 0) return -ETIMEDOUT;
  if (mp_shm_wait_queue_spin(ready, arg)) return 0;
  mp_shm_wait_queue_asleep(mp_shm_waits_on(on));
  int r = sleep_until(mp_shm_private_wait_word(mp_shm_my_slot), ready, arg, w);
  mp_shm_wait_queue_awake();
  return r;
}
