/* SPDX-License-Identifier: MIT */
/*
 * Users of dictionaries and of a list are killed (campaign.h). Each worker has keys of its own, of which it notes what they
 * have and what they are to have; all add to one key, walk, move handles, append to the list and shift from it. Every few
 * kills they go on to a fresh dictionary, to be split under them. The audit:
 *   keys      of a killed worker have what it had set, or was setting; no text is torn; a walk meets none twice.
 *   sums      what the one key has is what the workers noted, and at most what the killed ones had not noted yet.
 *   the list  has each worker's numbers in order, as many as were appended and not shifted.
 *   nothing   is left.
 */
#include <string.h>
#include <unistd.h>

#include "campaign.h"
#include "dict_scenario.h"
#include "shm/container/list.h"

enum { WORKERS = 4, KEYS = 300, DICTS = 24, EPOCH_KILLS = 12, VERSIONS = 7, CARRIERS = 16 };
enum { SET = 1, DELETE, ADD, GET, WALK, CARRY, ENDS };
#define HOT UINT64_C(6000)
#define CARRIED UINT64_C(7000)
#define ROOM (2u << 20)

typedef struct slate { /* a worker's, of one dictionary */
  _Atomic uint64_t adds, adding;
  _Atomic uint32_t was[KEYS], will[KEYS];
} slate;

typedef struct book {
  _Atomic uint32_t epoch, kills;
  _Atomic uint32_t at[WORKERS]; /* the epoch that a worker is in */
  _Atomic uint64_t appended[WORKERS], appending[WORKERS], shifted[WORKERS], shifting[WORKERS];
  _Atomic uint64_t unnoted_appends, unnoted_shifts, unnoted_adds[DICTS];
  slate slates[DICTS][WORKERS];
} book;

static book *b;
static mp_shm_dict *dicts[DICTS];
static mp_shm_handle handles[DICTS], list_handle;
static mp_shm_list *list;
static _Alignas(8) char buffer[MP_ITEM_ROOM], copy[ROOM];

static void set_up(void) {
  const mp_shm_dict_options plain = {0};
  b = t_shared(sizeof *b);
  for (int i = 0; i < DICTS; i++) {
    CHECK(mp_shm_dict_new(&plain, &t_soon, &handles[i]) == 0);
    dicts[i] = mp_shm_object_block(handles[i], MP_TYPE_DICT);
  }
  mp_shm_dict_split_at = KEYS / 2;
  CHECK(mp_shm_list_new(&t_soon, &list_handle) == 0);
  list = mp_shm_object_block(list_handle, MP_TYPE_LIST);
}

/* --- keys and texts --- */

static mp_shm_key key_of(mp_shm_dict *d, uint64_t *n) {
  return (mp_shm_key){n, 8, MP_ITEM_INTEGER, mp_shm_hash_word(*n, d->seed)};
}
static uint64_t number_of(unsigned w, unsigned i) { return (uint64_t)w * KEYS + i; }
static uint32_t length(uint64_t n, unsigned version) { return 8 + (uint32_t)((n * 37 + version * 101) % 300); }
static void text(char *s, uint64_t n, unsigned version) {
  for (uint32_t i = 0; i < length(n, version); i++) s[i] = (char)(n * 7 + i * 3 + version * 11);
}

/* 0: absent; else the version of its text. */
static unsigned look(mp_shm_dict *d, uint64_t n) {
  char want[512];
  mp_shm_item v;
  mp_shm_key k = key_of(d, &n);
  if (!mp_shm_dict_get(d, &k, buffer, &v)) return 0;
  CHECK(v.type == MP_ITEM_STRING);
  for (unsigned version = 1; version <= VERSIONS; version++) {
    text(want, n, version);
    if (v.n == length(n, version) && memcmp(v.p, want, v.n) == 0) return version;
  }
  CHECK(!"whole");
  return 0;
}

/* --- what workers do --- */

