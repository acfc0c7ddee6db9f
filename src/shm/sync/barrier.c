/* SPDX-License-Identifier: MIT */
/* The barrier. Its words, and who changes them how, stand in barrier.h. */
#include "shm/sync/barrier.h"

#include <errno.h>
#include <string.h>

#include "shm/arena/proc.h"

enum { OPEN, BROKEN, RESETTING, PHASES = 4 };
enum { IN = 1, MARKED, CELL_BITS = 2 };

#define ONE UINT64_C(4) /* who came, in turn */
#define GEN_SHIFT 16    /* leaves room for four times the processes there can be */

static uint64_t turn_of(uint64_t gen, unsigned phase) { return gen << GEN_SHIFT | phase; }
static uint64_t gen_of(uint64_t turn) { return turn >> GEN_SHIFT; }
static unsigned phase_of(uint64_t turn) { return (unsigned)turn % PHASES; }
static uint64_t came(uint64_t turn) { return turn % (UINT64_C(1) << GEN_SHIFT) / ONE; }

static uint64_t cell_of(uint64_t gen, unsigned state) { return gen << CELL_BITS | state; }

static uint64_t now_at(mp_shm_barrier *b) { return atomic_load(&b->turn); }

static mp_shm_wait_queue *wait_queue_of(mp_shm_barrier *b, uint64_t gen) {
  return &b->wait_queues[gen % MP_BARRIER_WAIT_QUEUES];
}

/* A change for which those of its generation wait. */
static bool change(mp_shm_barrier *b, uint64_t from, uint64_t to) {
  mp_shm_wait_queue *wait_queue = wait_queue_of(b, gen_of(from));
  mp_shm_pending(&wait_queue->word);
  bool done = atomic_compare_exchange_strong(&b->turn, &from, to);
  if (done) mp_shm_wait_queue_wake(wait_queue);
  mp_shm_pending(NULL);
  return done;
}

/* True when it was this call that broke that generation. */
static bool break_gen(mp_shm_barrier *b, uint64_t gen) {
  for (;;) {
    uint64_t t = now_at(b);
    if (gen_of(t) != gen || phase_of(t) != OPEN) return false;
    if (change(b, t, turn_of(gen, BROKEN))) return true;
  }
}

/* All who were counted in it have stored their per-process slots before. Who is about to come finds the turn changed. */
static void finish_reset(mp_shm_barrier *b, uint64_t gen) {
  for (uint32_t p = 0, n = MP_MUTANT(MARK) ? 0 : mp_shm_per_process_count(&b->slots); p < n; p++) {
    uint64_t in = cell_of(gen, IN);
    atomic_compare_exchange_strong(&b->slots.slot[p], &in, cell_of(gen, MARKED));
  }
  uint64_t resetting = turn_of(gen, RESETTING);
  atomic_compare_exchange_strong(&b->turn, &resetting, turn_of(gen + 1, OPEN));
}

/* How many of a generation live; *dead: and whether one does not. */
static uint64_t living(mp_shm_barrier *b, uint64_t gen, bool *dead) {
  uint64_t n = 0, in = cell_of(gen, IN);
  *dead = false;
  for (uint32_t p = 0, most = mp_shm_per_process_count(&b->slots); p < most; p++) {
    if (mp_shm_per_process_load(&b->slots, p) != in) continue;
    if (mp_shm_proc_slot_dead(p))
      *dead = true;
    else
      n++;
  }
  return n;
}

/* Breaks a generation one of whose processes has died, before a sweep does. */
static bool broke_by_death(mp_shm_barrier *b, uint64_t gen) {
  bool dead;
  if (MP_MUTANT(PARTY)) return false;
  living(b, gen, &dead);
  if (dead) break_gen(b, gen);
  return dead;
}

/* --- waiting --- */

typedef struct visit {
  mp_shm_barrier *b;
  _Atomic uint64_t *slot; /* this process's */
  uint64_t gen;
  uint64_t seen; /* a turn that is full */
} visit;

static int reach(mp_shm_barrier *b, const mp_shm_wait *w, _Atomic uint64_t **slot) {
  *slot = mp_shm_per_process_mine(&b->slots);
  if (*slot) return 0;
  int r = mp_shm_lock_word(&b->slots_lock, w);
  if (r < 0) return r;
  *slot = mp_shm_per_process_ensure_slot(&b->slots);
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&b->slots_lock);
  mp_os_mutex_unlock(&b->slots_lock);
  return 0;
}

static bool no_longer_seen(void *arg) {
  visit *v = arg;
  return now_at(v->b) != v->seen;
}

/* All have come and one of them is running the action: the place is free after that. */
static int await_place(visit *v, uint64_t turn, const mp_shm_wait *w) {
  if (atomic_load(v->slot) == cell_of(gen_of(turn), IN)) return -EDEADLK;
  if (broke_by_death(v->b, gen_of(turn))) return 0;
  v->seen = turn;
  return mp_shm_wait_queue_wait(wait_queue_of(v->b, gen_of(turn)), no_longer_seen, v, w);
}

