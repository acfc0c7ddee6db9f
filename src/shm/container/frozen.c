/* SPDX-License-Identifier: MIT */
/* Frozen graphs. The layout stands in frozen.h. */
#include "shm/container/frozen.h"

/* --- looking --- */

static uint64_t index_width(uint32_t n) { return n < UINT8_MAX ? 1 : n < UINT16_MAX ? 2 : 4; }

static uint32_t index_get(const mp_shm_frozen_shape *s, uint64_t i) {
  const void *p = &s->keys[s->n];
  return s->n < UINT8_MAX    ? ((const uint8_t *)p)[i]
         : s->n < UINT16_MAX ? ((const uint16_t *)p)[i]
                             : ((const uint32_t *)p)[i];
}

static void index_set(mp_shm_frozen_shape *s, uint64_t i, uint32_t value) {
  void *p = &s->keys[s->n];
  if (s->n < UINT8_MAX)
    ((uint8_t *)p)[i] = (uint8_t)value;
  else if (s->n < UINT16_MAX)
    ((uint16_t *)p)[i] = (uint16_t)value;
  else
    ((uint32_t *)p)[i] = value;
}

static uint64_t shape_bytes(uint32_t n, uint32_t bits) {
  uint64_t index = n > MP_FROZEN_SCAN ? index_width(n) << bits : 0;
  return sizeof(mp_shm_frozen_shape) + 8 * (uint64_t)n + index;
}

static const mp_shm_frozen_shape *shape_at(const mp_shm_frozen_view *v, uint64_t place) {
  const mp_shm_frozen_shape *s = mp_shm_frozen_at(v, place, sizeof *s);
  return s && s->bits < MP_FROZEN_PLACE_BITS && mp_shm_frozen_at(v, place, shape_bytes(s->n, s->bits)) ? s : NULL;
}

const mp_shm_frozen_table *mp_shm_frozen_table_at(const mp_shm_frozen_view *v, uint64_t place,
                                                  const mp_shm_frozen_shape **shape) {
  const mp_shm_frozen_table *t = mp_shm_frozen_at(v, place, sizeof *t);
  *shape = NULL;
  if (!t) return NULL;
  if (t->shape && !(*shape = shape_at(v, t->shape))) return NULL;
  uint64_t n = (uint64_t)t->narr + (*shape ? (*shape)->n : 0);
  return mp_shm_frozen_at(v, place, sizeof *t + 8 * n) ? t : NULL;
}

const mp_shm_frozen_string *mp_shm_frozen_string_at(const mp_shm_frozen_view *v, uint64_t word) {
  uint64_t place = (word & MP_FROZEN_PLACE) * 8;
  const mp_shm_frozen_string *s = mp_shm_frozen_at(v, place, sizeof *s);
  return s && mp_shm_frozen_at(v, place, sizeof *s + s->len) ? s : NULL;
}

bool mp_shm_frozen_big(const mp_shm_frozen_view *v, uint64_t word, int64_t *i) {
  const int64_t *p = mp_shm_frozen_at(v, (word & MP_FROZEN_PAYLOAD) * 8, sizeof *p);
  if (p) *i = *p;
  return p != NULL;
}

/* Bounds the probes of an index: a forged one may be full. */
#define PROBES(s) (UINT64_C(1) << (s)->bits)

static int64_t number_at(const mp_shm_frozen_shape *s, uint64_t i) {
  uint32_t number = index_get(s, i);
  return number && number <= s->n ? (int64_t)number - 1 : -1;
}

int64_t mp_shm_frozen_find(const mp_shm_frozen_view *v, const mp_shm_frozen_shape *s, uint64_t word) {
  if (s->n <= MP_FROZEN_SCAN) {
    for (uint32_t i = 0; i < s->n; i++)
      if (s->keys[i] == word) return i;
    return -1;
  }
  uint64_t hash = mp_shm_frozen_hash(word, v->seed);
  for (uint64_t probe = 0; probe < PROBES(s); probe++) {
    int64_t k = number_at(s, (hash + probe) & (PROBES(s) - 1));
    if (k < 0 || s->keys[k] == word) return k;
  }
  return -1;
}

