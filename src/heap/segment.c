/* SPDX-License-Identifier: MIT */
/* Segments of the private heap, and runs of units in them. The contracts stand in heap_inside.h. */
#include <assert.h>

#include "heap/internal.h"

#define ALL_FREE (~(uint64_t)1) /* but for the header's unit */

static_assert(sizeof(mp_heap_segment) <= MP_UNIT, "the header fits into its unit");
static_assert(MP_UNITS * MP_UNIT == MP_SEGMENT, "a bit for each unit");

static void link_open(mp_heap_segment *g) {
  g->prev = NULL;
  g->next = mp_heap_region.open;
  if (g->next) g->next->prev = g;
  mp_heap_region.open = g;
}

static void unlink_open(mp_heap_segment *g) {
  if (g->prev)
    g->prev->next = g->next;
  else
    mp_heap_region.open = g->next;
  if (g->next) g->next->prev = g->prev;
}

static mp_heap_segment *new_segment(void) {
  mp_heap_segment *g = mp_os_pages_take(MP_SEGMENT, MP_SEGMENT);
  if (!g) return NULL;
  if (mp_heap_place_note(g, MP_SEGMENT, false) != 0) {
    mp_os_pages_give(g, MP_SEGMENT);
    return NULL;
  }
  g->free = ALL_FREE;
  mp_heap_region.spare++;
  link_open(g);
  return g;
}

static void drop_segment(mp_heap_segment *g) {
  unlink_open(g);
  mp_heap_place_forget(mp_heap_place_of(g));
  mp_os_pages_give(g, MP_SEGMENT);
  mp_heap_region.spare--;
}

/* The first bit of `n` adjacent ones, or -1. */
static int find_run(uint64_t bits, unsigned n) {
  for (unsigned have = 1; have < n;) {
    unsigned step = have < n - have ? have : n - have;
    bits &= bits >> step;
    have += step;
  }
  return bits ? __builtin_ctzll(bits) : -1;
}

static uint64_t run_mask(unsigned first, unsigned n) { return ((UINT64_C(1) << n) - 1) << first; }

static mp_heap_span *take_in(mp_heap_segment *g, unsigned first, unsigned units) {
  if (g->free == ALL_FREE) mp_heap_region.spare--;
  g->free &= ~run_mask(first, units);
  if (!g->free) unlink_open(g);
  g->spans[first].units = units;
  return &g->spans[first];
}

mp_heap_span *mp_heap_span_take(unsigned units) {
  for (mp_heap_segment *g = mp_heap_region.open; g; g = g->next) {
    int first = find_run(g->free, units);
    if (first >= 0) return take_in(g, (unsigned)first, units);
  }
  mp_heap_segment *g = new_segment();
  return g ? take_in(g, 1, units) : NULL;
}

void mp_heap_span_give(mp_heap_span *s) {
  mp_heap_segment *g = mp_heap_segment_of(s);
  if (!g->free) link_open(g);
  g->free |= run_mask((unsigned)(s - g->spans), s->units);
  if (g->free != ALL_FREE) return;
  if (++mp_heap_region.spare > MP_SPARE_MOST) drop_segment(g);
}
