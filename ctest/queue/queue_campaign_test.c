/* SPDX-License-Identifier: MIT */
/*
 * Processes that put and get are killed (campaign.h). Two queues: a bounded one of plain messages, and an unbounded one of
 * outgoing messages, each of which carries the handle of a queue made for it, with messages inside, that dies with it.
 *
 * The audit, by name (names.h). Per producer stand the numbers it began (intent) and ended (done) to put. A name that was
 * never recorded as received needs an excuse:
 *   CUT   its producer was killed within that very put (intent = done + 1);
 *   HAND  a consumer was killed with it in hand. A large message: the consumer noted it before it was done with it. An inline
 *         message has no moment between the commit of get and a note, so get copies it into a buffer that lies in the
 *         audit's memory: the copy comes before the commit, and so names it. One killed between the two excuses a
 *         message that is still there; it must not have been lost in just that put or get: killpoints_test's part.
 * A message inside a outgoing message is also excused by its outgoing message: unless that was recorded, its queue may have died with it.
 * A message is recorded after mp_shm_queue_done, the point of delivery: recorded twice is delivered twice.
 */
#include <errno.h>
#include <unistd.h>

#include "names.h"
#include "shm/arena/arena.h"

enum { PRODUCERS = 3, SENDERS = 2, CONSUMERS = 3, RECEIVERS = 2, PUTTERS = PRODUCERS + SENDERS };
enum { WORKERS = PUTTERS + CONSUMERS + RECEIVERS };
enum { INSIDE = 4 };        /* numbers per outgoing message; 1 to 3 are used */
enum { ROOM = 256 };        /* plain messages in their queue */
enum { PARCELS_MOST = 64 }; /* a sender pauses above */
enum { INLINE_MOST = 1024, EXTENT_MOST = 40000, POLL_US = 200, SHOWN = 10 };
enum { PLAIN, PARCEL, INNER, STREAMS };
enum { PUT = 1, GET, DONE, MAKE, DROP, USE };

typedef struct place { /* of a worker, kept when it is killed */
  _Atomic uint64_t intent, done, ended;
  _Atomic uint64_t nclaimed, inner_nclaimed; /* names */
  _Alignas(16) char buf[MP_INLINE_MAX];
  _Alignas(16) char inner[MP_INLINE_MAX];
} place;

typedef struct book {
  _Atomic uint64_t got[STREAMS], had_large, returned;
  place places[WORKERS + 1]; /* the last is the supervisor's */
} book;

static book *b;
static mp_shm_queue *plain, *outgoings;
static mp_shm_handle plain_h, outgoings_h;
static const mp_shm_wait now = {0, NULL, NULL};

static bool puts_messages(unsigned i) { return i < PUTTERS; }
static unsigned stream_of(unsigned i) {
  return i < PRODUCERS ? PLAIN : i < PUTTERS ? PARCEL : i < PUTTERS + CONSUMERS ? PLAIN : PARCEL;
}
static unsigned lane_of(unsigned i) { return i < PRODUCERS ? i : i - PRODUCERS; }

/* --- workers --- */

/* One in `rare` is a large message. */
static size_t random_size(unsigned rare) {
  size_t n = t_random() % rare ? 16 + t_random() % (INLINE_MOST - 64)
                               : INLINE_MOST + 8 + t_random() % (EXTENT_MOST - INLINE_MOST - 8);
  return n & ~(size_t)7;
}

static void put(mp_shm_queue *q, uint64_t name, unsigned rare, mp_shm_handle h) {
  size_t n = random_size(rare);
  const void *message = t_name_message(name, n);
  t_at(PUT);
  CHECK(t_put(q, message, n, &h, h ? 1 : 0) == 0);
  t_at(0);
}

static void record(uint64_t name) {
  if (t_name_receive(name) & T_RECEIVED) t_count->twice++;
  b->got[t_name_stream(name)]++;
}

