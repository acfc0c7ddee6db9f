/* SPDX-License-Identifier: MIT */
/*
 * campaign_test [seconds]: processes put and get while one after the other is killed at random moments (every 0 to 3 ms)
 * and started anew. Two queues: a bounded one of plain messages, and an unbounded one of parcels, each of which carries
 * the handle of a queue made for it, with messages inside, that dies with it. MP_SECONDS (5), MP_SEED (the clock);
 * with MP_STAY set, a hang stops it for a debugger.
 *
 * The audit. Every message has a name: stream, lane (its producer's place) and number. In memory that mproc knows
 * nothing of stand, per producer, the numbers it began (intent) and ended (done) to put, and a byte per name: how often
 * it was recorded as received. A name that was never recorded needs an excuse, by name:
 *   CUT   its producer was killed within that very put (intent = done + 1);
 *   HAND  a consumer was killed with it in hand. An extent: the consumer noted it before it was done with it. An inline
 *         message has no moment between the commit of get and a note, so get copies it into a buffer that lies in the
 *         audit's memory: the copy comes before the commit, and so names it. One killed between the two excuses a
 *         message that is still there; it must not have been lost in just that put or get: killpoints_test's part.
 * A message inside a parcel is also excused by its parcel: unless that was recorded, its queue may have died with it.
 * A message is recorded after mp_queue_done, the point of delivery: recorded twice is delivered twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/arena.h"

#define LANES 3
#define PRODUCERS 3
#define CONSUMERS 3
#define SENDERS 2
#define RECEIVERS 2
#define WORKERS (PRODUCERS + CONSUMERS + SENDERS + RECEIVERS)
#define MOST_NAMES (UINT64_C(1) << 26) /* per stream and lane */
#define INSIDE 4                       /* numbers per parcel; 1 to 3 are used */
#define ROOM 256                       /* plain messages in their queue */
#define PARCELS_MOST 64                /* a sender pauses above */
#define INLINE_MOST 1024
#define EXTENT_MOST 40000
#define KILL_EVERY_US 3000
#define HANG (2000 * MP_MS)
#define POLL_US 200
#define SALT UINT64_C(0x9e3779b97f4a7c15)

enum { PLAIN, PARCEL, INNER, STREAMS };
enum { COUNT = 7, SEEN = 8, CUT = 16, HAND = 32 }; /* of a name's byte. SEEN: as an extent by some consumer */

typedef struct place { /* of a worker, kept when it is killed */
  _Atomic uint64_t intent, done;
  _Atomic uint64_t inhand, inner_inhand; /* names */
  _Alignas(16) char buf[MP_INLINE_MAX];
  _Alignas(16) char inner[MP_INLINE_MAX];
} place;

typedef struct audit {
  _Atomic int stop;
  _Atomic uint64_t got[STREAMS], extents, returned, duplicates;
  place places[WORKERS + 1]; /* the last is the supervisor's */
} audit;

typedef struct role {
  void (*work)(place *p, unsigned lane);
  int stream;
  unsigned lane;
} role;

static audit *a;
static _Atomic uint8_t *bytes; /* one per name */
static mp_queue *plain, *parcels;
static mp_handle plain_h, parcels_h;
static pid_t pids[WORKERS];
static mp_proc_ref refs[WORKERS];
static uint64_t random_state, kills, ownerdead;
static const mp_wait now = {0, NULL, NULL};

static uint64_t rnd(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state >> 11;
}

/* --- names --- */

static uint64_t name_of(int stream, unsigned lane, uint64_t number) {
  return ((uint64_t)stream * LANES + lane) * MOST_NAMES + number;
}

static int stream_of(uint64_t name) { return (int)(name / (LANES * MOST_NAMES)); }
static bool is_name(uint64_t name, int stream) { return name % MOST_NAMES && stream_of(name) == stream; }
static void excuse(uint64_t name, uint8_t why) { atomic_fetch_or(&bytes[name], why); }

static void record(uint64_t name) {
  if (atomic_fetch_add(&bytes[name], 1) & COUNT) a->duplicates++;
  a->got[stream_of(name)]++;
}

/* --- messages --- */

static uint64_t content[EXTENT_MOST / 8 + 1];

