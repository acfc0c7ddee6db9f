/* SPDX-License-Identifier: MIT */
/* The lock that Lua code holds. The words and their survivors' view stand in mutex.h. */
#include "shm/sync/mutex.h"

#include <errno.h>
#include <string.h>

#include "shm/arena/monitor.h"
#include "shm/wait/wait_queue.h"

#define STARVING_AFTER MP_MS
#define PASS_AFTER (4 * MP_MS)
#define STEP_BACK (50 * MP_MS / 1000) /* some task switches */
#define SPINS 100u

/* What this process holds; of another process, after a fork, until `holder` says otherwise. */
typedef struct mp_shm_mutex_held_list {
  mp_shm_handle lock;
  mp_shm_handle before, after; /* objects in use for what comes before and after the release; 0: none */
  _Atomic uint64_t *slot;
  void (*wake)(void *block);
  void *block;
  _Atomic uint32_t *first;
} mp_shm_mutex_held_list;
MP_PROCESS_LOCAL_LARGE mp_shm_mutex_held_list mp_shm_mutex_held[MP_MUTEX_MOST];
static MP_PROCESS_LOCAL unsigned nheld, nasked; /* nasked: what is to be done at releases */
static MP_PROCESS_LOCAL mp_shm_proc_ref holder;

/* A fork holds none of its parent's locks, only their objects. */
static void own_list(void) {
  if (!mp_shm_inherited(holder)) return;
  holder = mp_shm_proc_self();
  nasked = 0;
  while (nheld > 0) {
    const mp_shm_mutex_held_list *e = &mp_shm_mutex_held[--nheld];
    mp_shm_object_unuse(e->lock);
    if (e->before) mp_shm_object_unuse(e->before);
    if (e->after) mp_shm_object_unuse(e->after);
  }
}

unsigned mp_shm_mutex_count(void) { return mp_shm_inherited(holder) ? 0 : nheld; }

MP_HOT_AFTER_FORK bool mp_shm_mutex_any(void) { return mp_shm_mutex_count() != 0; }

static void note(mp_shm_mutex *x, mp_shm_handle h) {
  mp_shm_mutex_held_list *e = &mp_shm_mutex_held[nheld++];
  e->lock = h;
  e->before = e->after = 0;
  mp_shm_object_use_held(h);
  x->depth = 1;
  atomic_store_explicit(&x->owner, mp_shm_proc_self(), memory_order_relaxed);
}

static mp_shm_mutex_held_list *find(mp_shm_handle h) {
  unsigned i = nheld - 1;
  while (i > 0 && mp_shm_mutex_held[i].lock != h) i--;
  return &mp_shm_mutex_held[i];
}

static void forget(mp_shm_handle h) {
  mp_shm_mutex_held_list *e = find(h);
  if (e != &mp_shm_mutex_held[--nheld]) *e = mp_shm_mutex_held[nheld];
  mp_shm_object_unuse(h);
}

static void let_go(mp_shm_handle *object) {
  mp_shm_handle h = *object;
  *object = 0;
  nasked--;
  mp_shm_object_unuse(h);
}

static void do_before(mp_shm_mutex_held_list *e) {
  if (!e->before) return;
  atomic_store_explicit(e->slot, 0, memory_order_release);
  let_go(&e->before);
}

static void do_after(mp_shm_mutex_held_list *e) {
  if (!e->after) return;
  e->wake(e->block);
  let_go(&e->after);
}

void mp_shm_mutex_before_release(mp_shm_handle h, mp_shm_handle object, _Atomic uint64_t *slot) {
  mp_shm_mutex_held_list *e = find(h);
  do_before(e);
  if (!slot) return;
  mp_shm_object_use_held(object);
  nasked++;
  e->before = object;
  e->slot = slot;
}

void mp_shm_mutex_after_release(mp_shm_handle h, mp_shm_handle object, void (*wake)(void *), void *block,
                                _Atomic uint32_t *first) {
  mp_shm_mutex_held_list *e = find(h);
  if (e->after == object && e->first) return;
  do_after(e);
  mp_shm_object_use_held(object);
  nasked++;
  e->after = object;
  e->wake = wake;
  e->block = block;
  e->first = first;
}

void mp_shm_mutex_init(mp_shm_mutex *x, uint32_t kind) {
  memset(x, 0, sizeof *x);
  x->kind = kind;
  mp_shm_robust_init(&x->m);
  mp_shm_robust_init(&x->line);
}

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  mp_shm_mutex_init(block, *(const uint32_t *)arg);
}

