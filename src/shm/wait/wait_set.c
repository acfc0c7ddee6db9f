/* SPDX-License-Identifier: MIT */
/* The table of what this process observes, and the waker's walk through those of others. The words stand in wait_set.h. */
#include "shm/wait/wait_set.h"

#include <errno.h>
#include <string.h>

#include "shm/arena/chunk.h"
#include "shm/arena/proc.h"

enum {
  MOST = 1 << 20, /* entries of a table */
  TRIES = 4       /* a table that is replaced more often while it is read costs a slice */
};

typedef struct pipe_ref {
  _Atomic uint64_t inode;
  _Atomic int32_t fd;
  uint32_t pad;
} pipe_ref;

typedef struct table { /* wait queue[room], then pipe_ref[room]: a waker reads all wait queues and few pipes */
  _Atomic mp_shm_proc_ref owner;
  _Atomic uint32_t room;
  _Atomic uint32_t n;
  _Atomic uint64_t wait_queue[];
} table;

MP_PROCESS_LOCAL uint64_t mp_shm_wait_set_table;
MP_PROCESS_LOCAL uint32_t mp_shm_wait_set_kept;

static table *table_at(uint64_t chunk_1) { return mp_shm_chunk_data(chunk_1 - 1); }
static pipe_ref *pipes_of(table *t, uint32_t room) { return (pipe_ref *)(t->wait_queue + room); }
static uint32_t room_now(void) { return mp_shm_wait_set_table ? table_at(mp_shm_wait_set_table)->room : 0; }

/* --- the table --- */

static uint32_t room_in(uint64_t bytes) {
  return (uint32_t)((bytes - sizeof(table)) / (sizeof(uint64_t) + sizeof(pipe_ref)));
}

/* With the arena lock. */
static int64_t claim(uint32_t n) {
  mp_shm_proc_add_claimed(1);
  int64_t i = mp_shm_chunk_claim(sizeof(table) + n * (sizeof(uint64_t) + sizeof(pipe_ref)), MP_HELD, mp_shm_my_slot,
                                 UINT32_MAX, NULL);
  if (i < 0) mp_shm_proc_add_claimed(-1);
  return i;
}

static void free_chunk(uint64_t chunk_1) {
  mp_shm_chunk_free(chunk_1 - 1);
  mp_shm_proc_add_claimed(-1);
}

static void copy(table *to, table *from) {
  memcpy((void *)to->wait_queue, (void *)from->wait_queue, from->n * sizeof *to->wait_queue);
  memcpy((void *)pipes_of(to, to->room), (void *)pipes_of(from, from->room), from->n * sizeof(pipe_ref));
  to->n = from->n;
}

static void publish(uint64_t chunk_1) {
  atomic_store_explicit(&mp_shm_proc_at(mp_shm_my_slot)->wait_set, (uint32_t)chunk_1, memory_order_release);
  mp_shm_wait_set_table = chunk_1;
}

/* With the arena lock: a table with room for n takes the place of the present one. */
static bool replace(uint32_t n) {
  int64_t i = claim(n);
  if (i < 0) return false;
  table *t = mp_shm_chunk_data((uint64_t)i);
  t->owner = mp_shm_proc_self();
  t->room = room_in(mp_shm_chunk_bytes((uint64_t)i));
  t->n = 0;
  memset((void *)t->wait_queue, 0, t->room * sizeof *t->wait_queue);
  uint64_t old = mp_shm_wait_set_table;
  if (old) copy(t, table_at(old));
  publish((uint64_t)i + 1);
  if (old) free_chunk(old);
  return true;
}

bool mp_shm_wait_set_reserve(uint32_t n) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (n <= room_now()) return true;
  if (n > MOST || mp_shm_arena_lock(&brief) != 0) return false;
  bool done = replace(n);
  mp_shm_arena_unlock();
  return done;
}

void mp_shm_wait_set_put(uint32_t i, mp_shm_wait_queue *b, int pipe, uint64_t inode) {
  table *t = table_at(mp_shm_wait_set_table);
  pipe_ref *p = pipes_of(t, t->room) + i;
  atomic_store_explicit(&t->wait_queue[i], 0, memory_order_relaxed);
  atomic_store_explicit(&p->fd, pipe, memory_order_relaxed);
  atomic_store_explicit(&p->inode, inode, memory_order_relaxed);
  if (b) atomic_store_explicit(&t->wait_queue[i], mp_shm_offset(b), memory_order_release);
}

