/* SPDX-License-Identifier: MIT */
/* A process's side of the store of descriptors: its connection, and questions. The protocol stands in store.h. */
#include <errno.h>
#include <string.h>

#include "os/local.h"
#include "os/process.h"
#include "os/socket.h"
#include "process/store.h"
#include "shm/arena/deadline.h"

#define PATIENCE (10000 * MP_MS) /* for an answer: only a stopped store needs so long */
#define DYING (2000 * MP_MS)     /* from a kill to its end, on a busy machine */

static MP_PROCESS_LOCAL struct connection {
  bool open;
  int fd;
  uint64_t identity; /* of the socket: a host may close what it does not know, and the number is another file's then */
  uint64_t epoch;
  uint8_t secret[MP_STORE_NAME];
} to = {.open = false};

/* Writes nothing where none is open: in a fresh fork that would copy a page. */
MP_HOT_AFTER_FORK static void hang_up(void) {
  if (!to.open) return;
  if (mp_os_file_identity(to.fd) == to.identity) mp_os_close(to.fd);
  to.open = false;
}

static bool is_open(void) {
  if (to.open && mp_os_file_identity(to.fd) != to.identity) to.open = false;
  return to.open;
}

/* With another store than `wanted`, 0 for whichever there is, it is no use: -EOWNERDEAD. */
static int call(uint64_t wanted, const mp_shm_wait *w) {
  if (is_open() && (!wanted || wanted == to.epoch)) return 0;
  hang_up();
  int fd = mp_process_store_connect(&to.epoch, to.secret, !wanted, w);
  if (fd < 0) return fd;
  to.open = true;
  to.fd = fd;
  to.identity = mp_os_file_identity(fd);
  return 0;
}

static mp_process_store_question question(unsigned what, mp_shm_handle h, unsigned n) {
  mp_process_store_question q = {.h = h, .what = what, .n = n};
  memcpy(q.secret, to.secret, sizeof q.secret);
  return q;
}

/* 0, what the store says, or the connection's end: -EPIPE. */
static int hear(int *passed, const mp_shm_wait *w) {
  mp_process_store_answer a;
  uint64_t until = mp_os_now() + PATIENCE;
  for (;;) {
    int got = mp_os_local_receive(to.fd, &a, sizeof a, passed), err;
    if (got == 1) return a.err;
    if (got == -EMFILE) return got;
    if (got != -EAGAIN && got != -EINTR) return -EPIPE;
    mp_os_poll(to.fd, mp_shm_wait_slice(w));
    if ((err = mp_shm_wait_check(w)) != 0) return err;
    if (mp_os_now() > until) return -ETIMEDOUT;
  }
}

/* The store takes them one by one: after many that were not waited for there is no room for a while. */
static int post(const mp_process_store_question *q, int fd, const mp_shm_wait *w) {
  uint64_t until = mp_os_now() + PATIENCE;
  for (;;) {
    int err = mp_os_local_send(to.fd, q, sizeof *q, fd);
    if (err != -EAGAIN && err != -EINTR) return err;
    mp_os_socket_wait(to.fd, MP_OS_WRITE, mp_shm_wait_slice(w));
    if ((err = mp_shm_wait_check(w)) != 0) return err;
    if (mp_os_now() > until) return -ETIMEDOUT;
  }
}

/* One question and its answer. An answer that was not waited for must not be taken for the next one's. */
static int ask(unsigned what, mp_shm_handle h, int fd, int *passed, const mp_shm_wait *w) {
  mp_process_store_question q = question(what, h, 0);
  *passed = -1;
  int err = post(&q, fd, w);
  if (err == -EPIPE || err == -ECONNRESET || err == -ENOTCONN) err = -EPIPE;
  if (!err) err = hear(passed, w);
  if (err == -EPIPE || err == -EINTR || err == -ETIMEDOUT) hang_up();
  return err;
}

/* Again: a connection that the store has ended tells only now; and a store that is being killed lets others in to its last
 * moment. */
static int ask_store(uint64_t wanted, unsigned what, mp_shm_handle h, int fd, int *passed, const mp_shm_wait *w) {
  uint64_t until = mp_os_now() + DYING;
  for (int tries = 0;; tries++) {
    int err = call(wanted, w);
    if (!err && wanted && wanted != to.epoch) err = -EOWNERDEAD;
    if (!err) err = ask(what, h, fd, passed, w);
    if (err != -EPIPE) return err;
    if (mp_os_now() > until) return -EOWNERDEAD;
    if (tries) mp_os_sleep(mp_os_now() + MP_MS);
  }
}

int mp_process_store_keep(mp_shm_handle h, int fd, const mp_shm_wait *w) {
  int none;
  int err = ask_store(0, MP_STORE_KEEP, h, fd, &none, w);
  if (!err) mp_shm_descriptor_stored(h, to.epoch);
  return err;
}

int mp_process_store_fetch(mp_shm_handle h, const mp_shm_wait *w) {
  int fd;
  uint64_t epoch = mp_shm_descriptor_epoch(h);
  if (!epoch || epoch != atomic_load_explicit(&mp_shm_header->fd_store.epoch, memory_order_acquire)) return -EOWNERDEAD;
  int err = ask_store(epoch, MP_STORE_FETCH, h, -1, &fd, w);
  if (err) return err;
  return fd < 0 ? -EOWNERDEAD : fd;
}

/* Who has no connection tells nobody: the store looks by itself. */
static void died(mp_shm_handle h, unsigned n) {
  if (!is_open()) return;
  mp_process_store_question q = question(MP_STORE_DIED, h, n);
  mp_os_local_send(to.fd, &q, sizeof q, -1);
}

void mp_process_store_setup(void) {
  mp_shm_descriptor_hook = (mp_shm_descriptor_hooks){.forked = hang_up, .died = died};
}