/* One in `rare` is an extent. */
static size_t random_size(unsigned rare) {
  size_t n = rnd() % rare ? 16 + rnd() % (INLINE_MOST - 64) : INLINE_MOST + 8 + rnd() % (EXTENT_MOST - INLINE_MOST - 8);
  return n & ~(size_t)7;
}

static void put(mp_queue *q, uint64_t name, unsigned rare, const mp_handle *h) {
  size_t n = random_size(rare);
  content[0] = name;
  for (size_t i = 1; i < n / 8; i++) content[i] = name * SALT + i;
  CHECK(t_put(q, content, n, h, h ? 1 : 0) == 0);
}

/* Its name, its content having been looked at. */
static uint64_t open_message(const mp_got *g, int stream) {
  const uint64_t *p = g->data;
  CHECK(is_name(p[0], stream));
  for (size_t i = 1; i < g->len / 8; i++) CHECK(p[i] == p[0] * SALT + i);
  return p[0];
}

/* What is noted of an extent; true when some consumer has had it before and died. */
static bool seen_before(const mp_got *g, uint64_t name) {
  if (g->extent < 0) return false;
  a->extents++;
  bool again = atomic_fetch_or(&bytes[name], SEEN) & SEEN;
  a->returned += again;
  return again;
}

/* --- workers --- */

static int get_one(mp_queue *q, int stream, char *buf, _Atomic uint64_t *inhand, const mp_wait *w) {
  mp_got g;
  int err = mp_queue_get(q, buf, &g, w);
  if (err) return err;
  uint64_t name = open_message(&g, stream);
  seen_before(&g, name);
  *inhand = name;
  mp_queue_done(&g);
  record(name);
  *inhand = 0;
  return 0;
}

static unsigned inside(uint64_t parcel) { return 1 + (unsigned)(parcel % (INSIDE - 1)); }

static unsigned empty(place *p, mp_handle h) {
  unsigned n = 0;
  CHECK(mp_object_use(h, MP_TYPE_QUEUE, &t_soon) == 0);
  mp_queue *q = mp_object_block(h, MP_TYPE_QUEUE);
  CHECK(q);
  while (get_one(q, INNER, p->inner, &p->inner_inhand, &now) == 0) n++;
  mp_object_unuse(h);
  return n;
}

static int get_parcel(place *p, const mp_wait *w) {
  mp_got g;
  int err = mp_queue_get(parcels, p->buf, &g, w);
  if (err) return err;
  uint64_t name = open_message(&g, PARCEL);
  bool again = seen_before(&g, name);
  p->inhand = name;
  CHECK(g.nhandles == 1);
  unsigned n = empty(p, g.handles[0]);
  CHECK(again ? n <= inside(name % MOST_NAMES) : n == inside(name % MOST_NAMES));
  mp_queue_done(&g);
  record(name);
  p->inhand = 0;
  return 0;
}

static void produce(place *p, unsigned lane) {
  while (!a->stop && p->intent < MOST_NAMES - 1) {
    uint64_t n = ++p->intent;
    put(plain, name_of(PLAIN, lane, n), 12, NULL);
    p->done = n;
  }
}

static void send_parcel(unsigned lane, uint64_t n) {
  mp_handle h;
  mp_queue *q = t_queue(0, &h);
  for (unsigned i = 0; i < inside(n); i++) put(q, name_of(INNER, lane, n * INSIDE + i), 6, NULL);
  put(parcels, name_of(PARCEL, lane, n), 4, &h);
  mp_object_unuse(h);
}

static void send(place *p, unsigned lane) {
  while (!a->stop && p->intent < MOST_NAMES / INSIDE - 1) {
    while (mp_queue_size(parcels) > PARCELS_MOST && !a->stop) usleep(POLL_US);
    uint64_t n = ++p->intent;
    send_parcel(lane, n);
    p->done = n;
  }
}

static void consume(place *p, unsigned lane) {
  (void)lane;
  int err;
  do err = get_one(plain, PLAIN, p->buf, &p->inhand, &t_soon);
  while (!err);
  CHECK(err == -EPIPE);
}

static void receive(place *p, unsigned lane) {
  (void)lane;
  int err;
  do err = get_parcel(p, &t_soon);
  while (!err);
  CHECK(err == -EPIPE);
}

