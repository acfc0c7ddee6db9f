/* SPDX-License-Identifier: MIT */
/* The ends of a pipe. The words and their survivors' view stand in end.h. */
#include "shm/queue/pipe_end.h"

#include <errno.h>

#include "shm/arena/registry.h"

/* --- the end of an end --- */

static void hold_queues(mp_shm_pipe_end *e, uint64_t holding, int delta) {
  mp_shm_transit_begin(mp_shm_offset(e->queues), e->nqueues, mp_shm_offset(&e->holding), holding, delta);
  atomic_store_explicit(&e->holding, holding, memory_order_release);
  mp_shm_transit_end();
}

static void destroy(uint32_t slot, void *block, bool thorough) {
  mp_shm_pipe_end *e = block;
  (void)slot, (void)thorough;
  if (!e->holding) return;
  if (MP_MUTANT(END)) hold_queues(e, 0, -1);
  if (e->in) {
    mp_shm_queue_mark_closed(mp_shm_pipe_end_in(e));
    mp_shm_queue_drop_messages(mp_shm_pipe_end_in(e));
  }
  if (e->out) mp_shm_queue_mark_closed(mp_shm_pipe_end_out(e));
  if (!MP_MUTANT(END)) hold_queues(e, 0, -1);
}

const mp_shm_object_type_info mp_shm_pipe_end_type = {.destroy = destroy};

/* --- birth --- */

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot;
  *(mp_shm_pipe_end *)block = *(const mp_shm_pipe_end *)arg;
}

static uint64_t add_queue(mp_shm_pipe_end *e, mp_shm_handle q) {
  if (!q) return 0;
  e->queues[e->nqueues++] = q;
  return mp_shm_offset(mp_shm_object_block(q, MP_TYPE_QUEUE));
}

static int new_end(mp_shm_handle in, mp_shm_handle out, const mp_shm_wait *w, mp_shm_handle *h) {
  mp_shm_pipe_end e = {.kind = in && out ? MP_PIPE_END_DUPLEX : in ? MP_PIPE_END_RECEIVES : MP_PIPE_END_SENDS};
  e.in = add_queue(&e, in);
  e.out = add_queue(&e, out);
  return mp_shm_object_new(MP_TYPE_PIPE_END, sizeof e, init, &e, w, h);
}

/* From here on the queues live as long as the ends. */
static int hold_all(const mp_shm_handle ends[2], const mp_shm_wait *w) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  for (int i = 0; i < 2; i++) hold_queues(mp_shm_object_block(ends[i], MP_TYPE_PIPE_END), 1, 1);
  mp_shm_arena_unlock();
  return 0;
}

static void unuse(mp_shm_handle h) {
  if (h) mp_shm_object_unuse(h);
}

/* to: the queue to the first end; fro: from it. */
int mp_shm_pipe_new(bool duplex, const mp_shm_wait *w, mp_shm_handle ends[2]) {
  mp_shm_handle to = 0, fro = 0;
  ends[0] = ends[1] = 0;
  int err = mp_shm_queue_new(0, 0, w, &to);
  if (!err && duplex) err = mp_shm_queue_new(0, 0, w, &fro);
  if (!err) err = new_end(to, fro, w, &ends[0]);
  if (!err) err = new_end(fro, to, w, &ends[1]);
  if (!err) err = hold_all(ends, w);
  unuse(to);
  unuse(fro);
  if (err) unuse(ends[0]), unuse(ends[1]);
  return err;
}

/* --- use --- */

int mp_shm_pipe_end_send(mp_shm_pipe_end *e, const mp_shm_outgoing *m, const mp_shm_wait *w) {
  mp_shm_queue *q = mp_shm_pipe_end_out(e);
  mp_shm_sweep_now_and_then();
  return q->closed ? -EPIPE : mp_shm_queue_put(q, m, w);
}
