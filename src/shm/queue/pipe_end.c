/* SPDX-License-Identifier: MIT */
/* The ends of a pipe. The words and their survivors' view stand in end.h. */
#include "shm/end.h"

#include <errno.h>

#include "shm/registry.h"

/* --- the end of an end --- */

static void hold_queues(mp_end *e, uint64_t holding, int delta) {
  mp_flight_begin(mp_offset(e->queues), e->nqueues, mp_offset(&e->holding), holding, delta);
  atomic_store_explicit(&e->holding, holding, memory_order_release);
  mp_flight_end();
}

static void destroy(uint32_t slot, void *block, bool thorough) {
  mp_end *e = block;
  (void)slot, (void)thorough;
  if (!e->holding) return;
  if (MP_BROKEN(END)) hold_queues(e, 0, -1);
  if (e->in) {
    mp_queue_mark_closed(mp_end_in(e));
    mp_queue_forsake(mp_end_in(e));
  }
  if (e->out) mp_queue_mark_closed(mp_end_out(e));
  if (!MP_BROKEN(END)) hold_queues(e, 0, -1);
}

void mp_end_setup(void) {
  static const mp_type type = {.destroy = destroy};
  mp_object_type(MP_TYPE_END, &type);
}

/* --- birth --- */

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  *(mp_end *)block = *(const mp_end *)arg;
}

static uint64_t add_queue(mp_end *e, mp_handle q) {
  if (!q) return 0;
  e->queues[e->nqueues++] = q;
  return mp_offset(mp_object_block(q, MP_TYPE_QUEUE));
}

static int new_end(mp_handle in, mp_handle out, const mp_wait *w, mp_handle *h) {
  mp_end e = {.kind = in && out ? MP_END_DUPLEX : in ? MP_END_RECEIVES : MP_END_SENDS};
  e.in = add_queue(&e, in);
  e.out = add_queue(&e, out);
  return mp_object_new(MP_TYPE_END, sizeof e, init, &e, w, h);
}

/* From here on the queues live as long as the ends. */
static int hold_all(const mp_handle ends[2], const mp_wait *w) {
  int err = mp_arena_lock(w);
  if (err) return err;
  for (int i = 0; i < 2; i++) hold_queues(mp_object_block(ends[i], MP_TYPE_END), 1, 1);
  mp_arena_unlock();
  return 0;
}

static void unuse(mp_handle h) {
  if (h) mp_object_unuse(h);
}

/* to: the queue to the first end; fro: from it. */
int mp_pipe_new(bool duplex, const mp_wait *w, mp_handle ends[2]) {
  mp_handle to = 0, fro = 0;
  ends[0] = ends[1] = 0;
  int err = mp_queue_new(0, 0, w, &to);
  if (!err && duplex) err = mp_queue_new(0, 0, w, &fro);
  if (!err) err = new_end(to, fro, w, &ends[0]);
  if (!err) err = new_end(fro, to, w, &ends[1]);
  if (!err) err = hold_all(ends, w);
  unuse(to);
  unuse(fro);
  if (err) unuse(ends[0]), unuse(ends[1]);
  return err;
}

/* --- use --- */

int mp_end_send(mp_end *e, const mp_parcel *m, const mp_wait *w) {
  mp_queue *q = mp_end_out(e);
  mp_shm_sweep_now_and_then();
  return q->closed ? -EPIPE : mp_queue_put(q, m, w);
}
