/* SPDX-License-Identifier: MIT */
/*
 * Users of two locks are killed (campaign.h). The audit, per lock:
 *   exclusion  who has it counts two words, the second after a pause, with nothing atomic; who comes finds them equal, or
 *              is told that the lock was abandoned and makes them so. `inside` is the life that has the lock.
 *   abandoned  not told: nobody is inside. Told with somebody inside: that life was killed. Told with nobody inside: it was
 *              killed just before it wrote that word or just after it had cleared it. No more are told than died between
 *              t_at and t_ended.
 *   sharing    in a truce each worker gets it; at the end none has had less than a hundredth of the average.
 */
#include <errno.h>

#include "campaign.h"
#include "shm/sync/mutex.h"

enum { LOCKS = 2, WORKERS = 6, HOLD = 2000 };
enum { ACQUIRE = 1, TRY, TIMED, RELEASE };
#define SHORT (300 * MP_MS / 1000)

typedef struct guarded {
  uint64_t first, second; /* counted by who has the lock, nothing atomic */
  _Atomic uint64_t inside;
  _Atomic uint64_t told, died;
} guarded;

typedef struct place {
  _Atomic uint32_t lock; /* that it is at, + 1 */
  _Atomic uint64_t had[LOCKS];
} place;

static guarded *books;
static place *places;
static mp_shm_mutex *locks[LOCKS];
static mp_shm_handle handles[LOCKS];

static void set_up(void) {
  books = t_shared(LOCKS * sizeof *books);
  places = t_shared(T_WORKERS * sizeof *places);
  for (int i = 0; i < LOCKS; i++) {
    CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &handles[i]) == 0);
    locks[i] = mp_shm_object_block(handles[i], MP_TYPE_MUTEX);
  }
}

static void came_in(guarded *g, uint64_t life, bool abandoned) {
  uint64_t before = g->inside;
  CHECK(abandoned ? !before || t_was_killed(before) : !before && g->first == g->second);
  g->inside = life;
  if (!abandoned) return;
  g->second = g->first;
  t_count->abandoned++;
  g->told++;
}

static void use(guarded *g) {
  g->first++;
  t_hold(HOLD);
  g->second++;
  CHECK(g->first == g->second);
}

static int acquire(mp_shm_mutex *x, mp_shm_handle h) {
  static const uint64_t times[] = {MP_FOREVER, 0, SHORT};
  unsigned how = (unsigned)(t_random() % 3);
  mp_shm_wait w = {times[how], NULL, NULL};
  if (times[how] == SHORT) w.deadline = mp_os_now() + SHORT;
  t_at(ACQUIRE + how);
  return mp_shm_mutex_acquire(x, h, &w);
}

static void one(unsigned i) {
  unsigned k = (unsigned)(t_random() % LOCKS);
  guarded *g = &books[k];
  places[i].lock = k + 1;
  int r = acquire(locks[k], handles[k]);
  if (r == -ETIMEDOUT) return;
  CHECK(r == MP_LOCKED || r == MP_ABANDONED);
  came_in(g, t_workers[i].life, r == MP_ABANDONED);
  use(g);
  g->inside = 0;
  t_at(RELEASE);
  mp_shm_mutex_release(locks[k], handles[k]);
  places[i].had[k]++;
  t_ended();
  t_hold(HOLD);
}

static void work(unsigned i) {
  while (!t_stopping()) one(i);
}

static void died(unsigned i) {
  if (t_workers[i].at) books[places[i].lock - 1].died++;
}

static void judge_sharing(unsigned k) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < WORKERS; i++) sum += places[i].had[k];
  for (unsigned i = 0; i < WORKERS; i++) CHECK(places[i].had[k] >= sum / WORKERS / 100);
  CHECK(sum <= books[k].first && books[k].first <= sum + t_kills);
}

static void audit(void) {
  for (unsigned k = 0; k < LOCKS; k++) {
    guarded *g = &books[k];
    int r = mp_shm_mutex_acquire(locks[k], handles[k], &t_soon);
    CHECK(r >= 0);
    came_in(g, UINT64_MAX, r == MP_ABANDONED);
    mp_shm_mutex_release(locks[k], handles[k]);
    judge_sharing(k);
    CHECK(g->told <= g->died);
    mp_shm_object_unuse(handles[k]);
  }
}

int main(void) {
  static const t_campaign c = {
      .users = "locks",
      .operations = {NULL, "acquire", "try", "acquire with a timeout", "release"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .died = died,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
