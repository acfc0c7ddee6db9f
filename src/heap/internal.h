/* SPDX-License-Identifier: MIT */
/*
 * The parts of the private heap (layer 0), for src/os/heap*.c alone.
 *
 * A segment is an aligned 4 MiB of 64 units; the first unit has its header. A span is a unit cut into blocks of one size,
 * or a run of units that is one block. Blocks beyond MP_RUN_MOST are mappings of their own, large, aligned as segments.
 * The directory says for each aligned 4 MiB of address space what begins there, and in which epoch it was taken: each
 * fork begins a new one in the child.
 * Invariant: segments of earlier epochs are never written, nor in any list.
 */
#ifndef MP_HEAP_INTERNAL_H
#define MP_HEAP_INTERNAL_H

#include "heap/heap.h"

#pragma GCC visibility push(hidden)

#define MP_SEGMENT ((size_t)1 << 22)
#define MP_UNIT ((size_t)1 << 16)
#define MP_BLOCK_MOST ((size_t)1 << 15) /* the largest block that shares a unit with others */
#define MP_RUN_MOST (32 * MP_UNIT)      /* the largest that shares a segment */
enum { MP_UNITS = 64, MP_CLASSES = 44, MP_SPARE_MOST = 16 /* empty segments kept: 64 MiB */ };

typedef struct mp_heap_block {
  struct mp_heap_block *next;
} mp_heap_block;

typedef struct mp_heap_span {
  struct mp_heap_span *next, *prev; /* of its class, while it has room */
  mp_heap_block *freed;
  char *fresh;                   /* from here on never handed out */
  size_t bytes;                  /* of each block */
  unsigned used, capacity, made; /* blocks: handed out now, in all, ever handed out */
  unsigned class, units;
} mp_heap_span;

typedef struct mp_heap_segment {
  struct mp_heap_segment *next, *prev; /* of those with free units */
  uint64_t free;                       /* a bit per unit */
  mp_heap_span spans[MP_UNITS];        /* by first unit */
} mp_heap_segment;

typedef struct mp_heap_place { /* what begins in an aligned 4 MiB */
  size_t bytes;                /* 0: nothing of this heap's */
  unsigned epoch;
  bool large;
} mp_heap_place;

typedef struct mp_heap_state {
  mp_heap_allocator *before; /* NULL: not begun */
  void *before_ud;
  bool returns; /* foreign blocks go back to it: this process is the one that began */
  unsigned epoch, spare;
  mp_heap_segment *open;          /* segments with free units */
  mp_heap_span *room[MP_CLASSES]; /* spans with free blocks */
} mp_heap_state;

extern mp_heap_state mp_heap_region;

/* heap_directory.c */
/* The segment that it lies in, or the large block that begins there; NULL when it is nothing of this heap's. */
mp_heap_place *mp_heap_place_of(const void *p);
/* Notes what begins at p, aligned. 0 or -ENOMEM. */
int mp_heap_place_note(const void *p, size_t bytes, bool large);
static inline void mp_heap_place_forget(mp_heap_place *at) { at->bytes = 0; }

/* heap_segment.c */
static inline mp_heap_segment *mp_heap_segment_of(const void *p) {
  return (mp_heap_segment *)(void *)((char *)(uintptr_t)p - ((uintptr_t)p & (MP_SEGMENT - 1)));
}
/* The span of `units` adjacent units whose first lies at p. */
static inline mp_heap_span *mp_heap_span_of(const void *p) {
  return &mp_heap_segment_of(p)->spans[((uintptr_t)p & (MP_SEGMENT - 1)) / MP_UNIT];
}
static inline char *mp_heap_span_start(const mp_heap_span *s) {
  mp_heap_segment *g = mp_heap_segment_of(s);
  return (char *)g + (size_t)(s - g->spans) * MP_UNIT;
}
/* A span whose units are nobody else's, with `units` set; NULL: no memory. */
mp_heap_span *mp_heap_span_take(unsigned units);
void mp_heap_span_give(mp_heap_span *s);

/* heap_block.c: blocks in segments of this epoch */
/* size: 1 to MP_RUN_MOST. NULL: no memory. */
void *mp_heap_block_take(size_t size);
void mp_heap_block_give(void *p);
/* Whether the block would not be another one if it had been asked for with that size. */
bool mp_heap_block_fits(const void *p, size_t size);

/* heap_large.c */
void *mp_heap_large_take(size_t size);
void mp_heap_large_give(void *p, mp_heap_place *at);
/* The block with a size above MP_RUN_MOST, moved without a copy if it must be; NULL: no memory, and it is as it was. */
void *mp_heap_large_resize(void *p, mp_heap_place *at, size_t size);

#pragma GCC visibility pop
#endif
