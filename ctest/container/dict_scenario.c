/* SPDX-License-Identifier: MIT */
#include "dict_scenario.h"

#include <string.h>

#define SEED 12345
#define ROOM (4u << 20)

mp_shm_dict *t_d;
mp_shm_handle t_h;
const mp_shm_wait t_now = {0, NULL, NULL};
long t_reads;

static _Alignas(8) char buffer[MP_ITEM_ROOM];

void t_dict(void) {
  const mp_shm_dict_options plain = {0};
  mp_shm_dict_split_at = UINT32_MAX;
  CHECK(mp_shm_dict_new(&plain, &t_soon, &t_h) == 0);
  t_d = mp_shm_object_block(t_h, MP_TYPE_DICT);
  t_d->seed = SEED;
}

mp_shm_key t_key(uint64_t *n) { return (mp_shm_key){n, 8, MP_ITEM_INTEGER, mp_shm_hash_word(*n, SEED)}; }

static void text(char *s, uint64_t n, unsigned version) {
  for (unsigned i = 0; i < T_TEXT; i++) s[i] = (char)(n * 7 + i * 3 + version);
}

static void set(uint64_t n, const mp_shm_item *v) {
  mp_shm_key k = t_key(&n);
  CHECK(mp_shm_dict_set(t_d, &k, v, NULL, &t_soon) == 1);
}

static struct {
  uint64_t n;
  mp_shm_key k;
  mp_shm_item v;
  char s[T_TEXT];
} prepared;

void t_prepare_text(uint64_t n, unsigned version) {
  text(prepared.s, n, version);
  prepared.n = n;
  prepared.k = t_key(&prepared.n);
  prepared.v = (mp_shm_item){.type = MP_ITEM_STRING, .p = prepared.s, .n = T_TEXT};
}

void t_set_prepared(void) { CHECK(mp_shm_dict_set(t_d, &prepared.k, &prepared.v, NULL, &t_soon) == 1); }

void t_set_text(uint64_t n, unsigned version) {
  t_prepare_text(n, version);
  t_set_prepared();
}

void t_set_integer(uint64_t n, int64_t x) { set(n, &(mp_shm_item){.type = MP_ITEM_INTEGER, .word = (uint64_t)x}); }

void t_set_handle(uint64_t n, mp_shm_handle x) {
  set(n, &(mp_shm_item){.type = MP_ITEM_MESSAGE, .p = &x, .n = 8, .handles = &x, .nhandles = 1});
}

int t_delete(uint64_t n) {
  mp_shm_key k = t_key(&n);
  return mp_shm_dict_delete(t_d, &k, &t_soon);
}

int t_judge(uint64_t n, int found, const mp_shm_item *v) {
  char want[T_TEXT];
  if (!found) return 0;
  if (v->type == MP_ITEM_INTEGER) return T_INTEGER + (int)v->word;
  CHECK(v->type == MP_ITEM_STRING && v->n == T_TEXT);
  for (unsigned version = 0; version < 3; version++) {
    text(want, n, version);
    if (memcmp(v->p, want, T_TEXT) == 0) return 1 + (int)version;
  }
  CHECK(!"whole");
  return -1;
}

int t_look(uint64_t n) {
  mp_shm_key k = t_key(&n);
  mp_shm_item v;
  t_reads++;
  return t_judge(n, mp_shm_dict_get(t_d, &k, buffer, &v), &v);
}

mp_shm_handle t_look_handle(uint64_t n) {
  mp_shm_key k = t_key(&n);
  mp_shm_item v;
  if (!mp_shm_dict_get(t_d, &k, buffer, &v)) return 0;
  CHECK(v.n == 8 && v.nhandles == 1 && memcmp(v.p, v.handles, 8) == 0);
  return v.handles[0];
}

static uint64_t walk_copy(char *copy, int64_t bytes, uint64_t *seen) {
  uint64_t n = 0;
  for (int64_t at = 0; at < bytes; n++) {
    mp_shm_item key, v;
    mp_shm_entry *e = (mp_shm_entry *)(void *)(copy + at);
    mp_shm_entry_item(e, &key, &v);
    CHECK(key.type == MP_ITEM_INTEGER && key.word < T_KEYS);
    CHECK(!(seen[key.word / 64] >> key.word % 64 & 1));
    seen[key.word / 64] |= UINT64_C(1) << key.word % 64;
    at += (int64_t)mp_shm_entry_span(e);
  }
  return n;
}

uint64_t t_walk(void) {
  static _Alignas(8) char copy[ROOM];
  uint64_t n = 0, counted, need, seen[T_KEYS / 64] = {0};
  uint32_t mask = 0;
  for (uint32_t i = 0; i <= mask; i++) {
    int64_t bytes = mp_shm_dict_copy(t_d, i, copy, sizeof copy, &mask, &need, &t_soon);
    CHECK(bytes >= 0);
    n += walk_copy(copy, bytes, seen);
  }
  CHECK(mp_shm_dict_count(t_d, &t_soon, &counted) == 0 && counted == n);
  return n;
}

void t_fill_table(unsigned *filled) {
  const uint64_t span = sizeof(mp_shm_entry) + 8 + T_TEXT, w = t_d->first.table;
  while (mp_shm_dict_has_room(&t_d->first, span)) t_set_text(++*filled, 0);
  CHECK(t_d->first.table == w);
}

void t_drain_table(unsigned *filled) {
  const uint64_t span = sizeof(mp_shm_entry) + 8 + T_TEXT;
  mp_shm_stripe *s = &t_d->first;
  uint64_t bytes = mp_shm_table_bytes(mp_shm_table_at(s->table));
  CHECK(bytes > MP_PAGE);
  while (8 * (mp_shm_live_bytes(s) - span) >= bytes) CHECK(t_delete((*filled)--) == 1);
}
