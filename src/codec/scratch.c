/* SPDX-License-Identifier: MIT */
/* See scratch.h. */
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"

/* The first block's size, and the largest idle block that is kept. */
#define MP_BLOCK_FIRST ((size_t)16 << 10)
#define MP_BLOCK_KEEP ((size_t)1 << 20)

/* Where each message starts. */
#define MP_BLOCK_ALIGN ((size_t)16)

static mp_heap_block *blocks; /* newest first */

static mp_heap_block **link_to(mp_heap_block *b) {
  mp_heap_block **p = &blocks;
  while (*p != b) p = &(*p)->next;
  return p;
}

static size_t round_up(size_t n) { return (n + MP_BLOCK_ALIGN - 1) & ~(MP_BLOCK_ALIGN - 1); }

static mp_heap_block *block_new(size_t need) {
  size_t cap = blocks && !blocks->open ? 2 * blocks->cap : MP_BLOCK_FIRST;
  if (cap > MP_BLOCK_KEEP) cap = MP_BLOCK_KEEP;
  if (cap < need) cap = need;
  if (cap > SIZE_MAX - sizeof(mp_heap_block)) return NULL;
  mp_heap_block *b = malloc(sizeof(mp_heap_block) + cap);
  if (!b) return NULL;
  *b = (mp_heap_block){.next = blocks, .cap = cap, .open = 1};
  blocks = b;
  return b;
}

/* Frees an idle block, but the last one when it is small. */
static void trim(mp_heap_block *b) {
  if (b->live || b->open) return;
  b->used = 0;
  if (b->cap <= MP_BLOCK_KEEP && b == blocks && !b->next) return;
  *link_to(b) = b->next;
  free(b);
}

mp_heap_block *mp_codec_scratch_open(size_t need) {
  mp_heap_block *b = blocks;
  if (!b || b->open || b->cap - b->used < need) return block_new(need);
  b->open = 1;
  return b;
}

mp_heap_block *mp_codec_scratch_grow(mp_heap_block *b, size_t len, size_t need) {
  if (need > SIZE_MAX / 4) return NULL;
  if (need < 2 * len) need = 2 * len;
  if (!b->live) {
    mp_heap_block **link = link_to(b);
    size_t cap = b->used + need;
    mp_heap_block *moved = realloc(b, sizeof(mp_heap_block) + cap);
    if (moved) {
      moved->cap = cap;
      *link = moved;
    }
    return moved;
  }
  mp_heap_block *fresh = block_new(need);
  if (!fresh) return NULL;
  memcpy(fresh->bytes, b->bytes + b->used, len);
  b->open = 0;
  return fresh;
}

void mp_codec_scratch_close(mp_heap_block *b, size_t end) {
  size_t used = round_up(end);
  b->used = used < b->cap ? used : b->cap;
  b->live++;
  b->open = 0;
}

void mp_codec_scratch_abort(mp_heap_block *b) {
  b->open = 0;
  trim(b);
}

void mp_codec_scratch_release(mp_heap_block *b, size_t start, size_t end) {
  size_t used = round_up(end);
  b->live--;
  if (!b->open && b->used == (used < b->cap ? used : b->cap)) b->used = start;
  trim(b);
}

size_t mp_codec_scratch_used(void) {
  size_t n = 0;
  for (mp_heap_block *b = blocks; b; b = b->next) n += b->used + (size_t)b->open;
  return n;
}
