/* SPDX-License-Identifier: MIT */
/*
 * Processes that lease messages are killed (campaign.h). Two queues: a joinable one, whose messages come back when their
 * lessee dies, and one that reports: there, they become orphans, which one worker takes. The audit, by name (names.h):
 *   lost    a lessee records a message before it ends the lease. So every name that was put is recorded in the end,
 *           whoever died; but for the one that each producer was killed within.
 *   twice   recorded twice, a name was in the hand of a lessee that was killed.
 *   join    one worker stops the producers at times, joins, and then finds recorded all that they had put before.
 *   orphans were a killed process's: nobody's message is taken for a dead one's while it lives.
 */
#include <errno.h>
#include <unistd.h>

#include "names.h"
#include "shm/queue/joinable.h"

enum { PRODUCERS = 2, LESSEES = 3, EACH = PRODUCERS + LESSEES, JOINER = 2 * EACH, NURSE, WORKERS };
enum { ROOM = 128, INLINE_MOST = 512, EXTENT_MOST = 8000, POLL_US = 100, BREATH_US = 2000, GIVE_BACK_ONE_IN = 8 };
enum { JOINED, REPORTED, STREAMS };
enum { PUT = 1, LEASE, END, GIVE_BACK, FINISH, JOIN, ORPHAN };
enum { PIDS = 1 << 22, SHOWN = 10 };

typedef struct place {
  _Atomic uint64_t intent, done, ended, nclaimed;
} place;

typedef struct book {
  _Atomic uint64_t joiner; /* the life that has stopped the producers */
  _Atomic uint64_t joins, orphans;
  place places[WORKERS];
} book;

static book *b;
static _Atomic uint64_t *life_of; /* per pid */
static mp_shm_queue *queues[STREAMS];
static mp_shm_handle handles[STREAMS];
static const mp_shm_wait now = {0, NULL, NULL};

static unsigned stream_of(unsigned i) { return i < EACH ? JOINED : REPORTED; }
static bool produces(unsigned i) { return i < JOINER && i % EACH < PRODUCERS; }

static void set_up(void) {
  static const uint32_t kinds[STREAMS] = {MP_QUEUE_JOINABLE, MP_QUEUE_REPORTS};
  mp_shm_queue_inline_max = INLINE_MOST;
  t_names_set_up(STREAMS);
  b = t_shared(sizeof *b);
  life_of = t_shared(PIDS * sizeof *life_of);
  for (unsigned s = 0; s < STREAMS; s++) {
    CHECK(mp_shm_queue_new(ROOM, kinds[s], &t_soon, &handles[s]) == 0);
    queues[s] = mp_shm_object_block(handles[s], MP_TYPE_QUEUE);
  }
}

/* --- workers --- */

static bool held_up(unsigned i) {
  uint64_t joiner = b->joiner;
  return stream_of(i) == JOINED && joiner && !t_was_killed(joiner) && !t_stopping();
}

static void produce(unsigned i) {
  place *p = &b->places[i];
  while (!t_stopping()) {
    while (held_up(i)) usleep(POLL_US);
    uint64_t n = ++p->intent;
    size_t bytes = 16 + t_random() % (t_random() % 8 ? INLINE_MOST - 64 : EXTENT_MOST);
    bytes &= ~(size_t)7;
    const void *message = t_name_message(t_name(stream_of(i), i % EACH, n), bytes);
    t_at(PUT);
    CHECK(t_put(queues[stream_of(i)], message, bytes, NULL, 0) == 0);
    p->done = n;
    t_ended();
  }
  p->ended = 1;
}

static void end_lease(mp_shm_incoming *g, unsigned stream, uint64_t name) {
  t_name_receive(name);
  t_at(END);
  mp_shm_queue_done(g);
  if (stream != JOINED) return;
  t_at(FINISH);
  CHECK(mp_shm_joinable_done(queues[stream]) == 0);
}

static void lease(unsigned i) {
  unsigned stream = stream_of(i);
  place *p = &b->places[i];
  mp_shm_incoming g;
  for (;;) {
    t_at(LEASE);
    int err = mp_shm_queue_lease(queues[stream], &g, &t_soon);
    t_at(0);
    if (err) {
      CHECK(err == -EPIPE);
      return;
    }
    uint64_t name = t_name_of(&g, stream);
    p->nclaimed = name;
    t_hold(1000);
    if (t_random() % GIVE_BACK_ONE_IN) {
      end_lease(&g, stream, name);
    } else {
      t_at(GIVE_BACK);
      mp_shm_lease_give_back(&g);
    }
    p->nclaimed = 0;
    t_ended();
  }
}