static void set_or_delete(mp_shm_dict *d, slate *s, unsigned w, unsigned version) {
  char bytes[512];
  unsigned i = (unsigned)(t_random() % KEYS);
  uint64_t n = number_of(w, i);
  mp_shm_key k = key_of(d, &n);
  text(bytes, n, version);
  const mp_shm_item v = {.type = MP_ITEM_STRING, .p = bytes, .n = length(n, version)};
  s->will[i] = version;
  t_at(version ? SET : DELETE);
  if (version)
    CHECK(mp_shm_dict_set(d, &k, &v, NULL, &t_soon) == 1);
  else
    CHECK(mp_shm_dict_delete(d, &k, &t_soon) == (s->was[i] != 0));
  s->was[i] = version;
  CHECK(look(d, n) == version);
}

static void add(mp_shm_dict *d, slate *s) {
  const mp_shm_item one = {.type = MP_ITEM_INTEGER, .word = 1}, zero = {.type = MP_ITEM_INTEGER};
  uint64_t n = HOT;
  mp_shm_item sum;
  mp_shm_key k = key_of(d, &n);
  s->adding = 1;
  t_at(ADD);
  CHECK(mp_shm_dict_add(d, &k, &one, &zero, &sum, &t_soon) == 0);
  s->adds++;
  s->adding = 0;
}

static void walk(mp_shm_dict *d) {
  static uint8_t seen[T_KEYS];
  uint32_t mask = 0;
  uint64_t need;
  memset(seen, 0, sizeof seen);
  t_at(WALK);
  for (uint32_t i = 0; i <= mask; i++) {
    int64_t bytes = mp_shm_dict_copy(d, i, copy, sizeof copy, &mask, &need, &t_soon);
    CHECK(bytes >= 0);
    for (int64_t at = 0; at < bytes;) {
      mp_shm_item key, v;
      mp_shm_entry *e = (mp_shm_entry *)(void *)(copy + at);
      mp_shm_entry_item(e, &key, &v);
      CHECK(key.word < T_KEYS && !seen[key.word]);
      seen[key.word] = 1;
      at += (int64_t)mp_shm_entry_span(e);
    }
  }
}

static void carry(mp_shm_dict *d) {
  const mp_shm_dict_options plain = {0};
  uint64_t n = CARRIED + t_random() % CARRIERS;
  mp_shm_handle x;
  mp_shm_key k = key_of(d, &n);
  t_at(CARRY);
  if (t_random() % 3 == 0) {
    CHECK(mp_shm_dict_delete(d, &k, &t_soon) >= 0);
    return;
  }
  CHECK(mp_shm_dict_new(&plain, &t_soon, &x) == 0);
  const mp_shm_item v = {.type = MP_ITEM_MESSAGE, .p = &x, .n = 8, .handles = &x, .nhandles = 1};
  CHECK(mp_shm_dict_set(d, &k, &v, NULL, &t_soon) == 1);
  mp_shm_object_unuse(x);
}

static void append(unsigned w) {
  const mp_shm_item v = {.type = MP_ITEM_INTEGER, .word = (uint64_t)w << 32 | (b->appended[w] + 1)};
  b->appending[w] = 1;
  t_at(ENDS);
  CHECK(mp_shm_list_append(list, &v, 1, &t_soon) == 0);
  b->appended[w]++;
  b->appending[w] = 0;
}

static void shift(unsigned w) {
  b->shifting[w] = 1;
  t_at(ENDS);
  int r = mp_shm_list_remove(list, 0, NULL, &t_soon);
  CHECK(r == 1 || r == -ERANGE);
  b->shifted[w] += r == 1;
  b->shifting[w] = 0;
}

