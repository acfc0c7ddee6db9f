/* SPDX-License-Identifier: MIT */
/*
 * Users of pipes are killed (campaign.h). In each round a sender makes a pipe, sends one end of it to some receiver through a
 * queue, sends as many messages as the round's number says, waits for an answer if the pipe goes both ways, and closes its
 * end; the receiver receives until the stream ends. The audit, by name (names.h):
 *   lost      a receiver that saw the end of a stream has had all that was sent, in order: one more at most, and only if the
 *             sender was killed.
 *   twice     no message was received twice.
 *   the end   is told to a receiver once the sender has closed its end or is dead, and to a sender that waits for its answer,
 *             or sends, once the receiver is dead: else they hang. It is told for no other reason.
 */
#include <errno.h>

#include "names.h"
#include "shm/queue/pipe_end.h"

enum { SENDERS = 4, RECEIVERS = 3, WORKERS = SENDERS + RECEIVERS, ROOM = 8 };
enum { MESSAGES = 32 }; /* numbers per round */
enum { ROUNDS = 1 << 20, INLINE_MOST = 512, EXTENT_MOST = 4000, SHOWN = 10 };
enum { MAKE = 1, HAND_OVER, SEND, RECEIVE, CLOSE, USE };

typedef struct round_of {
  _Atomic uint64_t sender, receiver; /* lives */
  _Atomic uint32_t sent, received;
  _Atomic uint32_t closed, saw_end; /* 1: the sender has closed its end; the receiver has seen the end */
} round_of;

typedef struct book {
  _Atomic uint64_t rounds[SENDERS]; /* begun */
  _Atomic uint64_t ended[SENDERS];
  _Atomic uint64_t ends_seen;
} book;

static book *b;
static round_of *rounds; /* [SENDERS][ROUNDS] */
static mp_shm_queue *exchange;
static mp_shm_handle exchange_h;
static _Alignas(16) char buffer[MP_INLINE_MAX], inner[MP_INLINE_MAX];

static round_of *round_at(unsigned lane, uint64_t n) { return &rounds[(uint64_t)lane * ROUNDS + n]; }
static uint32_t messages_of(uint64_t n) { return 1 + (uint32_t)(n % (MESSAGES - 2)); }
static bool both_ways(uint64_t n) { return n % 2; }

static void set_up(void) {
  mp_shm_queue_inline_max = INLINE_MOST;
  t_names_set_up(1);
  b = t_shared(sizeof *b);
  rounds = t_shared((size_t)SENDERS * ROUNDS * sizeof *rounds);
  exchange = t_queue(ROOM, &exchange_h);
}

/* --- the sender --- */

static int send(mp_shm_pipe_end *e, uint64_t name) {
  size_t n = (16 + t_random() % (t_random() % 8 ? INLINE_MOST - 64 : EXTENT_MOST)) & ~(size_t)7;
  mp_shm_iovec iovec = {t_name_message(name, n), n};
  mp_shm_outgoing m = {&iovec, 1, n, NULL, 0};
  t_at(SEND);
  int err = mp_shm_pipe_end_send(e, &m, &t_soon);
  t_at(0);
  return err;
}

/* That the end of the other side has come is true only if its receiver is dead. */
static void must_be_dead(const round_of *r) {
  uint64_t receiver = r->receiver;
  CHECK(!receiver || t_was_killed(receiver));
}

static void send_all(mp_shm_pipe_end *e, round_of *r, unsigned lane, uint64_t n) {
  mp_shm_incoming g;
  for (uint32_t i = 1; i <= messages_of(n); i++) {
    if (send(e, t_name(0, lane, n * MESSAGES + i)) == -EPIPE) return must_be_dead(r);
    r->sent = i;
  }
  if (!both_ways(n)) return;
  t_at(RECEIVE);
  int err = mp_shm_queue_get(mp_shm_pipe_end_in(e), inner, &g, &t_soon);
  t_at(0);
  CHECK(err == 0 || err == -EPIPE);
  if (err) return must_be_dead(r);
  CHECK(r->received == messages_of(n));
  mp_shm_queue_done(&g);
}

static void hand_over(mp_shm_handle far, unsigned lane, uint64_t n) {
  const void *message = t_name_message(t_name(0, lane, n * MESSAGES), 16);
  t_at(HAND_OVER);
  CHECK(t_put(exchange, message, 16, &far, 1) == 0);
  mp_shm_object_unuse(far);
}