/* What is noted of a large message; true when some consumer has had it before and died. */
static bool seen_before(const mp_shm_incoming *g, uint64_t name) {
  if (g->large < 0) return false;
  b->had_large++;
  bool again = t_name_note(name, T_SEEN) & T_SEEN;
  b->returned += again;
  return again;
}

static void done(mp_shm_incoming *g, uint64_t name, _Atomic uint64_t *nclaimed) {
  t_at(DONE);
  mp_shm_queue_done(g);
  record(name);
  *nclaimed = 0;
}

static int get_one(mp_shm_queue *q, unsigned stream, char *buf, _Atomic uint64_t *nclaimed, const mp_shm_wait *w) {
  mp_shm_incoming g;
  t_at(GET);
  int err = mp_shm_queue_get(q, buf, &g, w);
  t_at(0);
  if (err) return err;
  uint64_t name = t_name_of(&g, stream);
  seen_before(&g, name);
  *nclaimed = name;
  done(&g, name, nclaimed);
  return 0;
}

static unsigned inside(uint64_t outgoing) { return 1 + (unsigned)(outgoing % (INSIDE - 1)); }

static unsigned empty(place *p, mp_shm_handle h) {
  unsigned n = 0;
  t_at(USE);
  CHECK(mp_shm_object_use(h, MP_TYPE_QUEUE, &t_soon) == 0);
  mp_shm_queue *q = mp_shm_object_block(h, MP_TYPE_QUEUE);
  CHECK(q);
  while (get_one(q, INNER, p->inner, &p->inner_nclaimed, &now) == 0) n++;
  t_at(DROP);
  mp_shm_object_unuse(h);
  return n;
}

static int get_outgoing(place *p, const mp_shm_wait *w) {
  mp_shm_incoming g;
  t_at(GET);
  int err = mp_shm_queue_get(outgoings, p->buf, &g, w);
  t_at(0);
  if (err) return err;
  uint64_t name = t_name_of(&g, PARCEL);
  bool again = seen_before(&g, name);
  p->nclaimed = name;
  CHECK(g.nhandles == 1);
  unsigned n = empty(p, g.handles[0]), most = inside(t_name_number(name));
  CHECK(again ? n <= most : n == most);
  done(&g, name, &p->nclaimed);
  return 0;
}

static void send_outgoing(unsigned lane, uint64_t n) {
  mp_shm_handle h;
  t_at(MAKE);
  mp_shm_queue *q = t_queue(0, &h);
  for (unsigned i = 0; i < inside(n); i++) put(q, t_name(INNER, lane, n * INSIDE + i), 6, 0);
  put(outgoings, t_name(PARCEL, lane, n), 4, h);
  t_at(DROP);
  mp_shm_object_unuse(h);
}

static void put_next(place *p, unsigned i) {
  uint64_t n = ++p->intent;
  if (stream_of(i) == PLAIN)
    put(plain, t_name(PLAIN, lane_of(i), n), 12, 0);
  else
    send_outgoing(lane_of(i), n);
  p->done = n;
  t_ended();
}

static void put_all(place *p, unsigned i) {
  while (!t_stopping() && p->intent < T_NAMES_MOST / INSIDE - 1) {
    while (stream_of(i) == PARCEL && mp_shm_queue_size(outgoings) > PARCELS_MOST && !t_stopping()) usleep(POLL_US);
    put_next(p, i);
  }
  p->ended = 1;
}

static void get_all(place *p, unsigned i) {
  int err;
  while ((err = stream_of(i) == PLAIN ? get_one(plain, PLAIN, p->buf, &p->nclaimed, &t_soon)
                                      : get_outgoing(p, &t_soon)) == 0)
    t_ended();
  CHECK(err == -EPIPE);
}

static void work(unsigned i) { (puts_messages(i) ? put_all : get_all)(&b->places[i], i); }

/* --- the audit --- */

static uint64_t name_in(const char *buf) { return *(const uint64_t *)(const void *)buf; }

