/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the readers of frozen graphs: any bytes are taken for a block, all that can be reached in it is read, and each key
 * is looked up. Built by `make fuzz` with libFuzzer, ASan and UBSan; the block has no byte more than it says.
 */
#include <stdlib.h>

#include "shm/container/frozen.h"

enum { DEPTH = 12, STEPS = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct walk {
  mp_shm_frozen_view v;
  int steps;
  volatile uint64_t sum; /* so that what is read is read */
} walk;

static void read_table(walk *w, uint64_t place, int depth);

static void read_bytes(walk *w, const char *p, size_t n) {
  for (size_t i = 0; i < n; i += 64) w->sum += (unsigned char)p[i];
  if (n) w->sum += (unsigned char)p[n - 1];
}

static void read_word(walk *w, uint64_t word, int depth) {
  int64_t i;
  const mp_shm_frozen_string *s;
  switch (mp_shm_frozen_tag(word)) {
    case MP_FROZEN_STRING:
      s = mp_shm_frozen_string_at(&w->v, word);
      if (s) read_bytes(w, s->bytes, s->len);
      break;
    case MP_FROZEN_BIG:
      if (mp_shm_frozen_big(&w->v, word, &i)) w->sum += (uint64_t)i;
      break;
    case MP_FROZEN_TABLE:
      read_table(w, (word & MP_FROZEN_PAYLOAD) * 8, depth + 1);
      break;
    default:
      w->sum += word;
  }
}

static void look_up(walk *w, const mp_shm_frozen_shape *s, uint64_t key) {
  const mp_shm_frozen_string *z;
  w->sum += (uint64_t)mp_shm_frozen_find(&w->v, s, key);
  if (mp_shm_frozen_tag(key) != MP_FROZEN_STRING || !(z = mp_shm_frozen_string_at(&w->v, key))) return;
  w->sum += (uint64_t)mp_shm_frozen_find_string(&w->v, s, z->bytes, z->len);
}

static void read_table(walk *w, uint64_t place, int depth) {
  const mp_shm_frozen_shape *s;
  const mp_shm_frozen_table *t = mp_shm_frozen_table_at(&w->v, place, &s);
  if (!t || depth > DEPTH) return;
  uint64_t n = (uint64_t)t->narr + (s ? s->n : 0);
  for (uint64_t i = 0; i < n && w->steps-- > 0; i++) read_word(w, t->words[i], depth);
  for (uint32_t i = 0; s && i < s->n && w->steps-- > 0; i++) look_up(w, s, s->keys[i]);
  if (s) w->sum += (uint64_t)mp_shm_frozen_find_string(&w->v, s, "absent", 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (n < sizeof(mp_shm_frozen)) return 0;
  mp_shm_frozen *block = aligned_alloc(8, (n + 7) & ~(size_t)7);
  if (!block) return 0;
  memcpy(block, data, n);
  walk w = {{(const char *)block, n & ~(size_t)7, block->seed}, STEPS, 0};
  read_table(&w, block->root, 0);
  free(block);
  return 0;
}
