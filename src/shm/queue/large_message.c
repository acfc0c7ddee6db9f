/* SPDX-License-Identifier: MIT */
/*
 * Messages in chunks of their own: large ones, leased ones, and those that come back. The states stand in chunk.h, the
 * queue's words in queue.h.
 */
#include <errno.h>
#include <unistd.h>

#include "shm/queue/internal.h"

#define EXTENT_ALIGN 16u
#define PATIENCE 1000u /* looks at a busy lock by a finalizer */

uint32_t mp_shm_queue_inline_max = MP_INLINE_MAX;

static const mp_shm_wait brief = {0, NULL, NULL}; /* MP_GRACE, for what must not keep a call past its time */

static mp_shm_queue *queue_of(uint64_t i) {
  return mp_shm_chunk_data(mp_shm_object_at(mp_shm_chunk_at(i)->object)->chunk);
}

/* --- what could not be done in time: at the next call --- */

MP_PROCESS_LOCAL uint32_t
    mp_shm_deferred; /* a list through mp_shm_chunk.next, index + 1; a fork inherits the word, not the chunks */
static MP_PROCESS_LOCAL mp_shm_proc_ref late_owner;

/* A large message in our hands whose fate is decided, HELD: free, READING: back to its queue, which is kept alive for it. */
static void defer(uint64_t i) {
  if (mp_shm_inherited(late_owner)) mp_shm_deferred = 0;
  late_owner = mp_shm_proc_self();
  mp_shm_object_use_kept(mp_shm_object_handle(mp_shm_chunk_at(i)->object));
  mp_shm_chunk_at(i)->next = mp_shm_deferred;
  mp_shm_deferred = (uint32_t)i + 1;
}

/* --- making --- */

static uint64_t large_data_at(uint32_t nhandles) {
  return (sizeof(mp_shm_large) + (uint64_t)nhandles * 8 + EXTENT_ALIGN - 1) & ~(uint64_t)(EXTENT_ALIGN - 1);
}

/* Claims a chunk for a message, HELD by this process: index or an error. */
static int64_t claim_large(mp_shm_queue *q, uint64_t bytes, const mp_shm_wait *w) {
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  if (!MP_MUTANT(CLAIMED)) mp_shm_proc_add_claimed(1);
  int64_t i = mp_shm_chunk_claim(bytes, MP_HELD, mp_shm_my_slot, q->slot, NULL);
  if (MP_MUTANT(CLAIMED)) mp_shm_proc_add_claimed(1);
  if (i < 0) mp_shm_proc_add_claimed(-1);
  mp_shm_arena_unlock();
  return i;
}

/* False when the arena lock is not to be had: somebody is stopped with it. */
static bool try_free(uint64_t i) {
  if (mp_shm_arena_lock(&brief) != 0) return false;
  mp_shm_chunk_free(i);
  mp_shm_proc_add_claimed(-1);
  mp_shm_arena_unlock();
  return true;
}

void mp_shm_large_drop(int64_t i) {
  if (i < 0) return;
  mp_shm_chunk_unload((uint64_t)i);
  if (!try_free((uint64_t)i)) defer((uint64_t)i);
}

int64_t mp_shm_large_make(mp_shm_queue *q, const mp_shm_outgoing *m, const mp_shm_wait *w) {
  uint64_t at = large_data_at(m->nhandles);
  int64_t i = claim_large(q, at + m->len, w);
  if (i < 0) return i;
  mp_shm_large *x = mp_shm_chunk_data((uint64_t)i);
  x->len = m->len;
  x->nhandles = m->nhandles;
  if (m->nhandles) memcpy(x + 1, m->handles, m->nhandles * sizeof *m->handles);
  mp_shm_gather((char *)x + at, m);
  return i;
}

/* --- taking --- */

bool mp_shm_large_carries(uint64_t i) { return ((mp_shm_large *)mp_shm_chunk_data(i))->nhandles != 0; }

static int64_t oldest(mp_shm_queue *q, unsigned state) {
  int64_t best = -1;
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i)) {
    mp_shm_chunk *c = mp_shm_chunk_at((uint64_t)i);
    uint64_t st = c->st;
    if (mp_shm_chunk_state(st) != state || mp_shm_chunk_tag(st) != q->slot) continue;
    if (best < 0 || c->seq < mp_shm_chunk_at((uint64_t)best)->seq) best = i;
  }
  return best;
}

int64_t mp_shm_large_returned(mp_shm_queue *q) { return oldest(q, MP_RETURNED); }

static void open_large(mp_shm_incoming *g, int64_t i) {
  mp_shm_large *x = mp_shm_chunk_data((uint64_t)i);
  uint32_t n = x->nhandles;
  *g = (mp_shm_incoming){.data = (char *)x + large_data_at(n),
                         .len = x->len,
                         .seq = mp_shm_chunk_at((uint64_t)i)->seq,
                         .handles = (mp_shm_handle *)(x + 1),
                         .nhandles = n,
                         .large = i};
}

