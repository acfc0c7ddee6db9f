/* SPDX-License-Identifier: MIT */
/*
 * Blocks of the private heap that share segments: up to 32 KiB in units of blocks of one size, beyond that as runs of
 * units. Sizes step by 16 bytes up to 256, then by a quarter of a power of two.
 */
#include "heap/internal.h"

enum { STEP = 16, FINE = 256, FINE_CLASSES = FINE / STEP, FINE_BITS = 8 };

/* The highest bit of n >= 1. */
static unsigned log2_of(size_t n) { return (unsigned)(63 - __builtin_clzll((unsigned long long)n)); }

static unsigned class_of(size_t size) {
  if (size <= FINE) return (unsigned)((size - 1) / STEP);
  unsigned k = log2_of(size - 1);
  return FINE_CLASSES + (k - FINE_BITS) * 4 + (unsigned)((size - 1) >> (k - 2) & 3);
}

static size_t bytes_of(unsigned class) {
  if (class < FINE_CLASSES) return (class + 1) * (size_t)STEP;
  unsigned above = class - FINE_CLASSES;
  return (size_t)(above % 4 + 5) << (above / 4 + FINE_BITS - 2);
}

static size_t run_bytes(size_t size) { return (size + MP_UNIT - 1) & ~(MP_UNIT - 1); }

static void link_room(mp_heap_span *s) {
  s->prev = NULL;
  s->next = mp_heap_region.room[s->class];
  if (s->next) s->next->prev = s;
  mp_heap_region.room[s->class] = s;
}

static void unlink_room(mp_heap_span *s) {
  if (s->prev)
    s->prev->next = s->next;
  else
    mp_heap_region.room[s->class] = s->next;
  if (s->next) s->next->prev = s->prev;
}

static mp_heap_span *new_span(unsigned class) {
  mp_heap_span *s = mp_heap_span_take(1);
  if (!s) return NULL;
  s->class = class;
  s->bytes = bytes_of(class);
  s->capacity = (unsigned)(MP_UNIT / s->bytes);
  s->used = s->made = 0;
  s->freed = NULL;
  s->fresh = mp_heap_span_start(s);
  link_room(s);
  return s;
}

/* Addresses never handed out come last: pages that need not be touched are not. */
static void *take_from(mp_heap_span *s) {
  void *p = s->freed;
  if (p) {
    s->freed = s->freed->next;
  } else {
    p = s->fresh;
    s->fresh += s->bytes;
    s->made++;
  }
  if (++s->used == s->capacity) unlink_room(s);
  return p;
}

static void *take_run(size_t size) {
  mp_heap_span *s = mp_heap_span_take((unsigned)(run_bytes(size) / MP_UNIT));
  if (!s) return NULL;
  s->bytes = run_bytes(size);
  s->capacity = s->used = 1;
  return mp_heap_span_start(s);
}

void *mp_heap_block_take(size_t size) {
  if (size > MP_BLOCK_MOST) return take_run(size);
  unsigned class = class_of(size);
  mp_heap_span *s = mp_heap_region.room[class];
  if (!s) s = new_span(class);
  return s ? take_from(s) : NULL;
}

void mp_heap_block_give(void *p) {
  mp_heap_span *s = mp_heap_span_of(p);
  if (s->bytes > MP_BLOCK_MOST) {
    mp_heap_span_give(s);
    return;
  }
  mp_heap_block *b = p;
  b->next = s->freed;
  s->freed = b;
  if (s->used-- == s->capacity) link_room(s);
  if (s->used) return;
  unlink_room(s);
  mp_heap_span_give(s);
}

bool mp_heap_block_fits(const void *p, size_t size) {
  size_t bytes = mp_heap_span_of(p)->bytes;
  if (size > MP_RUN_MOST) return false;
  return bytes == (size > MP_BLOCK_MOST ? run_bytes(size) : bytes_of(class_of(size)));
}