static const role roles[WORKERS] = {
    {produce, PLAIN, 0}, {produce, PLAIN, 1}, {produce, PLAIN, 2}, {send, PARCEL, 0},    {send, PARCEL, 1},
    {consume, PLAIN, 0}, {consume, PLAIN, 0}, {consume, PLAIN, 0}, {receive, PARCEL, 0}, {receive, PARCEL, 0},
};

static bool puts_messages(unsigned i) { return i < PRODUCERS + SENDERS; }

/* --- the supervisor --- */

static void start(unsigned i) {
  uint64_t seed = rnd() | 1;
  pid_t parent = getpid();
  CHECK(mp_proc_reserve(&refs[i]) == 0);
  pids[i] = fork();
  if (pids[i]) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(3);
  random_state = seed;
  CHECK(mp_shm_usable());
  roles[i].work(&a->places[i], roles[i].lane);
  _exit(0);
}

static uint64_t name_in(const char *buf) { return *(const uint64_t *)(const void *)buf; }

static void excuse_hand(uint64_t name, int stream) {
  if (name < STREAMS * LANES * MOST_NAMES && is_name(name, stream)) excuse(name, HAND);
}

/* What the one that was killed in place i was at. */
static void note_death(unsigned i) {
  place *p = &a->places[i];
  int stream = roles[i].stream;
  if (puts_messages(i)) {
    if (p->intent != p->done) excuse(name_of(stream, roles[i].lane, p->intent), CUT);
    p->done = p->intent;
    return;
  }
  excuse_hand(name_in(p->buf + (stream == PARCEL ? sizeof(mp_handle) : 0)), stream);
  excuse_hand(p->inhand, stream);
  excuse_hand(name_in(p->inner), INNER);
  excuse_hand(p->inner_inhand, INNER);
  p->inhand = p->inner_inhand = 0;
}

static int abandoned(const mp_queue *q) {
  return mp_os_mutex_abandoned(&q->producers) + mp_os_mutex_abandoned(&q->consumers) +
         mp_os_mutex_abandoned(&q->data.turn) + mp_os_mutex_abandoned(&q->room.turn);
}

static void kill_one(unsigned i) {
  int status;
  kill(pids[i], SIGKILL);
  CHECK(waitpid(pids[i], &status, 0) == pids[i]);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  pids[i] = 0;
  kills++;
  ownerdead += (uint64_t)(abandoned(plain) + abandoned(parcels) + mp_os_mutex_abandoned(&mp_a->lock));
  note_death(i);
  mp_proc_release(refs[i], true); /* it may not even have come up */
}

static void end_all(void) {
  for (unsigned i = 0; i < WORKERS; i++)
    if (pids[i] > 0) t_end(pids[i]);
}

static void show(const char *name, mp_queue *q) {
  fprintf(stderr,
          "  %s: head %lx tail %lx end %lx put %lu got %lu returned %u closed %u dirty %u abandoned %d bells %x %x\n",
          name, (long)q->head, (long)q->tail, (long)q->end, (long)q->nput, (long)q->ngot, q->nret, q->closed, q->dirty,
          abandoned(q), q->data.word, q->room.word);
}

static void hang(const char *what) {
  fprintf(stderr, "no progress in 2 s: %s\n", what);
  show("plain", plain);
  show("parcels", parcels);
  if (getenv("MP_STAY")) raise(SIGSTOP); /* for a debugger */
  end_all();
  exit(1);
}

/* Ends the test when a stream has stood still. */
static void watch(int stream, const char *what) {
  static uint64_t last[STREAMS], since[STREAMS];
  uint64_t t = mp_os_now();
  if (a->got[stream] != last[stream] || !since[stream]) {
    last[stream] = a->got[stream];
    since[stream] = t;
  }
  if (t > since[stream] + HANG) hang(what);
}

static void rampage(uint64_t end) {
  while (mp_os_now() < end) {
    usleep((useconds_t)(rnd() % KILL_EVERY_US));
    unsigned i = (unsigned)(rnd() % WORKERS);
    kill_one(i);
    start(i);
    watch(PLAIN, "plain messages");
    watch(PARCEL, "parcels");
  }
}