/* Tries to be counted; as the last one, unless it `acts`, releases all. */
static bool come(visit *v, uint64_t turn, bool acts) {
  mp_shm_barrier *b = v->b;
  v->gen = gen_of(turn);
  atomic_store(v->slot, cell_of(v->gen, IN));
  bool last = came(turn) + 1 == b->parties, done;
  if (last && broke_by_death(b, v->gen))
    done = false;
  else if (last && !acts)
    done = change(b, turn, turn_of(v->gen + 1, OPEN));
  else
    done = atomic_compare_exchange_strong(&b->turn, &turn, turn + ONE);
  if (!done) atomic_store(v->slot, 0);
  return done;
}

static int arrive(visit *v, bool acts, const mp_shm_wait *w, uint64_t *index) {
  for (;;) {
    uint64_t t = now_at(v->b);
    int err = 0;
    if (phase_of(t) == BROKEN) return -EPIPE;
    if (phase_of(t) == RESETTING)
      finish_reset(v->b, gen_of(t));
    else if (came(t) == v->b->parties)
      err = await_place(v, t, w);
    else if (come(v, t, acts))
      return *index = came(t), 0;
    if (err) return err;
  }
}

static bool decided(void *arg) {
  visit *v = arg;
  uint64_t t = now_at(v->b);
  return gen_of(t) != v->gen || phase_of(t) != OPEN;
}

/* Released, or broken: 0 or -EPIPE. */
static int fate(visit *v) {
  bool moved_on = gen_of(now_at(v->b)) != v->gen;
  uint64_t c = atomic_load(v->slot);
  atomic_store(v->slot, 0);
  return moved_on && c == cell_of(v->gen, IN) ? 0 : -EPIPE;
}

int mp_shm_barrier_wait(mp_shm_barrier *b, bool acts, const mp_shm_wait *w, uint64_t *index) {
  visit v = {.b = b};
  int err = reach(b, w, &v.slot);
  if (err) return mp_shm_barrier_abort(b), err;
  err = arrive(&v, acts, w, index);
  if (err) return err;
  if (acts && *index + 1 == b->parties) return MP_BARRIER_ACT;
  err = mp_shm_wait_queue_wait(wait_queue_of(b, v.gen), decided, &v, w);
  if (!err || !break_gen(b, v.gen)) {
    int end = fate(&v);
    return end && err == -EINTR ? err : end;
  }
  atomic_store(v.slot, 0);
  return err;
}

/* The generation that this process is in; false when it is in none. Not a child's that was forked inside the action. */
static bool own_gen(mp_shm_barrier *b, visit *v) {
  *v = (visit){.b = b, .slot = mp_shm_per_process_mine(&b->slots)};
  uint64_t c = v->slot ? atomic_load(v->slot) : 0;
  v->gen = c >> CELL_BITS;
  return c % ONE == IN;
}

int mp_shm_barrier_release(mp_shm_barrier *b) {
  visit v;
  if (!own_gen(b, &v)) return -EPIPE;
  uint64_t full = turn_of(v.gen, OPEN) + ONE * b->parties;
  bool done = !broke_by_death(b, v.gen) && change(b, full, turn_of(v.gen + 1, OPEN));
  atomic_store(v.slot, 0);
  return done ? 0 : -EPIPE;
}

void mp_shm_barrier_leave(mp_shm_barrier *b) {
  visit v;
  if (!own_gen(b, &v)) return;
  break_gen(b, v.gen);
  atomic_store(v.slot, 0);
}

/* --- the rest --- */

void mp_shm_barrier_abort(mp_shm_barrier *b) {
  for (;;) {
    uint64_t t = now_at(b);
    if (phase_of(t) == BROKEN || break_gen(b, gen_of(t))) return;
    if (phase_of(t) == RESETTING) finish_reset(b, gen_of(t));
  }
}

void mp_shm_barrier_reset(mp_shm_barrier *b) {
  for (;;) {
    uint64_t t = now_at(b);
    bool begun = phase_of(t) == RESETTING;
    if (begun || change(b, t, turn_of(gen_of(t), RESETTING))) return finish_reset(b, gen_of(t));
  }
}

uint64_t mp_shm_barrier_waiting(mp_shm_barrier *b) {
  bool dead;
  uint64_t t = now_at(b);
  if (phase_of(t) != OPEN) return 0;
  uint64_t n = living(b, gen_of(t), &dead);
  return n < came(t) ? n : came(t);
}

bool mp_shm_barrier_broken(mp_shm_barrier *b) {
  uint64_t t = now_at(b);
  return phase_of(t) == BROKEN || (phase_of(t) == OPEN && broke_by_death(b, gen_of(t)));
}

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  mp_shm_barrier *b = block;
  memset(b, 0, sizeof *b);
  b->parties = *(const uint64_t *)arg;
  mp_shm_robust_init(&b->slots_lock);
  for (int i = 0; i < MP_BARRIER_WAIT_QUEUES; i++) mp_shm_wait_queue_init(&b->wait_queues[i]);
}

int mp_shm_barrier_new(uint64_t parties, const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_BARRIER, sizeof(mp_shm_barrier) + mp_shm_per_process_bytes(), init, &parties, w,
                           out);
}

static int reap(void *block, uint32_t proc) {
  mp_shm_barrier *b = block;
  uint64_t c = mp_shm_per_process_load(&b->slots, proc);
  if (!c) return 0;
  if (c % ONE == IN) break_gen(b, c >> CELL_BITS);
  atomic_store(&b->slots.slot[proc], 0);
  return 0;
}

const mp_shm_object_type_info mp_shm_barrier_type = {.reap = reap};
