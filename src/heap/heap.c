/* SPDX-License-Identifier: MIT */
/* The private heap as an allocator: tells whose a block is, and what becomes of it. The contract stands in heap.h. */
#include <string.h>

#include "heap/internal.h"

mp_heap_state mp_heap_region;

static void *take(size_t size) { return size <= MP_RUN_MOST ? mp_heap_block_take(size) : mp_heap_large_take(size); }

static bool is_ours(const mp_heap_place *at) { return at && at->epoch == mp_heap_region.epoch; }

static void give(void *p, mp_heap_place *at, size_t old) {
  if (at && at->large)
    mp_heap_large_give(p, at);
  else if (is_ours(at))
    mp_heap_block_give(p);
  else if (!at && mp_heap_region.returns)
    mp_heap_region.before(mp_heap_region.before_ud, p, old, 0);
}

static void *move(void *p, mp_heap_place *at, size_t old, size_t size) {
  void *q = take(size);
  if (!q) return size <= old ? p : NULL;
  memcpy(q, p, old < size ? old : size);
  give(p, at, old);
  return q;
}

static void *resize(void *p, size_t old, size_t size) {
  mp_heap_place *at = mp_heap_place_of(p);
  if (at && at->large && size > MP_RUN_MOST) return mp_heap_large_resize(p, at, size);
  if (is_ours(at) && !at->large && mp_heap_block_fits(p, size)) return p;
  bool stays_inherited = !is_ours(at) && (at || !mp_heap_region.returns);
  if (stays_inherited && size <= old) return p;
  return move(p, at, old, size);
}

void *mp_heap_of_lua(void *ud, void *p, size_t old, size_t size) {
  (void)ud;
  if (p && size) return resize(p, old, size);
  if (p) give(p, mp_heap_place_of(p), old);
  return size ? take(size) : NULL;
}

/* All that is there is inherited from now on. */
static void begin_epoch(void) {
  if (!mp_heap_region.before) return;
  mp_heap_region.epoch++;
  mp_heap_region.returns = false;
  mp_heap_region.spare = 0;
  mp_heap_region.open = NULL;
  memset(mp_heap_region.room, 0, sizeof mp_heap_region.room);
}

int mp_heap_begin(mp_heap_allocator *before, void *ud) {
  if (mp_heap_region.before) return 0;
  int err = pthread_atfork(NULL, NULL, begin_epoch);
  if (err) return -err;
  mp_heap_region.before = before;
  mp_heap_region.before_ud = ud;
  mp_heap_region.returns = true;
  return 0;
}