static void act(unsigned w) {
  uint32_t epoch = b->epoch, what = (uint32_t)(t_random() % 100);
  mp_shm_dict *d = dicts[epoch];
  slate *s = &b->slates[epoch][w];
  b->at[w] = epoch;
  if (what < 35)
    set_or_delete(d, s, w, 1 + (unsigned)(t_random() % VERSIONS));
  else if (what < 50)
    set_or_delete(d, s, w, 0);
  else if (what < 65)
    add(d, s);
  else if (what < 80)
    t_at(GET), look(d, t_random() % ((uint64_t)WORKERS * KEYS));
  else if (what < 82)
    walk(d);
  else if (what < 85)
    carry(d);
  else if (what < 93)
    append(w);
  else
    shift(w);
  t_ended();
}

static void work(unsigned w) {
  while (!t_stopping()) act(w);
}

/* --- what the killed leave --- */

static void died(unsigned w) {
  uint32_t epoch = b->at[w];
  slate *s = &b->slates[epoch][w];
  for (unsigned i = 0; i < KEYS; i++) {
    unsigned x = look(dicts[epoch], number_of(w, i));
    CHECK(x == s->was[i] || x == s->will[i]);
    s->was[i] = s->will[i] = x;
  }
  b->unnoted_adds[epoch] += s->adding;
  b->unnoted_appends += b->appending[w];
  b->unnoted_shifts += b->shifting[w];
  /* An append that was not noted may have been done: its number is not to come again. */
  b->appended[w] += b->appending[w];
  s->adding = b->appending[w] = b->shifting[w] = 0;
  if (++b->kills % EPOCH_KILLS == 0) b->epoch = b->kills / EPOCH_KILLS % DICTS;
}

/* --- the audit --- */

static uint64_t hot_of(mp_shm_dict *d) {
  uint64_t n = HOT;
  mp_shm_item v;
  mp_shm_key k = key_of(d, &n);
  return mp_shm_dict_get(d, &k, buffer, &v) ? v.word : 0;
}

static void audit_dict(unsigned e) {
  uint64_t sum = 0, there = 0, n, hot = hot_of(dicts[e]);
  for (unsigned w = 0; w < WORKERS; w++) {
    sum += b->slates[e][w].adds;
    for (unsigned i = 0; i < KEYS; i++) {
      unsigned x = look(dicts[e], number_of(w, i));
      CHECK(x == b->slates[e][w].was[i]);
      there += x != 0;
    }
  }
  CHECK(hot >= sum && hot <= sum + b->unnoted_adds[e]);
  for (uint64_t c = CARRIED; c < CARRIED + CARRIERS; c++) {
    mp_shm_item v;
    uint64_t name = c;
    mp_shm_key k = key_of(dicts[e], &name);
    if (!mp_shm_dict_get(dicts[e], &k, buffer, &v)) continue;
    there++;
    CHECK(mp_shm_object_live(v.handles[0]));
  }
  CHECK(mp_shm_dict_count(dicts[e], &t_soon, &n) == 0 && n == there + (hot != 0));
  mp_shm_object_unuse(handles[e]);
}

static void audit_list(void) {
  uint64_t last[WORKERS] = {0}, appended = 0, shifted = 0, n = mp_shm_list_count(list);
  for (uint64_t i = 0; i < n; i++) {
    mp_shm_item v;
    CHECK(mp_shm_list_get(list, i, buffer, &v) == 1);
    uint64_t w = v.word >> 32, number = v.word & 0xffffffff;
    CHECK(w < WORKERS && number > last[w] && number <= b->appended[w]);
    last[w] = number;
  }
  for (unsigned w = 0; w < WORKERS; w++) appended += b->appended[w], shifted += b->shifted[w];
  CHECK(n + shifted <= appended && n + shifted + b->unnoted_shifts + b->unnoted_appends >= appended);
  mp_shm_object_unuse(list_handle);
}

static void audit(void) {
  mp_shm_sweep();
  for (unsigned e = 0; e < DICTS; e++) audit_dict(e);
  audit_list();
  t_nothing_left();
}

int main(void) {
  static const t_campaign c = {
      .users = "container",
      .operations = {NULL, "set", "delete", "add", "get", "walk", "carry", "append and shift"},
      .workers = WORKERS,
      .stops = true,
      .set_up = set_up,
      .work = work,
      .died = died,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