void mp_shm_wait_set_count(uint32_t n) {
  if (!mp_shm_wait_set_table) return;
  table *t = table_at(mp_shm_wait_set_table);
  atomic_store_explicit(&t->n, n < t->room ? n : t->room, memory_order_release);
}

/* With the arena lock. */
static void give_back(void) {
  uint64_t old = mp_shm_wait_set_table;
  publish(0);
  free_chunk(old);
}

void mp_shm_wait_set_release(void) {
  if (!mp_shm_wait_set_table || mp_shm_wait_set_kept || !mp_shm_arena_trylock()) return;
  give_back();
  mp_shm_arena_unlock();
}

MP_HOT_AFTER_FORK void mp_shm_wait_set_leaves(void) {
  static const mp_shm_wait brief = {0, NULL, NULL};
  if (!mp_shm_wait_set_table) return;
  mp_shm_wait_set_kept = 0;
  if (mp_shm_arena_lock(&brief) != 0) return;
  give_back();
  mp_shm_arena_unlock();
}

/* --- arming --- */

void mp_shm_wait_set_arm(mp_shm_wait_queue *b) {
  uint32_t v = atomic_load_explicit(&b->observed, memory_order_relaxed);
  while (!atomic_compare_exchange_weak(&b->observed, &v, (v + (MP_MUTANT(ARM) ? 0 : 2)) | 1)) {}
}

/* --- waking --- */

static bool is_live(uint32_t slot) {
  return (mp_shm_proc_state(slot) & 0xff) == MP_PROC_LIVE && !mp_shm_proc_slot_dead(slot);
}

static void poke(uint32_t slot, pipe_ref *p) {
  int fd = atomic_load_explicit(&p->fd, memory_order_relaxed);
  uint64_t inode = atomic_load_explicit(&p->inode, memory_order_relaxed);
  if (slot == mp_shm_my_slot)
    mp_os_wake_self(fd);
  else
    mp_os_wake_other(mp_shm_proc_at(slot)->pid, fd, inode);
}

static bool is_of(const table *t, uint32_t slot) {
  mp_shm_proc_ref owner = atomic_load_explicit(&t->owner, memory_order_relaxed);
  return owner == ((mp_shm_proc_state(slot) & ~UINT64_C(0xffffffff)) | slot);
}

/* The memory may be another table's, or anything else, from one load to the next: what decides is read once. */
static void poke_watches(uint32_t slot, table *t, uint64_t wait_queue) {
  uint32_t room = atomic_load_explicit(&t->room, memory_order_relaxed);
  uint32_t n = atomic_load_explicit(&t->n, memory_order_acquire);
  if (room > MOST || !is_of(t, slot)) return;
  for (uint32_t i = 0; i < n && i < room; i++)
    if (atomic_load_explicit(&t->wait_queue[i], memory_order_acquire) == wait_queue) poke(slot, pipes_of(t, room) + i);
}

static void wake_observer(uint32_t slot, uint64_t wait_queue) {
  _Atomic uint32_t *word = &mp_shm_proc_at(slot)->wait_set;
  for (int i = 0; i < TRIES && is_live(slot); i++) {
    uint32_t chunk_1 = atomic_load_explicit(word, memory_order_acquire);
    if (!chunk_1) return;
    table *t = table_at(chunk_1);
    poke_watches(slot, t, wait_queue);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(word, memory_order_relaxed) == chunk_1) return;
  }
}

void mp_shm_wait_set_wake(mp_shm_wait_queue *b) {
  if (MP_MUTANT(WATCH)) return;
  uint32_t seen = atomic_load_explicit(&b->observed, memory_order_acquire);
  for (uint32_t p = 0; p < mp_shm_header->top_proc; p++)
    if (mp_shm_proc_at(p)->wait_set) wake_observer(p, mp_shm_offset(b));
  atomic_compare_exchange_strong(&b->observed, &seen, seen & ~1u);
}
