/* SPDX-License-Identifier: MIT */
/* The event. The words and their survivors' view stand in event.h. */
#include "shm/sync/event.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shm/arena/monitor.h"

typedef struct waiting {
  mp_shm_event *e;
  uint64_t since; /* the generation it found */
} waiting;

static uint64_t generation(mp_shm_event *e) { return atomic_load(&e->state) >> 1; }

static bool released(void *arg) {
  const waiting *a = arg;
  uint64_t state = atomic_load(&a->e->state);
  return (state & MP_EVENT_SET) || state >> 1 != a->since;
}

static void init(uint32_t slot, void *block, const void *arg) {
  mp_shm_event *e = block;
  (void)slot, (void)arg;
  memset(e, 0, sizeof *e);
  mp_shm_wait_queue_init(&e->wait_queue);
}

int mp_shm_event_new(const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_EVENT, sizeof(mp_shm_event), init, NULL, w, out);
}

/* The generation in which it is set now. */
static uint64_t raise_flag(mp_shm_event *e) {
  uint64_t old = atomic_load_explicit(&e->state, memory_order_relaxed), new;
  do {
    if (old & MP_EVENT_SET) return old >> 1;
    new = ((old >> 1) + 1) << 1 | MP_EVENT_SET;
  } while (!atomic_compare_exchange_weak(&e->state, &old, new));
  return new >> 1;
}

/* It wakes for a flag that is up already, too: who raised it may be stopped before its wake. */
void mp_shm_event_set(mp_shm_event *e) {
  mp_shm_pending(&e->wait_queue.word);
  uint64_t g = raise_flag(e);
  if (mp_shm_wait_queue_wake_all(&e->wait_queue)) atomic_store(&e->broadcast_gen, g);
  mp_shm_pending(NULL);
  mp_shm_wait_queue_wake_observers(&e->wait_queue);
}

void mp_shm_event_clear(mp_shm_event *e) { atomic_fetch_and(&e->state, ~(uint64_t)MP_EVENT_SET); }

static void pass_on(mp_shm_event *e) {
  uint64_t g = generation(e);
  if (atomic_load(&e->broadcast_gen) == g) return;
  if (!mp_shm_wait_queue_wake_all(&e->wait_queue)) mp_os_futex_wake(&e->wait_queue.word, INT_MAX);
  atomic_store(&e->broadcast_gen, g);
}

/* One sleep of a slice at most: 0 when released, else why it woke. */
static int sleep_once(waiting *a, const mp_shm_wait *w) {
  mp_shm_wait_queue *b = &a->e->wait_queue;
  int r = -EAGAIN;
  mp_shm_pending(&b->word);
  uint32_t armed = mp_shm_wait_queue_arm(b);
  if (!released(a)) r = mp_os_futex_wait(&b->word, armed, mp_shm_wait_slice(w));
  if (r == 0 && !MP_MUTANT(TELL)) pass_on(a->e);
  mp_shm_pending(NULL);
  return released(a) ? 0 : r ? r : -EAGAIN;
}

static int sleep_until(waiting *a, const mp_shm_wait *w) {
  for (;;) {
    int r = sleep_once(a, w);
    if (r == 0) return 0;
    mp_shm_wait_queue_woke(r);
    if (released(a)) return 0;
    r = mp_shm_wait_check(w);
    if (r) return r;
  }
}

int mp_shm_event_wait(mp_shm_event *e, const mp_shm_wait *w) {
  waiting a = {e, generation(e)};
  if (released(&a)) return 0;
  if (w->deadline == 0) return -ETIMEDOUT;
  if (mp_shm_wait_queue_spin(released, &a)) return 0;
  mp_shm_wait_queue_asleep(mp_shm_waits_on(e));
  int r = sleep_until(&a, w);
  mp_shm_wait_queue_awake();
  return r;
}
