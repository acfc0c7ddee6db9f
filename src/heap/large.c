/* SPDX-License-Identifier: MIT */
/* Blocks of the private heap that are mappings of their own. The contracts stand in heap_inside.h. */
#include "heap/internal.h"

void *mp_heap_large_take(size_t size) {
  size_t bytes = mp_os_pages_round(size);
  void *p = bytes >= size ? mp_os_pages_take(bytes, MP_SEGMENT) : NULL;
  if (!p || mp_heap_place_note(p, bytes, true) == 0) return p;
  mp_os_pages_give(p, bytes);
  return NULL;
}

/* An inherited one too: that takes nothing from the process that it was inherited from. */
void mp_heap_large_give(void *p, mp_heap_place *at) {
  mp_os_pages_give(p, at->bytes);
  mp_heap_place_forget(at);
}

/* The place of the new block is noted before the old one is gone: it cannot fail half way. When the system refuses,
 * what it has left at the new one is not looked at: it may be another thread's by then. */
static void *move(void *p, mp_heap_place *at, size_t bytes) {
  void *to = mp_heap_large_take(bytes);
  if (!to) return NULL;
  bool moved = mp_os_pages_move(p, at->bytes, to, bytes);
  mp_heap_place_forget(moved ? at : mp_heap_place_of(to));
  return moved ? to : NULL;
}

void *mp_heap_large_resize(void *p, mp_heap_place *at, size_t size) {
  size_t bytes = mp_os_pages_round(size);
  if (bytes < size) return NULL;
  if (bytes != at->bytes && !mp_os_pages_resize(p, at->bytes, bytes)) return move(p, at, bytes);
  at->bytes = bytes;
  return p;
}
