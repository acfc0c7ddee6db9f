/* SPDX-License-Identifier: MIT */
/*
 * Readers and writers of one lock are killed (campaign.h). The audit:
 *   writers    count two words, the second after a pause, with nothing atomic, and find no other writer and no living
 *              reader inside; `writing` is the life that writes.
 *   readers    not told that the lock was abandoned, they find nobody writing and the two words equal, before and after.
 *   abandoned  not told: nobody is writing. Told with somebody writing: that life was killed. Every reader is told until
 *              one has written again, so tellings are not counted but by the writers: they are no more than deaths.
 *   a dead reader keeps no writer out, or the next truce would find a hang.
 */
#include <errno.h>

#include "campaign.h"
#include "shm/sync/rwlock.h"

enum { WORKERS = 6, WRITERS = 3, HOLD = 1500 };
enum { READ = 1, END_READ, WRITE, END_WRITE };
#define SHORT (300 * MP_MS / 1000)

typedef struct book {
  uint64_t first, second; /* counted by the writer, nothing atomic */
  _Atomic uint64_t writing;
  _Atomic uint64_t reading[T_WORKERS]; /* lives */
  _Atomic uint64_t told, wrote;
} book;

static book *b;
static mp_shm_rwlock *x;
static mp_shm_handle h;

static void set_up(void) {
  b = t_shared(sizeof *b);
  CHECK(mp_shm_rwlock_new(&t_soon, &h) == 0);
  x = mp_shm_object_block(h, MP_TYPE_RWLOCK);
}

static mp_shm_wait patience(void) {
  mp_shm_wait w = t_soon;
  if (t_random() % 4 == 0) w.deadline = mp_os_now() + SHORT;
  return w;
}

static void look(bool told) { CHECK(told || (!b->writing && b->first == b->second)); }

static void read_once(unsigned i) {
  mp_shm_wait w = patience();
  t_at(READ);
  int r = mp_shm_rwlock_read(x, &w);
  if (r == -ETIMEDOUT) return;
  CHECK(r == MP_LOCKED || r == MP_ABANDONED);
  b->reading[i] = t_workers[i].life;
  uint64_t dead = b->writing;
  CHECK(!dead || t_was_killed(dead));
  look(r == MP_ABANDONED);
  t_hold(HOLD);
  look(r == MP_ABANDONED);
  b->reading[i] = 0;
  t_at(END_READ);
  mp_shm_rwlock_end_read(x);
  t_ended();
}

static void nobody_reads(void) {
  for (unsigned i = 0; i < WORKERS; i++) {
    uint64_t life = b->reading[i];
    CHECK(!life || t_was_killed(life));
  }
}

static void came_to_write(uint64_t life, bool told) {
  uint64_t before = b->writing;
  CHECK(told ? !before || t_was_killed(before) : !before && b->first == b->second);
  b->writing = life;
  nobody_reads();
  if (!told) return;
  t_count->abandoned++;
  b->told++;
  b->second = b->first;
}

static void write_once(unsigned i) {
  mp_shm_wait w = patience();
  t_at(WRITE);
  int r = mp_shm_rwlock_write(x, h, &w);
  if (r == -ETIMEDOUT) return;
  CHECK(r == MP_LOCKED || r == MP_ABANDONED);
  came_to_write(t_workers[i].life, r == MP_ABANDONED);
  b->first++;
  t_hold(HOLD);
  nobody_reads();
  b->second++;
  CHECK(b->first == b->second);
  b->writing = 0;
  t_at(END_WRITE);
  mp_shm_rwlock_end_write(x, h);
  b->wrote++;
  t_ended();
}

static void work(unsigned i) {
  while (!t_stopping()) {
    (i < WRITERS ? write_once : read_once)(i);
    t_hold(HOLD);
  }
}

static void audit(void) {
  int r = mp_shm_rwlock_write(x, h, &t_soon);
  CHECK(r >= 0);
  came_to_write(UINT64_MAX, r == MP_ABANDONED);
  mp_shm_rwlock_end_write(x, h);
  CHECK(b->told <= t_kills);
  CHECK(b->wrote <= b->first && b->first <= b->wrote + t_kills);
  mp_shm_object_unuse(h);
}

int main(void) {
  static const t_campaign c = {
      .users = "rwlock",
      .operations = {NULL, "read", "end of reading", "write", "end of writing"},
      .workers = WORKERS,
      .set_up = set_up,
      .work = work,
      .audit = audit,
  };
  return t_campaign_run(&c);
}