/* They have been told to end, and must within the time of a hang. */
static void await_ends(bool producers, const char *what) {
  uint64_t end = mp_os_now() + HANG;
  for (unsigned i = 0; i < WORKERS; i++) {
    int status = 0;
    if (puts_messages(i) != producers) continue;
    while (waitpid(pids[i], &status, WNOHANG) == 0) {
      usleep(POLL_US);
      if (mp_os_now() > end) hang(what);
    }
    pids[i] = 0;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    mp_proc_release(refs[i], true);
  }
}

static void finish(void) {
  place *p = &a->places[WORKERS];
  a->stop = 1;
  await_ends(true, "producers at the end");
  CHECK(mp_queue_close(plain, &t_soon) == 0 && mp_queue_close(parcels, &t_soon) == 0);
  await_ends(false, "consumers at the end");
  mp_shm_sweep();
  while (get_one(plain, PLAIN, p->buf, &p->inhand, &now) == 0) continue;
  while (get_parcel(p, &now) == 0) continue;
}

/* --- the audit's result --- */

typedef struct verdict {
  uint64_t cut, hand, with_parcel, lost;
} verdict;

static bool recorded(uint64_t name) { return bytes[name] & COUNT; }

static void judge(verdict *v, uint64_t name, bool parcel_unrecorded) {
  uint8_t b = bytes[name];
  if (b & COUNT) return;
  if (b & HAND)
    v->hand++;
  else if (b & CUT)
    v->cut++;
  else if (parcel_unrecorded)
    v->with_parcel++;
  else if (v->lost++ < 10)
    fprintf(stderr, "lost: stream %d, name %lx\n", stream_of(name), (long)name);
}

static verdict judge_all(void) {
  verdict v = {0, 0, 0, 0};
  for (unsigned i = 0; i < PRODUCERS + SENDERS; i++)
    for (uint64_t n = 1; n <= a->places[i].intent; n++) {
      uint64_t name = name_of(roles[i].stream, roles[i].lane, n);
      judge(&v, name, false);
      for (unsigned k = 0; roles[i].stream == PARCEL && k < inside(n); k++)
        judge(&v, name_of(INNER, roles[i].lane, n * INSIDE + k), !recorded(name));
    }
  return v;
}

static void report(const verdict *v) {
  printf("  %lu kills, %lu messages, %lu parcels with %lu messages inside\n", (long)kills, (long)a->got[PLAIN],
         (long)a->got[PARCEL], (long)a->got[INNER]);
  printf("  %lu extents, %lu returned, %lu abandoned locks seen\n", (long)a->extents, (long)a->returned,
         (long)ownerdead);
  printf("  not received: %lu cut short, %lu in a dead hand, %lu with their parcel\n", (long)v->cut, (long)v->hand,
         (long)v->with_parcel);
  printf("  %lu lost, %lu duplicated, 0 hangs\n", (long)v->lost, (long)a->duplicates);
}

/* --- the beginning --- */

static void *shared(size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

static void set_up(void) {
  const char *seed = getenv("MP_SEED");
  random_state = seed ? strtoull(seed, NULL, 0) : mp_os_now();
  printf("  MP_SEED=%lu\n", (long)random_state);
  random_state = random_state * SALT | 1;
  mp_queue_inline_max = INLINE_MOST;
  a = shared(sizeof *a);
  bytes = shared(STREAMS * LANES * MOST_NAMES);
  plain = t_queue(ROOM, &plain_h);
  parcels = t_queue(0, &parcels_h);
}

static double wanted_seconds(int argc, char **argv) {
  const char *s = argc > 1 ? argv[1] : getenv("MP_SECONDS");
  double seconds = s ? atof(s) : 5;
  return seconds > 0 ? seconds : 5;
}

int main(int argc, char **argv) {
  double seconds = wanted_seconds(argc, argv);
  t_start();
  t_what = "campaign";
  t_deadline((unsigned)seconds + 60);
  set_up();
  for (unsigned i = 0; i < WORKERS; i++) start(i);
  rampage(mp_os_deadline(seconds));
  finish();
  verdict v = judge_all();
  report(&v);
  CHECK(a->duplicates == 0);
  CHECK(v.lost == 0);
  CHECK(v.hand <= 2 * kills && v.cut <= kills);
  mp_object_unuse(plain_h);
  mp_object_unuse(parcels_h);
  t_nothing_left();
  printf("ok 6\n");
  return 0;
}
