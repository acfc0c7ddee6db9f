/* SPDX-License-Identifier: MIT */
/*
 * Users of a bounded semaphore are killed (campaign.h), some of whom release two permits, one of them another's. The audit:
 *   no more     living workers that say that they are inside than there are permits. Who says so has a permit: it says so
 *               after the acquire, and takes it back before the release.
 *   none lost   in a truce everybody gets one, though ever so many have died with theirs; at the end all are there.
 *   the value   never more than there are.
 * Each worker takes two permits at times, one after the other, but only while it is the only one to do so: two who did
 * might wait for each other.
 */
#include <errno.h>

#include "campaign.h"
#include "shm/sync/semaphore.h"

enum { WORKERS = 7, PERMITS = 3, HOLD = 2000 };
enum { ACQUIRE = 1, RELEASE, ACQUIRE_ANOTHER, RELEASE_BOTH };
#define SHORT (300 * MP_MS / 1000)

typedef struct book {
  _Atomic uint64_t greedy;            /* the life that may take two */
  _Atomic uint64_t inside[T_WORKERS]; /* permits << 32 | life, one store */
  _Atomic uint64_t said;              /* raised before each of these stores */
} book;

static book *b;
static mp_shm_semaphore *s;
static mp_shm_handle h;

static void set_up(void) {
  b = t_shared(sizeof *b);
  CHECK(mp_shm_semaphore_new(MP_SEMAPHORE_BOUNDED, PERMITS, &t_soon, &h) == 0);
  s = mp_shm_object_block(h, MP_TYPE_SEMAPHORE);
}

static void says(unsigned i, uint64_t permits) {
  b->said++;
  b->inside[i] = permits << 32 | t_workers[i].life;
}

/* What was said is read before it is asked who lives: one who was killed after that counts for nothing. Where somebody has
 * said something meanwhile, a permit may have been counted in two hands. */
static void not_too_many(void) {
  uint64_t n = 0, before = b->said;
  for (unsigned i = 0; i < WORKERS; i++) {
    uint64_t said = b->inside[i];
    if (said >> 32 && !t_was_killed((uint32_t)said)) n += said >> 32;
  }
  CHECK(n <= PERMITS || b->said != before);
}

static bool acquire(uint32_t operation) {
  mp_shm_wait w = t_soon;
  if (t_random() % 4 == 0) w.deadline = mp_os_now() + SHORT;
  t_at(operation);
  int r = mp_shm_semaphore_acquire(s, &w);
  CHECK(r == 0 || r == -ETIMEDOUT);
  return r == 0;
}

static void release(unsigned i, uint32_t operation, uint64_t permits) {
  says(i, 0);
  t_at(operation);
  CHECK(mp_shm_semaphore_release(s, permits, &t_soon) == 0);
}

static bool may_be_greedy(unsigned i) {
  uint64_t other = b->greedy;
  return (!other || t_was_killed(other)) && atomic_compare_exchange_strong(&b->greedy, &other, t_workers[i].life);
}

static void use(unsigned i, uint64_t permits) {
  says(i, permits);
  not_too_many();
  t_hold(HOLD);
}

static void take_two(unsigned i) {
  bool two = may_be_greedy(i) && acquire(ACQUIRE_ANOTHER);
  if (two) use(i, 2);
  release(i, two ? RELEASE_BOTH : RELEASE, two ? 2 : 1);
  if (b->greedy == t_workers[i].life) b->greedy = 0;
}

static void one(unsigned i) {
  uint64_t value;
  if (!acquire(ACQUIRE)) return;
  use(i, 1);
  if (t_random() % 4)
    release(i, RELEASE, 1);
  else
    take_two(i);
  t_ended();
  CHECK(mp_shm_semaphore_value(s, &t_soon, &value) == 0 && value <= PERMITS);
}

static void work(unsigned i) {
  while (!t_stopping()) one(i);
}

static void audit(void) {
  uint64_t value;
  CHECK(mp_shm_semaphore_value(s, &t_soon, &value) == 0);
  CHECK(value == PERMITS);
  CHECK(mp_shm_semaphore_release(s, 1, &t_soon) == -EOVERFLOW);
  mp_shm_object_unuse(h);
}

int main(void) {
  static const t_campaign c = {
      .users = "semaphore",
      .operations = {NULL, "acquire", "release", "acquire another", "release both"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
