/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of making, taking and dropping a frozen graph that carries an object. Whoever has
 * the graph reads all of it; the object in it lives as long as the graph, and nothing is left at the end.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <string.h>

#include "harness.h"
#include "shm/container/frozen.h"

#define HEAVY (UINT64_C(20) << 20) /* too long to be freed under the arena lock */

enum { WORDS = 3, TEXT_AT = 128, ROOT_AT = 256, HANDLES_AT = 64, SMALL = 512, BUFFER = 1 << 16 };

static mp_shm_queue *carrier, *inner;
static mp_shm_handle carrier_h, inner_h, graph;
static const mp_shm_wait now = {0, NULL, NULL};
static _Alignas(16) char buffer[BUFFER];

/* --- a graph: { 7, "text", an object } --- */

static void write_graph(mp_shm_frozen *f, uint64_t size) {
  mp_shm_frozen_string *s = (void *)((char *)f + TEXT_AT);
  mp_shm_frozen_table *t = (void *)((char *)f + ROOT_AT);
  *s = (mp_shm_frozen_string){4, mp_shm_hash_bytes("text", 4, 1)};
  memcpy(s->bytes, "text", 5);
  *t = (mp_shm_frozen_table){WORDS, MP_FROZEN_WORDS, 0, 0};
  t->words[0] = mp_shm_frozen_word(MP_FROZEN_INT, 7);
  t->words[1] = mp_shm_frozen_word(MP_FROZEN_STRING, TEXT_AT / 8);
  t->words[2] = mp_shm_frozen_word(MP_FROZEN_OBJECT, 0);
  *(mp_shm_handle *)(void *)((char *)f + HANDLES_AT) = inner_h;
  *f = (mp_shm_frozen){.size = size, .seed = 1, .root = ROOT_AT, .handles = HANDLES_AT};
}

static void read_graph(mp_shm_handle h) {
  const mp_shm_frozen *f = mp_shm_object_block(h, MP_TYPE_FROZEN);
  const mp_shm_frozen_shape *shape;
  CHECK(f != NULL);
  mp_shm_frozen_view v = mp_shm_frozen_look(f);
  const mp_shm_frozen_table *t = mp_shm_frozen_table_at(&v, f->root, &shape);
  CHECK(t && !shape && t->narr == WORDS && mp_shm_frozen_int(t->words[0]) == 7);
  const mp_shm_frozen_string *s = mp_shm_frozen_string_at(&v, t->words[1]);
  CHECK(s && s->len == 4 && memcmp(s->bytes, "text", 5) == 0);
  CHECK(f->nhandles == 1 && mp_shm_object_live(*(const mp_shm_handle *)mp_shm_frozen_at(&v, f->handles, 8)));
}

static mp_shm_handle make(uint64_t size) {
  mp_shm_handle h;
  CHECK(mp_shm_frozen_new(size, &t_soon, &h) == 0);
  mp_shm_frozen *f = mp_shm_object_block(h, MP_TYPE_FROZEN);
  write_graph(f, size);
  CHECK(mp_shm_frozen_keep(f, 1, &t_soon) == 0);
  return h;
}

/* --- before --- */

static void an_object(void) {
  inner = t_queue(0, &inner_h);
  t_put_number(inner, 1, 64);
}

static void a_graph_of(uint64_t size) {
  an_object();
  graph = make(size);
  mp_shm_object_unuse(inner_h); /* the graph alone has it now */
}

static void a_graph(void) { a_graph_of(SMALL); }
static void a_heavy_graph(void) { a_graph_of(HEAVY); }

static void a_message(void) {
  a_graph();
  carrier = t_queue(0, &carrier_h);
  CHECK(t_put(carrier, "g", 1, &graph, 1) == 0);
  mp_shm_object_unuse(graph);
}

static void an_empty_carrier(void) {
  a_graph();
  carrier = t_queue(0, &carrier_h);
}

/* --- what is killed --- */

static void make_and_drop(void *arg) {
  (void)arg;
  mp_shm_object_unuse(make(SMALL));
}

static void make_and_send(void *arg) {
  (void)arg;
  mp_shm_handle h = make(SMALL);
  CHECK(t_put(carrier, "g", 1, &h, 1) == 0);
  mp_shm_object_unuse(h);
}

static void take_and_drop(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(carrier, buffer, &g, &now) == 0 && g.nhandles == 1);
  mp_shm_handle h = g.handles[0];
  CHECK(mp_shm_object_use(h, MP_TYPE_FROZEN, &t_soon) == 0);
  mp_shm_queue_done(&g);
  read_graph(h);
  mp_shm_object_unuse(h);
}

static void drop(void *arg) {
  (void)arg;
  mp_shm_object_unuse(graph);
}

/* Runs before the first step: the one that is killed is the last holder. */
static void drop_here(void) { mp_shm_object_unuse(graph); }

/* --- after --- */

static void after_making(void) {
  mp_shm_sweep();
  CHECK(mp_shm_object_live(inner_h) && t_get_number(inner, now) == 1);
  mp_shm_object_unuse(inner_h);
  t_nothing_left();
}

static void after_dropping(void) {
  mp_shm_sweep();
  CHECK(!mp_shm_object_live(graph) && !mp_shm_object_live(inner_h));
  t_nothing_left();
}

/* What is in the carrier can be read; with it goes all. */
static void after_carrying(void) {
  mp_shm_incoming g;
  mp_shm_sweep();
  while (mp_shm_queue_get(carrier, buffer, &g, &now) == 0) {
    CHECK(g.nhandles == 1);
    read_graph(g.handles[0]);
    mp_shm_queue_done(&g);
  }
  mp_shm_object_unuse(carrier_h);
  mp_shm_sweep();
  t_nothing_left();
}

static void after_sending(void) {
  mp_shm_object_unuse(inner_h);
  after_carrying();
}

static void object_and_carrier(void) {
  an_object();
  carrier = t_queue(0, &carrier_h);
}

static void send_one(void *arg) {
  (void)arg;
  CHECK(t_put(carrier, "g", 1, &graph, 1) == 0);
}

static void after_sending_one(void) {
  mp_shm_object_unuse(graph);
  after_carrying();
}

static void sweep(void *arg) { (void)arg, mp_shm_sweep(); }

static const t_op ops[] = {
    {"make and drop", an_object, make_and_drop, after_making, NULL, sweep},
    {"make and send", object_and_carrier, make_and_send, after_sending, NULL, NULL},
    {"send", an_empty_carrier, send_one, after_sending_one, NULL, NULL},
    {"take, read and drop", a_message, take_and_drop, after_carrying, NULL, sweep},
    {"drop by the last holder", a_graph, drop, after_dropping, drop_here, sweep},
    {"drop a heavy one", a_heavy_graph, drop, after_dropping, drop_here, NULL},
};

int main(int argc, char **argv) {
  long n = 0;
  t_start();
  long points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : NULL, &n);
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
