/* SPDX-License-Identifier: MIT */
/*
 * Messages in chunks of their own: large ones, leased ones, and those that come back. The states stand in chunk.h, the
 * queue's words in queue.h.
 */
#include <errno.h>
#include <unistd.h>

#include "shm/queue_inside.h"

#define EXTENT_ALIGN 16u
#define PATIENCE 1000u /* looks at a busy lock by a finalizer */

uint32_t mp_queue_inline_max = MP_INLINE_MAX;

static const mp_wait brief = {0, NULL, NULL}; /* MP_GRACE, for what must not keep a call past its time */

static mp_queue *queue_of(uint64_t i) { return mp_chunk_data(mp_object_at(mp_chunk_at(i)->object)->chunk); }

/* --- what could not be done in time: at the next call --- */

MP_OWN uint32_t mp_late; /* a list through mp_chunk.next, index + 1; a fork inherits the word, not the chunks */
static MP_OWN mp_proc_ref late_owner;

/* An extent in our hands whose fate is decided, HELD: free, READING: back to its queue, which is kept alive for it. */
static void put_off(uint64_t i) {
  if (late_owner != mp_proc_self()) mp_late = 0;
  late_owner = mp_proc_self();
  mp_object_use_kept(mp_object_handle(mp_chunk_at(i)->object));
  mp_chunk_at(i)->next = mp_late;
  mp_late = (uint32_t)i + 1;
}

/* --- making --- */

static uint64_t extent_data_at(uint32_t nhandles) {
  return (sizeof(mp_extent) + (uint64_t)nhandles * 8 + EXTENT_ALIGN - 1) & ~(uint64_t)(EXTENT_ALIGN - 1);
}

/* Claims a chunk for a message, HELD by this process: index or an error. */
static int64_t claim_extent(mp_queue *q, uint64_t bytes, const mp_wait *w) {
  int err = mp_arena_lock(w);
  if (err) return err;
  if (!MP_BROKEN(INHAND)) mp_proc_inhand(1);
  int64_t i = mp_chunk_claim(bytes, MP_HELD, mp_me, q->slot, NULL);
  if (MP_BROKEN(INHAND)) mp_proc_inhand(1);
  if (i < 0) mp_proc_inhand(-1);
  mp_arena_unlock();
  return i;
}

/* False when the arena lock is not to be had: somebody is stopped with it. */
static bool try_free(uint64_t i) {
  if (mp_arena_lock(&brief) != 0) return false;
  mp_chunk_free(i);
  mp_proc_inhand(-1);
  mp_arena_unlock();
  return true;
}

void mp_extent_drop(int64_t i) {
  if (i < 0) return;
  mp_chunk_unload((uint64_t)i);
  if (!try_free((uint64_t)i)) put_off((uint64_t)i);
}

int64_t mp_extent_make(mp_queue *q, const mp_parcel *m, const mp_wait *w) {
  uint64_t at = extent_data_at(m->nhandles);
  int64_t i = claim_extent(q, at + m->len, w);
  if (i < 0) return i;
  mp_extent *x = mp_chunk_data((uint64_t)i);
  x->len = m->len;
  x->nhandles = m->nhandles;
  if (m->nhandles) memcpy(x + 1, m->handles, m->nhandles * sizeof *m->handles);
  mp_gather((char *)x + at, m);
  return i;
}

/* --- taking --- */

static int64_t oldest(mp_queue *q, unsigned state) {
  int64_t best = -1;
  for (int64_t i = mp_chunk_next(0); i >= 0; i = mp_chunk_after((uint64_t)i)) {
    mp_chunk *c = mp_chunk_at((uint64_t)i);
    uint64_t st = c->st;
    if (mp_st_state(st) != state || mp_st_tag(st) != q->slot) continue;
    if (best < 0 || c->seq < mp_chunk_at((uint64_t)best)->seq) best = i;
  }
  return best;
}

int64_t mp_extent_returned(mp_queue *q) { return oldest(q, MP_RETURNED); }

static void open_extent(mp_got *g, int64_t i) {
  mp_extent *x = mp_chunk_data((uint64_t)i);
  uint32_t n = x->nhandles;
  *g = (mp_got){.data = (char *)x + extent_data_at(n),
                .len = x->len,
                .seq = mp_chunk_at((uint64_t)i)->seq,
                .handles = (mp_handle *)(x + 1),
                .nhandles = n,
                .extent = i};
}

