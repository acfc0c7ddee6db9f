/* SPDX-License-Identifier: MIT */
/*
 * What begins in each aligned 4 MiB of the address space: two levels, the second mapped when something lies there. Where
 * it is as large as processors go today, 2^48 bytes; what lies beyond is not used.
 */
#include "heap/internal.h"

enum { LEAF_BITS = 13, TOP_BITS = 13, SEGMENT_BITS = 22 };
#define LEAF ((size_t)1 << LEAF_BITS)
#define TOP ((size_t)1 << TOP_BITS)

MP_BSS_TAIL mp_heap_place *mp_heap_top[TOP];

mp_heap_place *mp_heap_place_of(const void *p) {
  uintptr_t n = (uintptr_t)p >> SEGMENT_BITS;
  mp_heap_place *leaf = n >> LEAF_BITS < TOP ? mp_heap_top[n >> LEAF_BITS] : NULL;
  if (!leaf) return NULL;
  mp_heap_place *at = &leaf[n & (LEAF - 1)];
  bool first = ((uintptr_t)p & (MP_SEGMENT - 1)) == 0; /* others may have mappings behind the end of a large one */
  return at->bytes && (first || !at->large) ? at : NULL;
}

int mp_heap_place_note(const void *p, size_t bytes, bool large) {
  uintptr_t n = (uintptr_t)p >> SEGMENT_BITS;
  if (n >> LEAF_BITS >= TOP) return -ENOMEM;
  mp_heap_place **leaf = &mp_heap_top[n >> LEAF_BITS];
  if (!*leaf) *leaf = mp_os_pages_take(LEAF * sizeof **leaf, 1);
  if (!*leaf) return -ENOMEM;
  (*leaf)[n & (LEAF - 1)] = (mp_heap_place){bytes, mp_heap_region.epoch, large};
  return 0;
}
