/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of taking a lease, ending it and giving it back, and of what a joinable queue
 * does besides; a survivor must find every message once or still there, the queue usable, and nothing left.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/queue/joinable.h"

#define SMALL 64
#define BIG 96 /* a large message here */

static mp_shm_queue *q, *carried;
static mp_shm_handle qh, carried_h;
static size_t size;
static const mp_shm_wait now = {0, NULL, NULL};

static void make_empty(void) {
  q = t_queue(0, &qh);
  size = SMALL;
}

static void make(uint32_t kind, size_t bytes) {
  CHECK(mp_shm_queue_new(0, kind, &t_soon, &qh) == 0);
  q = mp_shm_object_block(qh, MP_TYPE_QUEUE);
  size = bytes;
  t_put_number(q, 1, size);
  t_put_number(q, 2, size);
}

static void two_small(void) { make(0, SMALL); }
static void two_big(void) { make(0, BIG); }
static void two_reported(void) { make(MP_QUEUE_REPORTS, SMALL); }
static void two_joinable(void) { make(MP_QUEUE_JOINABLE, SMALL); }

static uint64_t number_of(const mp_shm_incoming *g) { return *(const uint64_t *)g->data; }

static void take(mp_shm_incoming *g) { CHECK(mp_shm_queue_lease(q, g, &now) == 0); }

static void lease(void *arg) {
  mp_shm_incoming g;
  (void)arg, take(&g);
}

static void lease_and_end(void *arg) {
  mp_shm_incoming g;
  (void)arg, take(&g);
  mp_shm_queue_done(&g);
}

static void lease_and_drop(void *arg) {
  mp_shm_incoming g;
  (void)arg, take(&g);
  mp_shm_lease_give_back(&g);
}

static void let_go(void) {
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

/* What is left is in order: each of first.. once, and the queue goes on. */
static void rest_from(uint64_t first) {
  CHECK(mp_shm_queue_size(q) == 3 - first);
  for (uint64_t n = first; n <= 2; n++) CHECK(t_get_number(q, now) == n);
  t_put_number(q, 3, size);
  CHECK(t_get_number(q, now) == 3);
  CHECK(t_get_number(q, now) == 0);
  CHECK(!mp_shm_queue_close(q, &t_soon));
  mp_shm_incoming g;
  CHECK(mp_shm_queue_lease(q, &g, &now) == -EPIPE);
  let_go();
}

/* A lease that was not ended comes back, whenever its holder died. */
static void after_lease(void) {
  mp_shm_sweep();
  rest_from(1);
}

static void after_end(void) {
  mp_shm_sweep();
  rest_from(mp_shm_queue_size(q) == 2 ? 1 : 2);
}

/* In the queue, or an orphan: one of both. */
static void after_reported(void) {
  mp_shm_incoming g;
  mp_shm_sweep();
  bool orphan = mp_shm_queue_orphan(q, &g, &now) == 0;
  if (orphan) {
    CHECK(number_of(&g) == 1);
    mp_shm_queue_done(&g);
    CHECK(mp_shm_queue_orphan(q, &g, &now) == -EAGAIN);
  }
  rest_from(orphan ? 2 : 1);
}

static void one_orphan(void) {
  two_reported();
  pid_t pid = fork();
  if (pid == 0) {
    lease(NULL);
    _exit(0);
  }
  CHECK(waitpid(pid, NULL, 0) == pid);
  mp_shm_sweep();
}

static void take_orphan(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_orphan(q, &g, &now) == 0);
  mp_shm_queue_done(&g);
}

/* Cut short, it is still an orphan: its taker never reached its end. */
static void after_taking(void) {
  mp_shm_incoming g;
  mp_shm_sweep();
  if (mp_shm_queue_orphan(q, &g, &now) == 0) mp_shm_queue_done(&g);
  CHECK(mp_shm_queue_orphan(q, &g, &now) == -EAGAIN);
  rest_from(2);
}

static void take_orphan_and_return(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_orphan(q, &g, &now) == 0);
  mp_shm_orphan_return(&g);
}

/* --- with a handle --- */

static void small_with_handle(void) {
  CHECK(mp_shm_queue_new(0, 0, &t_soon, &qh) == 0);
  q = mp_shm_object_block(qh, MP_TYPE_QUEUE);
  carried = t_queue(0, &carried_h);
  size = SMALL;
  CHECK(t_put(q, "handle", 6, &carried_h, 1) == 0);
  mp_shm_object_unuse(carried_h);
}

static void after_handle(void) {
  mp_shm_incoming g;
  mp_shm_sweep();
  if (mp_shm_queue_lease(q, &g, &now) == 0) {
    CHECK(g.nhandles == 1 && g.handles[0] == carried_h);
    CHECK(mp_shm_object_block(carried_h, MP_TYPE_QUEUE));
    mp_shm_queue_done(&g);
  }
  CHECK(!mp_shm_object_block(carried_h, MP_TYPE_QUEUE));
  let_go();
}

