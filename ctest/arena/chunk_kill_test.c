/* SPDX-License-Identifier: MIT */
/*
 * Chunks: many of all sizes are claimed and freed, and the table must agree with its lists at each step; what a process
 * holds takes little more than it asked for, and as many fit as there is room for. Then a process is killed at every
 * instruction of a claim that cuts a run out of free blocks, and of its freeing: nothing may be lost, and nothing given
 * out twice.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "shm/arena/chunk.h"
#include "shm/arena/proc.h"

enum { MOST = 400, ROUNDS = 6000, LARGEST = 3 << 20, KEPT = 5 };
#define ROOM (UINT64_C(64) << 20)

static long checks;

static uint64_t st_of(uint64_t i) { return mp_shm_chunk_at(i)->st; }

static uint64_t pages_of(uint64_t i) { return mp_shm_chunk_bytes(i) / MP_PAGE; }

static int64_t claim(uint64_t bytes, unsigned state) {
  uint32_t tag = state == MP_HELD ? mp_shm_my_slot : 0;
  CHECK(mp_shm_arena_lock(NULL) == 0);
  if (state == MP_HELD) mp_shm_proc_add_claimed(1);
  int64_t i = mp_shm_chunk_claim(bytes, state, tag, 0, NULL);
  if (state == MP_HELD && i < 0) mp_shm_proc_add_claimed(-1);
  mp_shm_arena_unlock();
  return i;
}

static void give(uint64_t i) {
  bool held = mp_shm_chunk_state(st_of(i)) == MP_HELD;
  CHECK(mp_shm_arena_lock(NULL) == 0);
  mp_shm_chunk_free(i);
  if (held) mp_shm_proc_add_claimed(-1);
  mp_shm_arena_unlock();
}

/* What is free goes back to the buddies: a claim of all there is fails, having tried that. */
static void cool_all(void) { CHECK(claim(mp_shm_header->size, MP_HELD) == -ENOMEM); }

/* --- the table and its lists --- */

static uint64_t listed(uint32_t head, uint64_t st) {
  uint64_t n = 0;
  for (uint32_t c = head, before = 0; c; before = c, c = mp_shm_chunk_at(c - 1)->next, n++) {
    CHECK(st_of(c - 1) == st);
    CHECK(mp_shm_chunk_at(c - 1)->prev == before);
  }
  return n;
}

static uint64_t listed_in_all(void) {
  uint64_t n = 0;
  for (unsigned k = 0; k < MP_SIZES; k++) n += listed(mp_shm_header->hot[k], MP_ST(MP_HOT, k, 0));
  for (unsigned k = 0; k < MP_ORDERS; k++) n += listed(mp_shm_header->cold[k], MP_ST(MP_COLD, k, 0));
  return n;
}

static bool is_buddy_free(uint64_t i) {
  uint64_t n = pages_of(i), buddy = i ^ n;
  return buddy + n <= mp_shm_header->top_page && st_of(buddy) == st_of(i);
}

/* Each page belongs to one chunk, in use or in a list; free buddies have joined. */
static void audit(void) {
  uint64_t i = 0, nfree = 0, hot = 0;
  CHECK(mp_shm_arena_lock(NULL) == 0);
  while (i < mp_shm_header->top_page) {
    unsigned state = mp_shm_chunk_state(st_of(i));
    CHECK(state != MP_NONE);
    nfree += state < MP_USED;
    if (state == MP_HOT) hot += mp_shm_chunk_bytes(i);
    CHECK(state != MP_COLD || !is_buddy_free(i));
    for (uint64_t k = 1; k < pages_of(i); k++) CHECK(st_of(i + k) == 0);
    i += pages_of(i);
  }
  CHECK(i == mp_shm_header->top_page);
  CHECK(hot == mp_shm_header->hot_bytes);
  CHECK(listed_in_all() == nfree);
  mp_shm_arena_unlock();
  checks++;
}

/* --- many --- */

static uint64_t random_bytes(void) {
  uint64_t most = UINT64_C(1) << (rand() % 22);
  return 1 + (uint64_t)rand() % (rand() % 40 ? most : LARGEST);
}

static uint64_t claim_one(void) {
  uint64_t bytes = random_bytes();
  unsigned state = rand() % 2 ? MP_HELD : MP_USED;
  int64_t i = claim(bytes, state);
  CHECK(i >= 0);
  uint64_t has = mp_shm_chunk_bytes((uint64_t)i);
  CHECK(has >= bytes && has < 2 * bytes + MP_PAGE);
  if (state == MP_HELD) CHECK(has < bytes + bytes / 8 + MP_PAGE);
  if (state == MP_USED) CHECK((uint64_t)i % pages_of((uint64_t)i) == 0);
  memset(mp_shm_chunk_data((uint64_t)i), 1, 1);
  return (uint64_t)i;
}