/* What was put before, whoever died since. */
static void all_recorded(const uint64_t done[PRODUCERS]) {
  for (unsigned i = 0; i < PRODUCERS; i++)
    for (uint64_t n = done[i]; n > 0 && n + ROOM > done[i]; n--)
      CHECK(t_name_facts(t_name(JOINED, i, n)) & (T_RECEIVED | T_CUT));
}

static void join(unsigned i) {
  uint64_t done[PRODUCERS];
  while (!t_stopping()) {
    for (unsigned k = 0; k < PRODUCERS; k++) done[k] = b->places[k].done;
    b->joiner = t_workers[i].life;
    t_at(JOIN);
    int r = mp_shm_joinable_join(queues[JOINED], &t_soon);
    CHECK(r >= 0);
    all_recorded(done);
    t_count->abandoned += r == MP_ABANDONED;
    b->joiner = 0;
    b->joins++;
    t_ended();
    usleep((useconds_t)(t_random() % BREATH_US));
  }
}

static bool take_orphan(_Atomic uint64_t *nclaimed) {
  mp_shm_incoming g;
  t_at(ORPHAN);
  if (mp_shm_queue_orphan(queues[REPORTED], &g, &now) != 0) return false;
  uint64_t name = t_name_of(&g, REPORTED);
  CHECK(t_was_killed(life_of[mp_shm_orphan_lessee(&g) % PIDS]));
  *nclaimed = name;
  t_name_receive(name);
  mp_shm_queue_done(&g);
  *nclaimed = 0;
  b->orphans++;
  return true;
}

static void nurse(unsigned i) {
  while (!t_stopping()) {
    if (!take_orphan(&b->places[i].nclaimed)) usleep(POLL_US);
    mp_shm_sweep_now_and_then();
    t_ended();
  }
}

static void work(unsigned i) {
  life_of[getpid() % PIDS] = t_workers[i].life;
  if (i == JOINER)
    join(i);
  else if (i == NURSE)
    nurse(i);
  else
    (produces(i) ? produce : lease)(i);
}

/* --- the audit --- */

static void died(unsigned i) {
  place *p = &b->places[i];
  if (produces(i)) {
    if (p->intent != p->done) t_name_note(t_name(stream_of(i), i % EACH, p->intent), T_CUT);
    p->done = p->intent;
  } else if (p->nclaimed) {
    t_name_note(p->nclaimed, T_HAND);
    p->nclaimed = 0;
  }
}

static void judge(uint64_t name) {
  uint8_t facts = t_name_facts(name);
  if (!(facts & (T_RECEIVED | T_CUT)) && t_count->lost++ < SHOWN)
    fprintf(stderr, "lost: stream %u, name %lx\n", t_name_stream(name), (long)name);
  if ((facts & T_RECEIVED) > 1 && !(facts & T_HAND) && t_count->twice++ < SHOWN)
    fprintf(stderr, "twice: stream %u, name %lx\n", t_name_stream(name), (long)name);
}

static void audit(void) {
  const mp_shm_wait soon = {mp_os_now() + T_HANG, NULL, NULL};
  while (take_orphan(&b->places[NURSE].nclaimed)) continue;
  CHECK(mp_shm_joinable_join(queues[JOINED], &soon) >= 0);
  CHECK(mp_shm_joinable_unfinished(queues[JOINED]) == 0 && mp_shm_queue_size(queues[REPORTED]) == 0);
  for (unsigned i = 0; i < JOINER; i++)
    for (uint64_t n = 1; produces(i) && n <= b->places[i].intent; n++) judge(t_name(stream_of(i), i % EACH, n));
  printf("  %lu joins, %lu orphans\n", (long)b->joins, (long)b->orphans);
  for (unsigned s = 0; s < STREAMS; s++) mp_shm_object_unuse(handles[s]);
}

static void stop(void) {
  for (unsigned i = 0; i < JOINER; i++)
    if (produces(i) && !b->places[i].ended) return;
  for (unsigned s = 0; s < STREAMS; s++) CHECK(mp_shm_queue_close(queues[s], &t_soon) == 0);
}

static void show(void) {
  t_show_queue("joined", queues[JOINED]);
  t_show_queue("reported", queues[REPORTED]);
}

int main(void) {
  static const t_campaign c = {
      .users = "leases",
      .operations = {NULL, "put", "lease", "end", "give back", "finish", "join", "take an orphan"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .died = died,
      .stop = stop,
      .audit = audit,
      .show = show,
  };
  return t_campaign_run(&c);
}