static void run_round(unsigned i, uint64_t n) {
  mp_shm_handle ends[2]; /* the first receives */
  round_of *r = round_at(i, n);
  r->sender = t_workers[i].life;
  t_at(MAKE);
  CHECK(mp_shm_pipe_new(both_ways(n), &t_soon, ends) == 0);
  hand_over(ends[0], i, n);
  send_all(mp_shm_object_block(ends[1], MP_TYPE_PIPE_END), r, i, n);
  r->closed = 1;
  t_at(CLOSE);
  mp_shm_object_unuse(ends[1]);
  t_ended();
}

static void send_rounds(unsigned i) {
  while (!t_stopping() && b->rounds[i] < ROUNDS - 1) run_round(i, ++b->rounds[i]);
  b->ended[i] = 1;
}

/* --- the receiver --- */

static void came(round_of *r, uint64_t name, uint64_t begin) {
  if (t_name_receive(name) & T_RECEIVED) t_count->twice++;
  CHECK(name == begin + r->received + 1);
  r->received++;
}

static void receive_all(mp_shm_pipe_end *e, round_of *r, uint64_t begin) {
  mp_shm_incoming g;
  int err;
  for (;;) {
    t_at(RECEIVE);
    if ((err = mp_shm_queue_get(mp_shm_pipe_end_in(e), inner, &g, &t_soon)) != 0) break;
    t_at(0);
    uint64_t name = t_name_of(&g, 0);
    mp_shm_queue_done(&g);
    came(r, name, begin);
    if (mp_shm_pipe_end_out(e) && r->received == messages_of(t_name_number(begin) / MESSAGES))
      CHECK(send(e, name) == 0 || t_was_killed(r->sender));
  }
  CHECK(err == -EPIPE);
  CHECK(r->closed || t_was_killed(r->sender));
  r->saw_end = 1;
  b->ends_seen++;
}

static void use(const mp_shm_incoming *g) {
  uint64_t begin = *(const uint64_t *)g->data;
  round_of *r = round_at((unsigned)(begin / T_NAMES_MOST), t_name_number(begin) / MESSAGES);
  CHECK(g->nhandles == 1);
  t_at(USE);
  CHECK(mp_shm_object_use(g->handles[0], MP_TYPE_PIPE_END, &t_soon) == 0);
  mp_shm_handle h = g->handles[0];
  mp_shm_pipe_end *e = mp_shm_object_block(h, MP_TYPE_PIPE_END);
  CHECK(e);
  receive_all(e, r, begin);
  t_at(CLOSE);
  mp_shm_object_unuse(h);
}

static int take_one(unsigned i) {
  mp_shm_incoming g;
  int err = mp_shm_queue_get(exchange, buffer, &g, &t_soon);
  if (err) return err;
  uint64_t begin = *(const uint64_t *)g.data;
  round_at((unsigned)(begin / T_NAMES_MOST), t_name_number(begin) / MESSAGES)->receiver = t_workers[i].life;
  use(&g);
  mp_shm_queue_done(&g);
  t_ended();
  return 0;
}

static void take_all(unsigned i) {
  while (take_one(i) == 0) continue;
}

static void work(unsigned i) { (i < SENDERS ? send_rounds : take_all)(i); }

/* --- the audit --- */

static void judge(unsigned lane, uint64_t n, uint64_t *unseen) {
  const round_of *r = round_at(lane, n);
  bool cut = t_was_killed(r->sender) && !r->closed;
  if (!r->saw_end) {
    CHECK(cut || !r->receiver || t_was_killed(r->receiver));
    ++*unseen;
  } else if (r->received < r->sent || r->received > r->sent + cut || (!cut && r->received != messages_of(n))) {
    if (t_count->lost++ < SHOWN)
      fprintf(stderr, "round %lu of sender %u: sent %u, received %u\n", (long)n, lane, r->sent, r->received);
  }
}

static void audit(void) {
  uint64_t unseen = 0;
  for (unsigned i = 0; i < SENDERS; i++)
    for (uint64_t n = 1; n <= b->rounds[i]; n++) judge(i, n, &unseen);
  printf("  %lu ends of streams seen, %lu rounds not received to the end\n", (long)b->ends_seen, (long)unseen);
  CHECK(unseen <= 2 * t_kills);
  mp_shm_object_unuse(exchange_h);
}

static void stop(void) {
  for (unsigned i = 0; i < SENDERS; i++)
    if (!b->ended[i]) return;
  CHECK(mp_shm_queue_close(exchange, &t_soon) == 0);
}

int main(void) {
  static const t_campaign c = {
      .users = "pipes",
      .operations = {NULL, "make", "hand over", "send", "receive", "close", "use"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .stop = stop,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