bool mp_extent_passes(const mp_queue_test *t, uint64_t i) {
  mp_got g;
  open_extent(&g, (int64_t)i);
  return t->passes(t->arg, g.data, g.len);
}

void mp_extent_take(mp_got *g, uint64_t i, bool lease) {
  mp_proc_inhand(1);
  mp_chunk_at(i)->lessee = lease ? (uint32_t)mp_proc_at(mp_me)->pid : 0;
  mp_chunk_set(i, MP_READING, mp_me);
  open_extent(g, (int64_t)i);
}

int mp_lease_inline(mp_queue *q, const mp_record *r, mp_got *g, const mp_wait *w) {
  uint32_t n = r->nhandles;
  mp_piece data = {(const char *)(r + 1) + n * 8, r->bytes - n * 8};
  mp_parcel m = {&data, 1, data.len, (const mp_handle *)(r + 1), n};
  int64_t i = mp_extent_make(q, &m, w);
  if (i < 0) return (int)i;
  mp_chunk *c = mp_chunk_at((uint64_t)i);
  c->seq = r->seq;
  c->lessee = (uint32_t)mp_proc_at(mp_me)->pid;
  q->extents = 1;
  q->lease_head = atomic_load_explicit(&q->head, memory_order_relaxed);
  atomic_store_explicit(&q->leasing, (uint32_t)i + 1, memory_order_release);
  mp_chunk_set((uint64_t)i, MP_READING, mp_me);
  open_extent(g, i);
  return 0;
}

bool mp_queue_out(mp_queue *q) {
  for (int64_t i = q->extents ? mp_chunk_next(0) : -1; i >= 0; i = mp_chunk_after((uint64_t)i))
    if (mp_chunk_at((uint64_t)i)->object == q->slot && mp_st_state(mp_chunk_at((uint64_t)i)->st) == MP_READING)
      return true;
  return false;
}

/* --- after taking --- */

static void unpin(mp_got *g) {
  for (uint32_t i = 0; g->extent < 0 && i < g->nhandles; i++) mp_object_unuse(g->handles[i]);
}

/* In a fork of the reader, made while it decoded, an extent is still the reader's. */
static bool is_mine(const mp_got *g) {
  uint64_t st = mp_chunk_at((uint64_t)g->extent)->st;
  return mp_st_state(st) == MP_READING && mp_st_tag(st) == mp_me;
}

/* Delivered: the store that makes the extent HELD, with its handles coming off flight in the same step. */
static bool commit_delivery(const mp_got *g) {
  uint64_t i = (uint64_t)g->extent;
  mp_chunk *c = mp_chunk_at(i);
  uint64_t delivered = MP_ST(MP_HELD, mp_st_order(c->st), mp_me);
  if (g->nhandles && mp_arena_lock(NULL) != 0) return false;
  if (g->nhandles) mp_flight_begin(mp_offset(g->handles), g->nhandles, mp_offset(&c->st), delivered, -1);
  atomic_store_explicit(&c->st, delivered, memory_order_release);
  if (!g->nhandles) return true;
  mp_flight_end();
  mp_object_bury(false);
  mp_arena_unlock();
  return true;
}

/* Who waits at a closed queue for what may come back learns that this will not. */
void mp_queue_done(mp_got *g) {
  unpin(g);
  if (g->extent < 0 || !is_mine(g)) return;
  mp_queue *q = queue_of((uint64_t)g->extent);
  bool last = atomic_load_explicit(&q->closed, memory_order_relaxed);
  if (MP_BROKEN(FREE)) mp_extent_drop(g->extent);
  if (!commit_delivery(g)) return;
  mp_extent_drop(g->extent);
  if (last) mp_bell_ring_again(&q->data);
}

/* With the consumers' lock: extent i leaves our hands for the queue. */
static void returned(mp_queue *q, uint64_t i) {
  mp_queue_hand_back(q, i);
  mp_proc_inhand(-1);
  mp_joinable_count(q, -1);
}

/* False when the consumers' lock is not to be had. */
static bool give_back(mp_queue *q, uint64_t i) {
  if (mp_queue_lock(q, &q->consumers, &brief) != 0) return false;
  returned(q, i);
  mp_os_mutex_unlock(&q->consumers);
  return true;
}

static void give_back_or_later(mp_queue *q, uint64_t i) {
  if (!give_back(q, i)) put_off(i);
}

