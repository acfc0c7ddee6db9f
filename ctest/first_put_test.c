/* SPDX-License-Identifier: MIT */
/*
 * A queue's first message is put between any two instructions of a reader that looks without waiting; the reader must
 * get that message or none. MP_STRIDE=n tries every nth instruction.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "harness.h"

#define SMALL 64
#define STEPS_MOST 100000 /* a reader takes some thousands */

typedef struct answer {
  _Atomic int err;
  _Atomic uint64_t number;
} answer;

static answer *said;
static mp_queue *q;
static mp_handle qh;
static const mp_wait now = {0, NULL, NULL};

static void say(int err, mp_got *g) {
  said->err = err;
  if (err) return;
  said->number = *(const uint64_t *)g->data;
  mp_queue_done(g);
}

static void get(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_got g;
  (void)arg, say(mp_queue_get(q, buf, &g, &now), &g);
}

static void lease(void *arg) {
  mp_got g;
  (void)arg, say(mp_queue_lease(q, &g, &now), &g);
}

static bool is_whole(void *arg, const void *data, size_t len) {
  (void)arg, (void)data;
  return len == SMALL;
}

static void get_if_whole(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  static const mp_queue_test whole = {is_whole, NULL};
  mp_got g;
  (void)arg, say(mp_queue_get_if(q, buf, &g, &whole, &now), &g);
}

/* Puts while the reader stands still. False when it stands with a lock that the put needs. */
static bool put_now(void) {
  static uint64_t bytes[SMALL / 8] = {1};
  mp_piece piece = {bytes, sizeof bytes};
  mp_parcel m = {&piece, 1, sizeof bytes, NULL, 0};
  int err = mp_queue_put(q, &m, &now);
  CHECK(err == 0 || err == -ETIMEDOUT);
  return err == 0;
}

/* True when the reader had ended before. */
static bool put_after(long steps, void (*read)(void *)) {
  t_point = steps;
  q = t_queue(0, &qh);
  said->err = 1;
  pid_t pid = t_trace(read, NULL);
  bool over = t_step(pid, steps), put = put_now();
  CHECK(t_step(pid, STEPS_MOST));
  t_end(pid);
  CHECK(said->err == 0 ? put && said->number == 1 : said->err == -ETIMEDOUT);
  mp_shm_sweep();
  CHECK(mp_queue_size(q) == (put && said->err));
  mp_object_unuse(qh);
  t_nothing_left();
  return over;
}

static long everywhere(const char *name, void (*read)(void *)) {
  long points = 0;
  t_what = name;
  for (long k = t_first(); !put_after(k, read); k += t_stride(), points++) t_deadline(20);
  printf("  %-36s %6ld points\n", name, points);
  return points;
}

int main(void) {
  t_start();
  said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(said != MAP_FAILED);
  long points = everywhere("get", get);
  points += everywhere("lease", lease);
  points += everywhere("get what passes a test", get_if_whole);
  printf("ok %ld\n", points);
  return 0;
}