int mp_shm_mutex_new(uint32_t kind, const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_MUTEX, sizeof(mp_shm_mutex), init, &kind, w, out);
}

static bool spin(mp_shm_mutex *x, int *r) {
  if (!mp_shm_wait_queue_may_spin()) return false;
  for (unsigned i = 0; i < SPINS; i++) {
    mp_os_pause();
    if (x->starving) return false;
    if (mp_os_mutex_held(&x->m)) continue;
    *r = mp_os_mutex_try(&x->m);
    if (*r != -EBUSY) return true;
  }
  return false;
}

static void sleep_shortly(const mp_shm_wait *w) {
  uint64_t until = mp_os_now() + STEP_BACK;
  uint64_t deadline = mp_shm_wait_deadline(w);
  mp_os_sleep(deadline < until ? deadline : until);
}

/* Waits for `it`, longer each time: a lock that is much in demand is looked at often, one that is held for long seldom. */
static int try_for(mp_os_mutex *object, uint64_t *patience, const mp_shm_wait *w) {
  uint64_t deadline = mp_shm_wait_deadline(w), until = mp_os_now() + *patience;
  *patience = 2 * *patience < MP_SLICE ? 2 * *patience : MP_SLICE;
  return mp_os_mutex_until(object, deadline < until ? deadline : until);
}

/* The next one's place, and -EBUSY in *m; or m, or why not, in *m. */
static bool take_place(mp_shm_mutex *x, const mp_shm_wait *w, int *m) {
  uint64_t patience = PASS_AFTER;
  *m = -EBUSY;
  if (x->contended) sleep_shortly(w);
  int r = mp_os_mutex_try(&x->line);
  x->contended = r == -EBUSY;
  while (r == -EBUSY || r == -ETIMEDOUT) {
    r = try_for(&x->line, &patience, w);
    if (r != -ETIMEDOUT) break;
    *m = mp_os_mutex_try(&x->m);
    int over = *m == -EBUSY ? mp_shm_wait_check(w) : 0;
    if (over) *m = over;
    if (*m != -EBUSY) return false;
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->line);
  return true;
}

/* By the next one. */
static int wait_for(mp_shm_mutex *x, const mp_shm_wait *w) {
  uint64_t patience = STARVING_AFTER;
  for (;;) {
    int r = try_for(&x->m, &patience, w);
    if (r != -ETIMEDOUT) return r;
    r = mp_shm_wait_check(w);
    if (r) return r;
    x->starving = 1;
  }
}

static int stand_in_line(mp_shm_mutex *x, const mp_shm_wait *w) {
  int r;
  mp_shm_wait_queue_asleep(mp_shm_waits_on(x));
  bool next = take_place(x, w, &r);
  if (next) r = wait_for(x, w);
  if (next || r >= 0) x->starving = 0;
  if (next) mp_os_mutex_unlock(&x->line);
  mp_shm_wait_queue_awake();
  return r;
}

int mp_shm_mutex_acquire(mp_shm_mutex *x, mp_shm_handle h, const mp_shm_wait *w) {
  own_list();
  if (nheld == MP_MUTEX_MOST) return -ENOLCK;
  int r = x->starving && w->deadline ? -EBUSY : mp_os_mutex_try(&x->m);
  if (r == -EBUSY && !w->deadline) return -ETIMEDOUT;
  if (r == -EBUSY && !spin(x, &r)) r = stand_in_line(x, w);
  if (r < 0) return r;
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->m);
  note(x, h);
  return MP_MUTANT(TOLD) ? MP_LOCKED : r;
}

void mp_shm_mutex_release(mp_shm_mutex *x, mp_shm_handle h) {
  mp_shm_mutex_held_list *e = nasked ? find(h) : NULL;
  if (e) do_before(e);
  atomic_store_explicit(&x->owner, 0, memory_order_relaxed);
  mp_os_mutex_unlock(&x->m);
  if (e && e->after) mp_shm_pending(e->first);
  if (e) do_after(e);
  forget(h);
}

mp_shm_proc_ref mp_shm_mutex_owner(const mp_shm_mutex *x) {
  mp_shm_proc_ref owner = atomic_load_explicit(&x->owner, memory_order_relaxed);
  return mp_shm_mutex_locked(x) ? owner : 0;
}
