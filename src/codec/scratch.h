/* SPDX-License-Identifier: MIT */
/*
 * Memory for encoded messages: a list of malloc'd blocks, process-wide.
 *
 * A message lies in one block, from `start` on. While it is being written it
 * has its block's whole tail (`open`), so that a nested encode takes another
 * block and no pointer into a finished message ever moves. Private to the codec.
 */
#ifndef MP_CODEC_SCRATCH_H
#define MP_CODEC_SCRATCH_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct mp_heap_block {
  struct mp_heap_block *next;
  size_t cap;
  size_t used;   /* end of the last finished message */
  unsigned live; /* finished messages that are not released */
  int open;      /* a message is being written from `used` on */
  _Alignas(16) unsigned char bytes[];
} mp_heap_block;

/* A block with room for `need` bytes after `used`, opened; NULL: no memory. */
mp_heap_block *mp_codec_scratch_open(size_t need);

/* Moves the open message, which has `len` bytes, where it has room for `need`.
 * Returns its block, where it starts at `used`; NULL: no memory, and b is still
 * open and untouched. */
mp_heap_block *mp_codec_scratch_grow(mp_heap_block *b, size_t len, size_t need);

/* Finishes the open message: it ends at `end`. */
void mp_codec_scratch_close(mp_heap_block *b, size_t end);

/* Drops the open message. */
void mp_codec_scratch_abort(mp_heap_block *b);

/* Drops the finished message from start to end. */
void mp_codec_scratch_release(mp_heap_block *b, size_t start, size_t end);

#pragma GCC visibility pop

#endif
