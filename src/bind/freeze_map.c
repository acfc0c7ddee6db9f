/* SPDX-License-Identifier: MIT */
/* What a freeze has met. The contracts stand in freeze_map.h. Open addressing, at most 7/8 full; slots lie in pages
 * of their own, which go back at once. */
#include "bind/freeze_map.h"

#include <string.h>

#include "os/os.h"
#include "shm/container/frozen.h"

#define MIX UINT64_C(0x9e3779b97f4a7c15)
#define SIZE_FIRST UINT64_C(512)

static size_t bytes_of(uint64_t size, size_t width) { return mp_os_pages_round(size * width * sizeof(uint64_t)); }

static uint64_t after(const mp_lua_freeze_map *m, uint64_t i) { return i + 1 < m->size ? i + 1 : 0; }

static bool is_full(const mp_lua_freeze_map *m) { return m->n >= m->size - m->size / 8; }

/* Half as many slots more, of `width` words, empty. What was is in *old. */
static bool begin_growth(mp_lua_freeze_map *m, size_t width, mp_lua_freeze_map *old) {
  uint64_t size = m->size ? m->size + m->size / 2 : SIZE_FIRST;
  uint64_t *slots = mp_os_pages_take(bytes_of(size, width), 1);
  if (!slots) return false;
  *old = *m;
  *m = (mp_lua_freeze_map){slots, old->n, size, width};
  return true;
}

void mp_lua_freeze_map_drop(mp_lua_freeze_map *m) {
  if (m->slots) mp_os_pages_give(m->slots, bytes_of(m->size, m->width));
  *m = (mp_lua_freeze_map){0};
}

/* --- tables --- */

static uint64_t *table_slot(const mp_lua_freeze_map *m, uint64_t key) {
  uint64_t i;
  mp_os_product(key * MIX, m->size, &i); /* as far along as the mixed key is on its way to 2^64 */
  while (m->slots[2 * i] && m->slots[2 * i] != key) i = after(m, i);
  return &m->slots[2 * i];
}

bool mp_lua_freeze_table_find(const mp_lua_freeze_map *m, const void *key, uint64_t *place) {
  if (!m->slots) return false;
  const uint64_t *slot = table_slot(m, (uintptr_t)key);
  *place = slot[1];
  return slot[0] != 0;
}

static bool grow_tables(mp_lua_freeze_map *m) {
  mp_lua_freeze_map old;
  if (!begin_growth(m, 2, &old)) return false;
  for (uint64_t i = 0; i < old.size; i++)
    if (old.slots[2 * i]) memcpy(table_slot(m, old.slots[2 * i]), &old.slots[2 * i], 2 * sizeof *m->slots);
  mp_lua_freeze_map_drop(&old);
  return true;
}

bool mp_lua_freeze_table_add(mp_lua_freeze_map *m, const void *key, uint64_t place) {
  if (is_full(m) && !grow_tables(m)) return false;
  uint64_t *slot = table_slot(m, (uintptr_t)key);
  slot[0] = (uintptr_t)key;
  slot[1] = place;
  m->n++;
  return true;
}

/* --- strings --- */

static uint64_t first(const mp_lua_freeze_map *m, uint32_t hash) { return hash * m->size >> 32; }

static const mp_shm_frozen_string *string_of(const char *block, uint64_t word) {
  return (const void *)(block + (word & MP_FROZEN_PLACE) * 8);
}

static bool is_string(const char *block, uint64_t word, const char *s, size_t n, uint32_t hash) {
  const mp_shm_frozen_string *z = string_of(block, word);
  return z->hash == hash && z->len == n && memcmp(z->bytes, s, n) == 0;
}

uint64_t mp_lua_freeze_string_find(const mp_lua_freeze_map *m, const char *block, const char *s, size_t n,
                                   uint32_t hash) {
  uint64_t i = first(m, hash);
  if (!m->slots) return 0;
  while (m->slots[i] && !is_string(block, m->slots[i], s, n, hash)) i = after(m, i);
  return m->slots[i];
}

static void put_string(mp_lua_freeze_map *m, const char *block, uint64_t word) {
  uint64_t i = first(m, string_of(block, word)->hash);
  while (m->slots[i]) i = after(m, i);
  m->slots[i] = word;
}

static bool grow_strings(mp_lua_freeze_map *m, const char *block) {
  mp_lua_freeze_map old;
  if (!begin_growth(m, 1, &old)) return false;
  for (uint64_t i = 0; i < old.size; i++)
    if (old.slots[i]) put_string(m, block, old.slots[i]);
  mp_lua_freeze_map_drop(&old);
  return true;
}

bool mp_lua_freeze_string_add(mp_lua_freeze_map *m, const char *block, uint64_t word) {
  if (is_full(m) && !grow_strings(m, block)) return false;
  put_string(m, block, word);
  m->n++;
  return true;
}