static void excuse_hand(uint64_t name, unsigned stream) {
  if (name < STREAMS * T_LANES * T_NAMES_MOST && t_is_name(name, stream)) t_name_note(name, T_HAND);
}

/* What the one that was killed in place i was at. */
static void died(unsigned i) {
  place *p = &b->places[i];
  unsigned stream = stream_of(i);
  t_count->abandoned +=
      t_abandoned_locks(plain) + t_abandoned_locks(outgoings) + mp_os_mutex_abandoned(&mp_shm_header->lock);
  if (puts_messages(i)) {
    if (p->intent != p->done) t_name_note(t_name(stream, lane_of(i), p->intent), T_CUT);
    p->done = p->intent;
    return;
  }
  excuse_hand(name_in(p->buf + (stream == PARCEL ? sizeof(mp_shm_handle) : 0)), stream);
  excuse_hand(p->nclaimed, stream);
  excuse_hand(name_in(p->inner), INNER);
  excuse_hand(p->inner_nclaimed, INNER);
  p->nclaimed = p->inner_nclaimed = 0;
}

typedef struct verdict {
  uint64_t cut, hand, with_outgoing;
} verdict;

static void judge(verdict *v, uint64_t name, bool outgoing_unrecorded) {
  uint8_t facts = t_name_facts(name);
  if (facts & T_RECEIVED) return;
  if (facts & T_HAND)
    v->hand++;
  else if (facts & T_CUT)
    v->cut++;
  else if (outgoing_unrecorded)
    v->with_outgoing++;
  else if (t_count->lost++ < SHOWN)
    fprintf(stderr, "lost: stream %u, name %lx\n", t_name_stream(name), (long)name);
}

static void judge_lane(verdict *v, unsigned i) {
  for (uint64_t n = 1; n <= b->places[i].intent; n++) {
    uint64_t name = t_name(stream_of(i), lane_of(i), n);
    bool unrecorded = !(t_name_facts(name) & T_RECEIVED);
    judge(v, name, false);
    for (unsigned k = 0; stream_of(i) == PARCEL && k < inside(n); k++)
      judge(v, t_name(INNER, lane_of(i), n * INSIDE + k), unrecorded);
  }
}

static void audit(void) {
  place *p = &b->places[WORKERS];
  verdict v = {0, 0, 0};
  while (get_one(plain, PLAIN, p->buf, &p->nclaimed, &now) == 0) continue;
  while (get_outgoing(p, &now) == 0) continue;
  for (unsigned i = 0; i < PUTTERS; i++) judge_lane(&v, i);
  printf("  %lu messages, %lu outgoing with %lu inside; %lu large ones, %lu returned\n", (long)b->got[PLAIN],
         (long)b->got[PARCEL], (long)b->got[INNER], (long)b->had_large, (long)b->returned);
  printf("  not received: %lu cut short, %lu in a dead hand, %lu with their carrier\n", (long)v.cut, (long)v.hand,
         (long)v.with_outgoing);
  CHECK(v.hand <= 2 * t_kills && v.cut <= t_kills);
  mp_shm_object_unuse(plain_h);
  mp_shm_object_unuse(outgoings_h);
}

/* --- beginning and end --- */

static void set_up(void) {
  mp_shm_queue_inline_max = INLINE_MOST;
  t_names_set_up(STREAMS);
  b = t_shared(sizeof *b);
  plain = t_queue(ROOM, &plain_h);
  outgoings = t_queue(0, &outgoings_h);
}

static void stop(void) {
  for (unsigned i = 0; i < PUTTERS; i++)
    if (!b->places[i].ended) return;
  CHECK(mp_shm_queue_close(plain, &t_soon) == 0 && mp_shm_queue_close(outgoings, &t_soon) == 0);
}

static void show(void) {
  t_show_queue("plain", plain);
  t_show_queue("outgoing", outgoings);
}

int main(void) {
  static const t_campaign c = {
      .users = "queues",
      .operations = {NULL, "put", "get", "done", "make", "drop", "use"},
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