bool mp_shm_large_passes(const mp_shm_queue_test *t, uint64_t i) {
  mp_shm_incoming g;
  open_large(&g, (int64_t)i);
  return t->passes(t->arg, g.data, g.len);
}

void mp_shm_large_take(mp_shm_incoming *g, uint64_t i, bool lease) {
  mp_shm_proc_add_claimed(1);
  mp_shm_chunk_at(i)->lessee = lease ? (uint32_t)mp_shm_proc_at(mp_shm_my_slot)->pid : 0;
  mp_shm_chunk_set(i, MP_READING, mp_shm_my_slot);
  open_large(g, (int64_t)i);
}

int mp_shm_lease_inline(mp_shm_queue *q, const mp_shm_record *r, mp_shm_incoming *g, const mp_shm_wait *w) {
  uint32_t n = r->nhandles;
  mp_shm_iovec data = {(const char *)(r + 1) + n * 8, r->bytes - n * 8};
  mp_shm_outgoing m = {&data, 1, data.len, (const mp_shm_handle *)(r + 1), n};
  int64_t i = mp_shm_large_make(q, &m, w);
  if (i < 0) return (int)i;
  mp_shm_chunk *c = mp_shm_chunk_at((uint64_t)i);
  c->seq = r->seq;
  c->lessee = (uint32_t)mp_shm_proc_at(mp_shm_my_slot)->pid;
  q->had_large = 1;
  q->lease_head = atomic_load_explicit(&q->head, memory_order_relaxed);
  atomic_store_explicit(&q->leasing, (uint32_t)i + 1, memory_order_release);
  mp_shm_chunk_set((uint64_t)i, MP_READING, mp_shm_my_slot);
  open_large(g, i);
  return 0;
}

bool mp_shm_queue_out(mp_shm_queue *q) {
  for (int64_t i = q->had_large ? mp_shm_chunk_next(0) : -1; i >= 0; i = mp_shm_chunk_after((uint64_t)i))
    if (mp_shm_chunk_at((uint64_t)i)->object == q->slot &&
        mp_shm_chunk_state(mp_shm_chunk_at((uint64_t)i)->st) == MP_READING)
      return true;
  return false;
}

/* --- after taking --- */

static void unpin(mp_shm_incoming *g) {
  for (uint32_t i = 0; g->large < 0 && i < g->nhandles; i++) mp_shm_object_unuse(g->handles[i]);
}

/* In a fork of the reader, made while it decoded, a large message is still the reader's. */
static bool is_mine(const mp_shm_incoming *g) {
  uint64_t st = mp_shm_chunk_at((uint64_t)g->large)->st;
  return mp_shm_chunk_state(st) == MP_READING && mp_shm_chunk_tag(st) == mp_shm_my_slot;
}

/* Delivered: the store that makes the large message HELD, with its handles coming out of transit in the same step. */
static bool commit_delivery(const mp_shm_incoming *g) {
  uint64_t i = (uint64_t)g->large;
  mp_shm_chunk *c = mp_shm_chunk_at(i);
  uint64_t delivered = MP_ST(MP_HELD, mp_shm_chunk_size(c->st), mp_shm_my_slot);
  if (g->nhandles && mp_shm_arena_lock(NULL) != 0) return false;
  if (g->nhandles) mp_shm_transit_begin(mp_shm_offset(g->handles), g->nhandles, mp_shm_offset(&c->st), delivered, -1);
  atomic_store_explicit(&c->st, delivered, memory_order_release);
  if (!g->nhandles) return true;
  mp_shm_transit_end();
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
  return true;
}

/* Who waits at a closed queue for what may come back learns that this will not. */
void mp_shm_queue_done(mp_shm_incoming *g) {
  unpin(g);
  if (g->large < 0 || !is_mine(g)) return;
  mp_shm_queue *q = queue_of((uint64_t)g->large);
  bool last = atomic_load_explicit(&q->closed, memory_order_relaxed);
  if (MP_MUTANT(FREE)) mp_shm_large_drop(g->large);
  if (!commit_delivery(g)) return;
  mp_shm_large_drop(g->large);
  if (last) mp_shm_wait_queue_wake_again(&q->data);
}

/* With the consumers' lock: large message i leaves our hands for the queue. */
static void returned(mp_shm_queue *q, uint64_t i) {
  mp_shm_queue_hand_back(q, i);
  mp_shm_proc_add_claimed(-1);
  mp_shm_joinable_count(q, -1);
}

/* False when the consumers' lock is not to be had. */
static bool give_back(mp_shm_queue *q, uint64_t i) {
  if (mp_shm_queue_lock(q, &q->consumers, &brief) != 0) return false;
  returned(q, i);
  mp_os_mutex_unlock(&q->consumers);
  return true;
}

static void give_back_or_later(mp_shm_queue *q, uint64_t i) {
  if (!give_back(q, i)) defer(i);
}

