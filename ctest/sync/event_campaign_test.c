/* SPDX-License-Identifier: MIT */
/*
 * Who sets an event and who waits for it are killed (campaign.h). Worker 0 sets it, waits until every waiter has answered
 * and clears it; at times it clears it at once and sets it again. The audit:
 *   released    a setter whose waiters do not answer hangs; a killed one's successor finds the flag up and answers.
 *   by a set    who began to wait while it was clear is not released before the next set has begun.
 *   the flag    is up from the set to the clear, for its only setter.
 */
#include <unistd.h>

#include "campaign.h"
#include "shm/sync/event.h"

enum { WORKERS = 6, SETTER = 0, HOLD = 2000, POLL_US = 20 };
enum { WAIT = 1, SET, CLEAR };

typedef struct book {
  _Atomic uint64_t begun, cleared;     /* sets begun, and those that were cleared after it */
  _Atomic uint64_t answers[T_WORKERS]; /* the last set that released it */
} book;

static book *b;
static mp_shm_event *e;
static mp_shm_handle h;

static void set_up(void) {
  b = t_shared(sizeof *b);
  CHECK(mp_shm_event_new(&t_soon, &h) == 0);
  e = mp_shm_object_block(h, MP_TYPE_EVENT);
}

static void clear(void) {
  t_at(CLEAR);
  mp_shm_event_clear(e);
  b->cleared = b->begun;
  CHECK(!mp_shm_event_is_set(e));
}

static void set(void) {
  b->begun++;
  t_at(SET);
  mp_shm_event_set(e);
  CHECK(mp_shm_event_is_set(e));
}

static void await_answers(uint64_t n) {
  for (unsigned i = 1; i < WORKERS && !t_stopping();) {
    if (b->answers[i] >= n)
      i++;
    else
      usleep(POLL_US);
  }
}

static void set_once(void) {
  if (t_random() % 4 == 0) set(), clear();
  set();
  await_answers(b->begun);
  clear();
  t_ended();
  t_hold(HOLD);
}

static void wait_once(unsigned i) {
  uint64_t begun = b->begun, cleared = b->cleared;
  t_at(WAIT);
  CHECK(mp_shm_event_wait(e, &t_soon) == 0);
  uint64_t now = b->begun;
  CHECK(cleared != begun || now > begun || t_stopping());
  b->answers[i] = now;
  t_ended();
  while (b->begun == now && b->cleared != now && !t_stopping()) usleep(POLL_US);
}

static void work(unsigned i) {
  if (i == SETTER) clear();
  while (!t_stopping()) i == SETTER ? set_once() : wait_once(i);
}

static void stop(void) { mp_shm_event_set(e); }
static void audit(void) { mp_shm_object_unuse(h); }

int main(void) {
  static const t_campaign c = {
      .users = "event",
      .operations = {NULL, "wait", "set", "clear"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .stop = stop,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
