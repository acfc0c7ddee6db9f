/* SPDX-License-Identifier: MIT */
/*
 * The parties of a barrier are killed (campaign.h). The last to come runs an action, which fails at times. The audit:
 *   everyone or nobody   the action numbers the generations. There are as many workers as parties, so who has passed is in
 *                        the generation numbered last: the next action needs it. It notes its index there. A generation
 *                        that was released has been passed with each index once, but for those who were killed while they
 *                        waited: all these gaps together are no more than such deaths. Nobody has passed one that was not
 *                        released.
 *   breaks               are no more than deaths and failed actions together. Worker 0 resets; the others wait for that.
 *   the action           one runs at a time, while all others wait; but for those who came in place of somebody killed
 *                        since the last party came. None who was dead before that is counted as having come.
 * Each death in a wait breaks the barrier, or the rest would wait for ever: a truce would find a hang.
 */
#include <errno.h>
#include <unistd.h>

#include "campaign.h"
#include "shm/sync/barrier.h"

enum { PARTIES = 4, HOLD = 1500, FAIL_ONE_IN = 32, RESETTER = 0, POLL_US = 50 };
enum { WAIT = 1, ACT, RESET };
#define GENERATIONS (UINT64_C(1) << 24)

typedef struct book {
  _Atomic uint64_t numbered;           /* generations */
  _Atomic uint64_t acting;             /* the life that runs the action */
  _Atomic uint64_t outside[T_WORKERS]; /* the life that is not in a wait */
  _Atomic uint64_t dead[T_WORKERS];    /* the last life that is surely dead */
  _Atomic uint64_t causes, resets, died_waiting;
} book;

static book *b;
static _Atomic uint8_t *passed; /* a bit per index, of each generation */
static mp_shm_barrier *x;
static mp_shm_handle h;

static void set_up(void) {
  b = t_shared(sizeof *b);
  passed = t_shared(GENERATIONS);
  CHECK(mp_shm_barrier_new(PARTIES, &t_soon, &h) == 0);
  x = mp_shm_object_block(h, MP_TYPE_BARRIER);
}

typedef struct glance {   /* when this worker came */
  uint64_t newest;        /* life */
  uint64_t dead[PARTIES]; /* lives that were dead, and had come or were about to */
} glance;

static glance look(void) {
  glance g = {0};
  for (unsigned k = 0; k < PARTIES; k++) {
    uint64_t life = t_workers[k].life;
    if (life > g.newest) g.newest = life;
    if (b->dead[k] == life && !b->outside[k]) g.dead[k] = life;
  }
  return g;
}

static void act(unsigned i, const glance *g) {
  uint64_t other = b->acting;
  CHECK(!other || t_was_killed(other));
  b->acting = t_workers[i].life;
  for (unsigned k = 0; k < PARTIES; k++) {
    uint64_t life = b->outside[k];
    CHECK(life == 0 || life > g->newest || t_was_killed(life));
    CHECK(!g->dead[k] || g->dead[k] != t_workers[k].life); /* or somebody came in its place */
  }
  b->numbered++;
  t_hold(HOLD);
  b->acting = 0;
}

static int act_and_release(unsigned i, const glance *g) {
  act(i, g);
  t_at(ACT);
  if (t_random() % FAIL_ONE_IN) return mp_shm_barrier_release(x);
  b->causes++;
  mp_shm_barrier_leave(x);
  return -EPIPE;
}

static void note_passed(uint64_t index) {
  uint8_t bit = (uint8_t)(1u << index);
  if (atomic_fetch_or(&passed[b->numbered % GENERATIONS], bit) & bit) t_count->twice++;
}

static void mend(unsigned i) {
  if (i == RESETTER && mp_shm_barrier_broken(x)) {
    t_at(RESET);
    mp_shm_barrier_reset(x);
    b->resets++;
  }
  while (mp_shm_barrier_broken(x) && !t_stopping()) usleep(POLL_US);
}

static void one(unsigned i) {
  uint64_t index = PARTIES;
  glance g = look();
  b->outside[i] = 0;
  t_at(WAIT);
  int r = mp_shm_barrier_wait(x, true, &t_soon, &index);
  if (r == MP_BARRIER_ACT) r = act_and_release(i, &g);
  CHECK(r == 0 || r == -EPIPE);
  if (r == 0) note_passed(index);
  b->outside[i] = t_workers[i].life;
  if (r == 0)
    t_ended();
  else
    mend(i);
}

static void work(unsigned i) {
  b->outside[i] = t_workers[i].life;
  mend(i);
  while (!t_stopping()) one(i);
}

/* The barrier may be found broken by the death of one that was about to come. */
static void died(unsigned i) {
  b->causes++;
  b->died_waiting += !b->outside[i];
  b->dead[i] = t_workers[i].life;
}

static void stop(void) { mp_shm_barrier_abort(x); }

static void audit(void) {
  uint64_t gaps = 0;
  for (uint64_t g = 1; g <= b->numbered && g < GENERATIONS; g++)
    for (unsigned k = 0; passed[g] && k < PARTIES; k++) gaps += !(passed[g] >> k & 1);
  CHECK(gaps <= b->died_waiting);
  CHECK(b->resets <= b->causes);
  mp_shm_object_unuse(h);
}

int main(void) {
  static const t_campaign c = {
      .users = "barrier",
      .operations = {NULL, "wait", "release", "reset"},
      .workers = PARTIES,
      .set_up = set_up,
      .work = work,
      .died = died,
      .stop = stop,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