/* --- joinable --- */

static void get_and_finish(void *arg) {
  (void)arg;
  CHECK(t_get_number(q, now) == 1);
  CHECK(mp_shm_joinable_done(q) == 0);
}

/* Nobody is left who could finish anything: what is not in the queue counts as finished. */
static void after_joinable(void) {
  mp_shm_sweep();
  uint64_t left = mp_shm_queue_size(q);
  CHECK(left == 1 || left == 2);
  CHECK(mp_shm_joinable_unfinished(q) == left);
  for (uint64_t n = 3 - left; n <= 2; n++) {
    CHECK(mp_shm_joinable_join(q, &now) == -ETIMEDOUT);
    CHECK(t_get_number(q, now) == n);
    CHECK(mp_shm_joinable_join(q, &now) == -ETIMEDOUT);
    CHECK(mp_shm_joinable_done(q) == 0);
  }
  CHECK(mp_shm_joinable_join(q, &now) >= 0);
  CHECK(mp_shm_joinable_join(q, &now) == 0);
  CHECK(mp_shm_joinable_done(q) == -ERANGE);
  let_go();
}

static const t_op ops[] = {
    {"lease inline", two_small, lease, after_lease, NULL, NULL},
    {"lease large", two_big, lease, after_lease, NULL, NULL},
    {"lease inline and end it", two_small, lease_and_end, after_end, NULL, NULL},
    {"lease large and end it", two_big, lease_and_end, after_end, NULL, NULL},
    {"lease inline and drop it", two_small, lease_and_drop, after_lease, NULL, NULL},
    {"lease large and drop it", two_big, lease_and_drop, after_lease, NULL, NULL},
    {"lease with a handle", small_with_handle, lease, after_handle, NULL, NULL},
    {"lease with a handle and end it", small_with_handle, lease_and_end, after_handle, NULL, NULL},
    {"lease of a reporting queue", two_reported, lease, after_reported, NULL, NULL},
    {"take an orphan", one_orphan, take_orphan, after_taking, NULL, NULL},
    {"take an orphan and return it", one_orphan, take_orphan_and_return, after_taking, NULL, NULL},
    {"joinable: get and finish", two_joinable, get_and_finish, after_joinable, NULL, NULL},
};

/* --- a stopped process inside a lock --- */

static pid_t stopped_with(mp_os_mutex *m) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    CHECK(mp_os_mutex_try(m) == MP_LOCKED);
    raise(SIGSTOP);
  }
  CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  return pid;
}

/* What follows a delivery, or a lease that is dropped, does not wait for it; the next call does it. */
static long ends_in_time(void (*end)(mp_shm_incoming *), mp_os_mutex *m, uint64_t left) {
  mp_shm_incoming g;
  take(&g);
  pid_t pid = stopped_with(m);
  uint64_t began = mp_os_now();
  end(&g);
  CHECK(mp_os_now() - began < 300 * MP_MS);
  t_end(pid);
  CHECK(t_get_number(q, now) == 3 - left);
  if (left == 2) CHECK(t_get_number(q, now) == 2);
  CHECK(t_get_number(q, now) == 0);
  let_go();
  return 1;
}

/* Kills it once all that was tried meanwhile has been given up. */
static pid_t kill_later(pid_t pid) {
  pid_t helper = fork();
  if (helper) return helper;
  usleep((useconds_t)(3 * MP_GRACE / 1000));
  kill(pid, SIGKILL);
  _exit(0);
}

/* Nor is it forgotten by one who then waits for a message: it has the only one in its own hands. */
static long comes_back_to_who_waits(void) {
  mp_shm_incoming g;
  mp_shm_wait w = {mp_os_now() + 20 * MP_GRACE, NULL, NULL};
  make_empty();
  t_put_number(q, 1, size);
  take(&g);
  pid_t pid = stopped_with(&q->consumers), helper = kill_later(pid);
  mp_shm_lease_give_back(&g);
  CHECK(t_get_number(q, w) == 1);
  t_end(pid);
  t_end(helper);
  let_go();
  return 1;
}

static void give_back(mp_shm_incoming *g) { CHECK(mp_shm_queue_return(q, g) == 0); }

static long while_stopped(void) {
  t_what = "a process stopped inside a lock";
  t_deadline(20);
  two_big();
  long n = ends_in_time(mp_shm_queue_done, &mp_shm_header->lock, 1);
  two_small();
  n += ends_in_time(give_back, &q->consumers, 2);
  two_small();
  n += ends_in_time(mp_shm_lease_give_back, &q->consumers, 2);
  return n + comes_back_to_who_waits();
}

int main(int argc, char **argv) {
  t_start();
  mp_shm_queue_inline_max = SMALL;
  long n = 0, points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : NULL, &n);
  n += while_stopped();
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