static void claim_and_free_many(void) {
  uint64_t mine[MOST], n = 0;
  t_what = "many sizes";
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t k = n ? (uint64_t)rand() % n : 0;
    if (n < MOST && (n == 0 || rand() % 2)) {
      mine[n++] = claim_one();
    } else {
      give(mine[k]);
      mine[k] = mine[--n];
    }
    if (round % 50 == 0) audit();
    if (round % 500 == 0) cool_all(), audit();
  }
  while (n > 0) give(mine[--n]);
  cool_all();
  audit();
  CHECK(mp_shm_chunk_next(0) < 0);
}

/* As many as fit, and once more after all of them have been freed, in an order that leaves holes. */
static uint64_t fill(uint64_t bytes, uint64_t most) {
  static uint64_t all[4096];
  uint64_t n = 0;
  for (int64_t i; n < most && (i = claim(bytes, MP_HELD)) >= 0;) all[n++] = (uint64_t)i;
  for (uint64_t k = 0; k < n; k += 2) give(all[k]);
  cool_all();
  audit();
  for (uint64_t k = 1; k < n; k += 2) give(all[k]);
  return n;
}

static void fill_with_large(void) {
  static const uint64_t sizes[] = {(1 << 20) + 16, 1000016, (512 << 10) + 16, (2 << 20) + 1, 40000, 1 << 20};
  t_what = "large ones side by side";
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    uint64_t room = mp_shm_header->npages * MP_PAGE, fit = room / (sizes[k] + sizes[k] / 8 + MP_PAGE);
    for (int again = 0; again < 2; again++) CHECK(fill(sizes[k], 4096) + 1 >= (fit < 4096 ? fit : 4096));
    cool_all();
    audit();
  }
}

/* --- kills --- */

static uint64_t kept[KEPT];
static uint64_t wanted;

/* Holes of 3, 5, 7 pages, with free blocks of several orders side by side. */
static void make_holes(void) {
  uint64_t holes[KEPT];
  for (unsigned k = 0; k < KEPT; k++) {
    holes[k] = (uint64_t)claim((3 + 2 * k) * MP_PAGE, MP_HELD);
    kept[k] = (uint64_t)claim(MP_PAGE, MP_HELD);
  }
  for (unsigned k = 0; k < KEPT; k++) give(holes[k]);
  cool_all();
}

static void claim_wanted(void *arg) { (void)arg, claim(wanted, MP_HELD); }

static void claim_and_free(void *arg) {
  (void)arg;
  int64_t i = claim(wanted, MP_HELD);
  if (i >= 0) give((uint64_t)i);
}

static void claim_free_cool(void *arg) {
  claim_and_free(arg);
  claim(mp_shm_header->size, MP_HELD);
}

static void no_process_left(void) {
  mp_shm_sweep();
  CHECK(mp_shm_arena_lock(NULL) == 0);
  mp_shm_arena_unlock();
  audit();
  for (unsigned k = 0; k < KEPT; k++) CHECK(mp_shm_chunk_state(st_of(kept[k])) == MP_HELD);
  for (unsigned k = 0; k < KEPT; k++) give(kept[k]);
  CHECK(mp_shm_chunk_next(0) < 0);
  cool_all();
  audit();
}

static void five(void) { make_holes(), wanted = 5 * MP_PAGE; }
static void thirteen(void) { make_holes(), wanted = 13 * MP_PAGE; }

static void recover(void *arg) {
  (void)arg;
  mp_shm_sweep();
  CHECK(mp_shm_arena_lock(NULL) == 0);
  mp_shm_arena_unlock();
}

static const t_op ops[] = {
    {"a claim of a run of 5 pages", five, claim_wanted, no_process_left, NULL, recover},
    {"a claim of a run of 13 pages", thirteen, claim_wanted, no_process_left, NULL, NULL},
    {"its claim and its freeing", five, claim_and_free, no_process_left, NULL, NULL},
    {"and its return to the buddies", thirteen, claim_free_cool, no_process_left, NULL, NULL},
};

int main(void) {
  setenv("MPROC_ARENA", "64M", 1);
  t_start();
  CHECK(mp_shm_header->size == ROOM);
  t_deadline(60);
  claim_and_free_many();
  t_deadline(60);
  fill_with_large();
  long points = t_run_ops(ops, sizeof ops / sizeof *ops, NULL, &checks);
  printf("%ld kill points\nok %ld\n", points, checks);
  return 0;
}
