/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of what it does with descriptors: making one (with and without a store there),
 * fetching, taking one out of a queue, letting go of the last reference. Afterwards nothing may be left: no object, no file
 * in the store, no store that nobody knows. MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "os/local.h"
#include "os/process.h"
#include "process/store.h"

#define PATIENCE (10000 * MP_MS)

static mp_shm_handle h, qh;
static mp_shm_queue *q;
static uint64_t began;
static int ends[2];

static void make(void) {
  CHECK(mp_shm_descriptor_new(&t_soon, &h) == 0);
  CHECK(mp_process_store_keep(h, ends[1], &t_soon) == 0);
}

static bool is_known(pid_t pid) { return pid == getpid() || (pid == mp_shm_header->fd_store.pid && !mp_os_gone(pid)); }

static void nap(void) { mp_os_sleep(mp_os_now() + MP_MS); }

/* A writing end in the store, or anywhere else, keeps the pipe from its end. */
static bool is_ended(void) {
  char c;
  return read(ends[0], &c, 1) == 0;
}

static void open_pipe(void) { CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0); }

/* The last copies of the pipe's writing end go with the objects. */
static void nothing_is_kept(void) {
  uint64_t until = mp_os_now() + PATIENCE;
  close(ends[1]);
  while (!is_ended() && mp_os_now() < until) nap(), mp_shm_sweep();
  CHECK(is_ended());
  close(ends[0]);
  t_nothing_left();
}

static void no_store_is_astray(void) {
  uint64_t until = mp_os_now() + PATIENCE;
  while (mp_os_mapped_elsewhere(mp_shm_header, began, is_known) && mp_os_now() < until) nap();
  CHECK(!mp_os_mapped_elsewhere(mp_shm_header, began, is_known));
}

/* --- the operations --- */

static void prepare(void) { open_pipe(); }

static void prepare_one(void) {
  open_pipe();
  make();
}

static void prepare_queue(void) {
  prepare_one();
  q = t_queue(0, &qh);
  CHECK(t_put(q, "x", 1, &h, 1) == 0);
  mp_shm_object_unuse(h);
}

static void prepare_without_store(void) {
  open_pipe();
  kill(mp_shm_header->fd_store.pid, SIGKILL);
}

static void run_make(void *arg) {
  (void)arg;
  make();
  mp_shm_object_unuse(h);
}

static void run_fetch(void *arg) {
  (void)arg;
  int fd = mp_process_store_fetch(h, &t_soon);
  CHECK(fd >= 0);
  close(fd);
}

static void run_take(void *arg) {
  (void)arg;
  static _Alignas(16) char buffer[MP_INLINE_MAX];
  mp_shm_incoming m;
  CHECK(mp_shm_queue_get(q, buffer, &m, &t_soon) == 0);
  CHECK(mp_shm_object_use(h, MP_TYPE_DESCRIPTOR, &t_soon) == 0);
  mp_shm_queue_done(&m);
  run_fetch(NULL);
  mp_shm_object_unuse(h);
}

static void after_make(void) {
  mp_shm_sweep();
  nothing_is_kept();
}

static void after_fetch(void) {
  int fd = mp_process_store_fetch(h, &t_soon);
  CHECK(fd >= 0);
  close(fd);
  mp_shm_object_unuse(h);
  after_make();
}

static void after_take(void) {
  mp_shm_sweep();
  mp_shm_object_unuse(qh);
  after_make();
}

static void after_start(void) {
  make();
  run_fetch(NULL);
  mp_shm_object_unuse(h);
  after_make();
  no_store_is_astray();
}

static const t_op ops[] = {
    {"make and drop", prepare, run_make, after_make, NULL, NULL},
    {"fetch", prepare_one, run_fetch, after_fetch, NULL, NULL},
    {"take, fetch and drop", prepare_queue, run_take, after_take, NULL, NULL},
    {"start a store", prepare_without_store, run_make, after_start, NULL, NULL},
};

/* --- the store --- */

/* What it kept is lost, and says so; the next one is kept by another store. */
static void store_is_killed(void) {
  open_pipe();
  make();
  kill(mp_shm_header->fd_store.pid, SIGKILL);
  while (!mp_os_gone(mp_shm_header->fd_store.pid)) nap();
  CHECK(mp_process_store_fetch(h, &t_soon) == -EOWNERDEAD);
  CHECK(mp_process_store_fetch(h, &t_soon) == -EOWNERDEAD);
  mp_shm_handle old = h;
  make();
  CHECK(mp_process_store_fetch(old, &t_soon) == -EOWNERDEAD);
  run_fetch(NULL);
  mp_shm_object_unuse(old);
  mp_shm_object_unuse(h);
  nothing_is_kept();
}

/* Who does not know the secret, or sends what is no question, is hung up on; the others are served. */
static void store_believes_nothing(void) {
  mp_process_store_question bad = {.h = 1, .what = MP_STORE_FETCH};
  mp_process_store_answer a;
  int passed;
  open_pipe();
  make();
  for (size_t n = 1; n <= sizeof bad; n++) {
    int fd = mp_os_local_connect(mp_shm_header->fd_store.name, MP_STORE_NAME);
    CHECK(fd >= 0);
    CHECK(mp_os_local_send(fd, &bad, n, ends[1]) == 0);
    CHECK(mp_os_poll(fd, mp_os_now() + PATIENCE) == 1);
    CHECK(mp_os_local_receive(fd, &a, sizeof a, &passed) <= 0 && passed == -1);
    close(fd);
  }
  run_fetch(NULL);
  mp_shm_object_unuse(h);
  nothing_is_kept();
}

/* Any handle, any verb: no answer but an error, and nothing kept. */
static void store_takes_no_forged_handle(void) {
  int passed;
  mp_process_store_answer a;
  mp_process_store_question bad;
  open_pipe();
  make();
  int fd = mp_os_local_connect(mp_shm_header->fd_store.name, MP_STORE_NAME);
  CHECK(fd >= 0);
  for (uint64_t i = 0; i < 64; i++) {
    bad = (mp_process_store_question){.h = (h + (UINT64_C(1) << i)), .what = i % 2 ? MP_STORE_KEEP : MP_STORE_FETCH};
    memcpy(bad.secret, mp_shm_header->fd_store.secret, sizeof bad.secret);
    CHECK(mp_os_local_send(fd, &bad, sizeof bad, ends[1]) == 0);
    CHECK(mp_os_poll(fd, mp_os_now() + PATIENCE) == 1);
    CHECK(mp_os_local_receive(fd, &a, sizeof a, &passed) == 1 && a.err < 0 && passed == -1);
  }
  close(fd);
  run_fetch(NULL);
  mp_shm_object_unuse(h);
  nothing_is_kept();
}

int main(void) {
  long n = 0;
  t_start();
  mp_process_store_setup();
  began = mp_os_now();
  t_what = "store";
  store_is_killed();
  store_believes_nothing();
  store_takes_no_forged_handle();
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) n += t_run_op(&ops[i]);
  no_store_is_astray();
  printf("ok %ld\n", n + 3);
  return 0;
}