void mp_late_flush(void) {
  uint32_t list = late_owner == mp_proc_self() ? mp_late : 0;
  mp_late = 0;
  while (list) {
    uint64_t i = list - 1;
    list = mp_chunk_at(i)->next;
    mp_handle h = mp_object_handle(mp_chunk_at(i)->object);
    if (mp_st_state(mp_chunk_at(i)->st) == MP_HELD)
      mp_extent_drop((int64_t)i);
    else
      give_back_or_later(queue_of(i), i);
    mp_object_unuse(h);
  }
}

/* An inline message comes back as an extent; its handles go on flight again with the store that makes it RETURNED. */
static int return_inline(mp_queue *q, mp_got *g) {
  static const mp_wait for_ever = {MP_FOREVER, NULL, NULL};
  mp_piece piece = {g->data, g->len};
  mp_parcel m = {&piece, 1, g->len, g->handles, g->nhandles};
  int64_t i = mp_extent_make(q, &m, &for_ever);
  if (i < 0) return (int)i;
  mp_chunk *c = mp_chunk_at((uint64_t)i);
  c->seq = g->seq;
  q->extents = 1;
  if (g->nhandles && mp_arena_lock(NULL) == 0) {
    uint64_t on_flight = MP_ST(MP_READING, mp_st_order(c->st), mp_me);
    mp_flight_begin(mp_chunk_offset((uint64_t)i) + sizeof(mp_extent), g->nhandles, mp_offset(&c->st), on_flight, 1);
    atomic_store_explicit(&c->st, on_flight, memory_order_release);
    mp_flight_end();
    mp_arena_unlock();
  }
  give_back_or_later(q, (uint64_t)i);
  unpin(g);
  return 0;
}

int mp_queue_return(mp_queue *q, mp_got *g) {
  if (g->extent < 0) return return_inline(q, g);
  if (is_mine(g)) give_back_or_later(q, (uint64_t)g->extent);
  return 0;
}

/* --- leases --- */

/* False when it cannot be done without waiting. */
static bool try_give_back(mp_queue *q, uint64_t i) {
  int r = mp_os_mutex_try(&q->consumers);
  for (unsigned k = 0; k < PATIENCE && r == -EBUSY; k++) {
    mp_os_pause();
    if (!mp_os_mutex_held(&q->consumers)) r = mp_os_mutex_try(&q->consumers);
  }
  if (r < 0) return false;
  if (r == MP_ABANDONED) {
    q->dirty = 1;
    mp_os_mutex_consistent(&q->consumers);
  }
  bool clean = !q->dirty; /* else repair comes first, and may wait */
  if (clean) returned(q, i);
  mp_os_mutex_unlock(&q->consumers);
  return clean;
}

void mp_lease_give_back(mp_got *g) {
  uint64_t i = (uint64_t)g->extent;
  if (is_mine(g) && !try_give_back(queue_of(i), i)) put_off(i);
}

int mp_queue_orphan(mp_queue *q, mp_got *g, const mp_wait *w) {
  int err = mp_queue_lock(q, &q->consumers, w);
  if (err) return err;
  int64_t i = oldest(q, MP_ORPHANED);
  if (i >= 0) {
    uint32_t lessee = mp_chunk_at((uint64_t)i)->lessee;
    mp_extent_take(g, (uint64_t)i, true);
    mp_chunk_at((uint64_t)i)->lessee = lessee;
  }
  mp_os_mutex_unlock(&q->consumers);
  return i < 0 ? -EAGAIN : 0;
}

bool mp_queue_leased_by(mp_queue *q, pid_t pid) {
  for (int64_t i = q->extents ? mp_chunk_next(0) : -1; i >= 0; i = mp_chunk_after((uint64_t)i)) {
    const mp_chunk *c = mp_chunk_at((uint64_t)i);
    if (c->object == q->slot && mp_st_state(c->st) == MP_READING && c->lessee == (uint32_t)pid) return true;
  }
  return false;
}

pid_t mp_orphan_lessee(const mp_got *g) { return (pid_t)mp_chunk_at((uint64_t)g->extent)->lessee; }

void mp_orphan_return(mp_got *g) {
  if (!is_mine(g)) return;
  mp_chunk_set((uint64_t)g->extent, MP_ORPHANED, queue_of((uint64_t)g->extent)->slot);
  mp_proc_inhand(-1);
}