static bool is_key(const mp_shm_frozen_view *v, uint64_t word, const char *key, size_t n) {
  const mp_shm_frozen_string *s = mp_shm_frozen_string_at(v, word);
  return s && s->len == n && memcmp(s->bytes, key, n) == 0;
}

static int64_t probe_string(const mp_shm_frozen_view *v, const mp_shm_frozen_shape *s, uint64_t hash, uint64_t head,
                            const char *key, size_t n) {
  for (uint64_t probe = 0; probe < PROBES(s); probe++) {
    int64_t k = number_at(s, (hash + probe) & (PROBES(s) - 1));
    if (k < 0 || (s->keys[k] >> MP_FROZEN_PLACE_BITS == head && is_key(v, s->keys[k], key, n))) return k;
  }
  return -1;
}

int64_t mp_shm_frozen_find_string(const mp_shm_frozen_view *v, const mp_shm_frozen_shape *s, const char *key,
                                  size_t n) {
  uint64_t hash = mp_shm_hash_bytes(key, n, v->seed);
  uint64_t first = hash & ((1 << MP_FROZEN_HASH_BITS) - 1);
  uint64_t head = mp_shm_frozen_word(MP_FROZEN_STRING, first << MP_FROZEN_PLACE_BITS) >> MP_FROZEN_PLACE_BITS;
  if (s->n > MP_FROZEN_SCAN) return probe_string(v, s, hash, head, key, n);
  for (uint32_t i = 0; i < s->n; i++)
    if (s->keys[i] >> MP_FROZEN_PLACE_BITS == head && is_key(v, s->keys[i], key, n)) return i;
  return -1;
}

/* --- making --- */

static uint32_t bits_for(uint32_t n) {
  uint32_t bits = 0;
  while (n > MP_FROZEN_SCAN && UINT64_C(1) << bits < 2 * (uint64_t)n) bits++;
  return bits;
}

uint64_t mp_shm_frozen_shape_bytes(uint32_t n) { return shape_bytes(n, bits_for(n)); }

void mp_shm_frozen_index(mp_shm_frozen_shape *s, const uint32_t *hashes) {
  s->bits = bits_for(s->n);
  for (uint32_t i = 0; s->n > MP_FROZEN_SCAN && i < s->n; i++) {
    uint64_t at = hashes[i];
    while (index_get(s, at & (PROBES(s) - 1))) at++;
    index_set(s, at & (PROBES(s) - 1), i + 1);
  }
}

static void init(uint32_t slot, void *block, const void *arg) {
  (void)slot, (void)arg;
  mp_shm_frozen *f = block;
  f->handles = 0;
  f->nhandles = 0;
}

int mp_shm_frozen_new(uint64_t bytes, const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_FROZEN, bytes, init, NULL, w, out);
}

static void move_handles(mp_shm_frozen *f, uint32_t n, uint64_t value, int delta) {
  mp_shm_transit_begin(mp_shm_offset(f) + f->handles, n, mp_shm_offset(&f->nhandles), value, delta);
  atomic_store_explicit(&f->nhandles, value, memory_order_release);
  mp_shm_transit_end();
}

int mp_shm_frozen_keep(mp_shm_frozen *f, uint32_t n, const mp_shm_wait *w) {
  if (!n) return 0;
  int err = mp_shm_arena_lock(w);
  if (err) return err;
  move_handles(f, n, n, 1);
  mp_shm_arena_unlock();
  return 0;
}

static void destroy(uint32_t slot, void *block, bool thorough) {
  (void)slot, (void)thorough;
  mp_shm_frozen *f = block;
  if (f->nhandles) move_handles(f, (uint32_t)f->nhandles, 0, -1);
}

const mp_shm_object_type_info mp_shm_frozen_type = {.use_is_no_claim = true, .destroy = destroy};
