/* SPDX-License-Identifier: MIT */
/* The lock that Lua code holds. The words and their survivors' view stand in mutex.h. */
#include "shm/mutex.h"

#include <errno.h>
#include <string.h>

#include "shm/bell.h"
#include "shm/proc.h"

#define HUNGRY_AFTER MP_MS
#define NAP (50 * MP_MS / 1000) /* some task switches */
#define SPINS 100u

/* What this process holds; of another process, after a fork, until `holder` says otherwise. */
MP_OS_LARGE mp_handle mp_mutex_held[MP_MUTEX_MOST];
static mp_handle *const held = mp_mutex_held;
static unsigned nheld;
static mp_proc_ref holder;

/* A fork holds none of its parent's locks, only their objects. */
static void own_list(void) {
  if (holder == mp_proc_self()) return;
  holder = mp_proc_self();
  while (nheld > 0) mp_object_unuse(held[--nheld]);
}

unsigned mp_mutex_count(void) { return holder == mp_proc_self() ? nheld : 0; }

static void note(mp_mutex *x, mp_handle h) {
  held[nheld++] = h;
  mp_object_use_held(h);
  x->depth = 1;
  atomic_store_explicit(&x->owner, mp_proc_self(), memory_order_relaxed);
}

static void forget(mp_handle h) {
  unsigned i = nheld - 1;
  while (i > 0 && held[i] != h) i--;
  held[i] = held[--nheld];
  mp_object_unuse(h);
}

void mp_mutex_init(mp_mutex *x, uint32_t kind) {
  memset(x, 0, sizeof *x);
  x->kind = kind;
  mp_os_mutex_init(&x->m);
  mp_os_mutex_init(&x->line);
}

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  mp_mutex_init(block, *(const uint32_t *)arg);
}

int mp_mutex_new(uint32_t kind, const mp_wait *w, mp_handle *out) {
  return mp_object_new(MP_TYPE_MUTEX, sizeof(mp_mutex), init, &kind, w, out);
}

static bool spin(mp_mutex *x, int *r) {
  if (!mp_bell_may_spin()) return false;
  for (unsigned i = 0; i < SPINS; i++) {
    mp_os_pause();
    if (x->hungry) return false;
    if (mp_os_mutex_held(&x->m)) continue;
    *r = mp_os_mutex_try(&x->m);
    if (*r != -EBUSY) return true;
  }
  return false;
}

static void nap(const mp_wait *w) {
  uint64_t until = mp_os_now() + NAP;
  mp_os_sleep(w->deadline < until ? w->deadline : until);
}

/* The next one's place, and -EBUSY in *m; or m, or why not, in *m. */
static bool take_place(mp_mutex *x, const mp_wait *w, int *m) {
  *m = -EBUSY;
  if (x->crowded) nap(w);
  int r = mp_os_mutex_try(&x->line);
  x->crowded = r == -EBUSY;
  while (r == -EBUSY || r == -ETIMEDOUT) {
    r = mp_os_mutex_until(&x->line, mp_wait_slice(w));
    if (r != -ETIMEDOUT) break;
    *m = mp_os_mutex_try(&x->m);
    int over = *m == -EBUSY ? mp_wait_check(w) : 0;
    if (over) *m = over;
    if (*m != -EBUSY) return false;
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->line);
  return true;
}

/* By the next one. */
static int wait_for(mp_mutex *x, const mp_wait *w) {
  uint64_t hungry = mp_os_now() + HUNGRY_AFTER;
  for (;;) {
    uint64_t slice = mp_wait_slice(w);
    int r = mp_os_mutex_until(&x->m, slice < hungry ? slice : hungry);
    if (r != -ETIMEDOUT) return r;
    r = mp_wait_check(w);
    if (r) return r;
    x->hungry = 1;
    hungry = MP_FOREVER;
  }
}

static int stand_in_line(mp_mutex *x, const mp_wait *w) {
  int r;
  mp_bell_asleep(true);
  bool next = take_place(x, w, &r);
  if (next) r = wait_for(x, w);
  if (next || r >= 0) x->hungry = 0;
  if (next) mp_os_mutex_unlock(&x->line);
  mp_bell_asleep(false);
  return r;
}

int mp_mutex_acquire(mp_mutex *x, mp_handle h, const mp_wait *w) {
  own_list();
  if (nheld == MP_MUTEX_MOST) return -ENOLCK;
  int r = x->hungry && w->deadline ? -EBUSY : mp_os_mutex_try(&x->m);
  if (r == -EBUSY && !w->deadline) return -ETIMEDOUT;
  if (r == -EBUSY && !spin(x, &r)) r = stand_in_line(x, w);
  if (r < 0) return r;
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&x->m);
  note(x, h);
  return r;
}

void mp_mutex_release(mp_mutex *x, mp_handle h) {
  atomic_store_explicit(&x->owner, 0, memory_order_relaxed);
  mp_os_mutex_unlock(&x->m);
  forget(h);
}

mp_proc_ref mp_mutex_owner(const mp_mutex *x) {
  mp_proc_ref owner = atomic_load_explicit(&x->owner, memory_order_relaxed);
  return mp_mutex_locked(x) ? owner : 0;
}
