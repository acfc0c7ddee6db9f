/* SPDX-License-Identifier: MIT */
/*
 * A producer hands out items over a condition to consumers that are killed, or stopped for a while (campaign.h).
 *
 * A burst of items is notified one by one, at once, or to all; the next burst comes when all of it has been taken. A
 * consumer that waits looks at the items only once it is notified, whatever timeouts its waits have, and a killed one is
 * replaced after the burst: so a notification that reaches nobody living leaves an item there, and the burst hangs. In the
 * second half producers are killed as well; then, as anywhere, whoever gets the lock "abandoned" wakes all, for the dead
 * owner may have changed what it could not tell.
 *
 * Items are a count that changes by one store, so that what consumers have taken and what killed ones had in hand (at
 * most one each) is all that was made.
 */
#include <errno.h>
#include <unistd.h>

#include "campaign.h"
#include "shm/sync/condition.h"

enum { CONSUMERS = 5, PRODUCER = CONSUMERS, WORKERS };
enum { BURST = 8 }; /* at most; often 1 */
enum { TIMEOUT_US = 500, PAUSE_US = 30, HOLD = 8000 };
enum { ACQUIRE = 1, WAIT, NOTIFY, RELEASE };

typedef struct book {
  _Atomic int producers_die;
  _Atomic uint64_t items;       /* there to be taken; changes under the lock */
  _Atomic uint64_t made, taken; /* the producer's, after it has made one; a consumer's, after the release */
  _Atomic uint64_t bursts, notified, timeouts;
} book;

static book *b;
static mp_shm_condition *c;
static mp_shm_mutex *x;
static mp_shm_handle ch, xh;

static void set_up(void) {
  b = t_shared(sizeof *b);
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &xh) == 0);
  CHECK(mp_shm_condition_new(&t_soon, &ch) == 0);
  x = mp_shm_object_block(xh, MP_TYPE_MUTEX);
  c = mp_shm_object_block(ch, MP_TYPE_CONDITION);
}

/* --- workers --- */

static void notify(uint64_t n) {
  t_at(NOTIFY);
  CHECK(mp_shm_condition_notify(c, ch, xh, n, &t_soon) == 0);
}

static void came(bool abandoned) {
  if (!abandoned) return;
  t_count->abandoned++;
  if (b->producers_die) notify(UINT64_MAX);
}

static void acquire(void) {
  t_at(ACQUIRE);
  int r = mp_shm_mutex_acquire(x, xh, &t_soon);
  CHECK(r >= 0);
  came(r == MP_ABANDONED);
}

static void release(void) {
  t_at(RELEASE);
  mp_shm_mutex_release(x, xh);
}

static void wait_until_notified(bool patient) {
  bool abandoned;
  int r;
  do {
    mp_shm_wait w = t_soon;
    if (!patient) w.deadline = mp_os_now() + t_random() % TIMEOUT_US * 1000;
    t_at(WAIT);
    r = mp_shm_condition_wait(c, ch, x, xh, &w, &abandoned);
    CHECK(r == 0 || r == -ETIMEDOUT);
    came(abandoned);
    b->timeouts += r != 0;
  } while (r != 0 && !t_stopping());
  b->notified += r == 0;
}

static bool take_one(bool patient) {
  acquire();
  while (!b->items && !t_stopping()) wait_until_notified(patient);
  t_hold(HOLD); /* with the notification in hand */
  bool one = b->items != 0;
  if (one) b->items--;
  release();
  return one;
}

static void consume(void) {
  bool patient = t_random() % 2;
  while (take_one(patient)) {
    b->taken++;
    t_ended();
  }
}

/* All in one go of the lock, or each in one of its own. */
static void make(uint64_t n) {
  unsigned how = (unsigned)(t_random() % 4);
  acquire();
  for (uint64_t i = 0; i < n; i++) {
    b->items++;
    b->made++;
    if (how < 2) notify(1);
    if (how > 0) continue;
    release();
    acquire();
  }
  if (how == 2) notify(n);
  if (how == 3) notify(UINT64_MAX);
  release();
}

static void await_taken(void) {
  while (b->items && !t_stopping()) usleep(PAUSE_US);
}

/* In place of a killed one, who may have had the lock: if nobody else comes to it, all that wait being patient, it is this
 * one who learns of that. Then what the dead one has made is taken first. */
static void produce(void) {
  acquire();
  release();
  await_taken();
  while (!t_stopping()) {
    make(t_random() % 2 ? 1 : 1 + t_random() % BURST);
    await_taken();
    b->bursts++;
    t_ended();
  }
}

static void work(unsigned i) { (i == PRODUCER ? produce : consume)(); }

/* --- the audit --- */

static bool may_die(unsigned i) {
  b->producers_die = t_second_half();
  return i != PRODUCER || b->producers_die;
}

static uint64_t bursts_before;
static bool burst_is_over(void) { return !b->items || b->bursts != bursts_before; }

/* A new consumer looks at the items before it waits: it must not do so for the one that a dead one was notified of. */
static void died(unsigned i) {
  bursts_before = b->bursts;
  if (i != PRODUCER) t_await(burst_is_over, "items that nobody takes");
}

/* Over and over: one who comes late must not wait for a notification of before. */
static void stop(void) {
  const mp_shm_wait soon = {mp_os_now() + MP_MS, NULL, NULL};
  if (mp_shm_mutex_acquire(x, xh, &soon) < 0) return;
  notify(UINT64_MAX);
  mp_shm_mutex_release(x, xh);
}

static void audit(void) {
  uint64_t in_hand = b->made - b->items - b->taken;
  printf("  %lu bursts, %lu items, %lu of them in a dead hand; %lu waits notified, %lu timed out\n", (long)b->bursts,
         (long)b->made, (long)in_hand, (long)b->notified, (long)b->timeouts);
  CHECK(b->bursts > 0 && b->notified > 0);
  CHECK(in_hand <= 2 * t_kills);
  mp_shm_object_unuse(ch);
  mp_shm_object_unuse(xh);
}

static void show(void) {
  fprintf(stderr, "  %lu items, %u waiting, ticket %lu, upto %lu\n", (long)b->items, mp_shm_condition_waiting(c),
          (long)c->ticket, (long)c->upto);
}

int main(void) {
  static const t_campaign campaign = {
      .users = "condition",
      .operations = {NULL, "acquire", "wait", "notify", "release"},
      .workers = WORKERS,
      .stops = true,
      .set_up = set_up,
      .work = work,
      .may_die = may_die,
      .died = died,
      .stop = stop,
      .audit = audit,
      .show = show,
  };
  return t_campaign_run(&campaign);
}