void mp_shm_deferred_flush(void) {
  uint32_t list = mp_shm_inherited(late_owner) ? 0 : mp_shm_deferred;
  mp_shm_deferred = 0;
  while (list) {
    uint64_t i = list - 1;
    list = mp_shm_chunk_at(i)->next;
    mp_shm_handle h = mp_shm_object_handle(mp_shm_chunk_at(i)->object);
    if (mp_shm_chunk_state(mp_shm_chunk_at(i)->st) == MP_HELD)
      mp_shm_large_drop((int64_t)i);
    else
      give_back_or_later(queue_of(i), i);
    mp_shm_object_unuse(h);
  }
}

/* An inline message comes back as a large message; its handles go in transit again with the store that makes it RETURNED. */
static int return_inline(mp_shm_queue *q, mp_shm_incoming *g) {
  static const mp_shm_wait for_ever = {MP_FOREVER, NULL, NULL};
  mp_shm_iovec iovec = {g->data, g->len};
  mp_shm_outgoing m = {&iovec, 1, g->len, g->handles, g->nhandles};
  int64_t i = mp_shm_large_make(q, &m, &for_ever);
  if (i < 0) return (int)i;
  mp_shm_chunk *c = mp_shm_chunk_at((uint64_t)i);
  c->seq = g->seq;
  q->had_large = 1;
  if (g->nhandles && mp_shm_arena_lock(NULL) == 0) {
    uint64_t on_transit = MP_ST(MP_READING, mp_shm_chunk_size(c->st), mp_shm_my_slot);
    mp_shm_transit_begin(mp_shm_chunk_offset((uint64_t)i) + sizeof(mp_shm_large), g->nhandles, mp_shm_offset(&c->st),
                         on_transit, 1);
    atomic_store_explicit(&c->st, on_transit, memory_order_release);
    mp_shm_transit_end();
    mp_shm_arena_unlock();
  }
  give_back_or_later(q, (uint64_t)i);
  unpin(g);
  return 0;
}

int mp_shm_queue_return(mp_shm_queue *q, mp_shm_incoming *g) {
  if (g->large < 0) return return_inline(q, g);
  if (is_mine(g)) give_back_or_later(q, (uint64_t)g->large);
  return 0;
}

/* --- leases --- */

/* False when it cannot be done without waiting. */
static bool try_give_back(mp_shm_queue *q, uint64_t i) {
  int r = mp_os_mutex_try(&q->consumers);
  for (unsigned k = 0; k < PATIENCE && r == -EBUSY; k++) {
    mp_os_pause();
    if (!mp_os_mutex_held(&q->consumers)) r = mp_os_mutex_try(&q->consumers);
  }
  if (r < 0) return false;
  if (r == MP_ABANDONED) {
    q->needs_recovery = 1;
    mp_os_mutex_consistent(&q->consumers);
  }
  bool clean = !q->needs_recovery; /* else recovery comes first, and may wait */
  if (clean) returned(q, i);
  mp_os_mutex_unlock(&q->consumers);
  return clean;
}

void mp_shm_lease_give_back(mp_shm_incoming *g) {
  uint64_t i = (uint64_t)g->large;
  if (is_mine(g) && !try_give_back(queue_of(i), i)) defer(i);
}

int mp_shm_queue_orphan(mp_shm_queue *q, mp_shm_incoming *g, const mp_shm_wait *w) {
  int err = mp_shm_queue_lock(q, &q->consumers, w);
  if (err) return err;
  int64_t i = oldest(q, MP_ORPHANED);
  if (i >= 0) {
    uint32_t lessee = mp_shm_chunk_at((uint64_t)i)->lessee;
    mp_shm_large_take(g, (uint64_t)i, true);
    mp_shm_chunk_at((uint64_t)i)->lessee = lessee;
  }
  mp_os_mutex_unlock(&q->consumers);
  return i < 0 ? -EAGAIN : 0;
}

bool mp_shm_queue_leased_by(mp_shm_queue *q, pid_t pid) {
  for (int64_t i = q->had_large ? mp_shm_chunk_next(0) : -1; i >= 0; i = mp_shm_chunk_after((uint64_t)i)) {
    const mp_shm_chunk *c = mp_shm_chunk_at((uint64_t)i);
    if (c->object == q->slot && mp_shm_chunk_state(c->st) == MP_READING && c->lessee == (uint32_t)pid) return true;
  }
  return false;
}

pid_t mp_shm_orphan_lessee(const mp_shm_incoming *g) { return (pid_t)mp_shm_chunk_at((uint64_t)g->large)->lessee; }

void mp_shm_orphan_return(mp_shm_incoming *g) {
  if (!is_mine(g)) return;
  mp_shm_chunk_set((uint64_t)g->large, MP_ORPHANED, queue_of((uint64_t)g->large)->slot);
  mp_shm_proc_add_claimed(-1);
}
