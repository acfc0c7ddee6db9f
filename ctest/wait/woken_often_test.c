/* SPDX-License-Identifier: MIT */
/*
 * A process waits for what a dead one has in hand, while its wait queue is woken all the time for nothing: no slice of its ever
 * comes to its end, and it must learn of the death all the same.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/wait/wait_set.h"

enum { RING_EVERY_US = 500 };
#define SOON (2000 * MP_MS)

static mp_shm_queue *q;
static mp_shm_handle h;

static void lease_and_pause(void) {
  mp_shm_incoming g;
  CHECK(mp_shm_queue_lease(q, &g, &t_soon) == 0);
  for (;;) pause();
}

/* A closed queue, whose only message a dead process has: not even its parent has noticed. */
static pid_t dead_lessee(void) {
  pid_t pid = fork();
  if (pid == 0) lease_and_pause();
  while (mp_shm_queue_size(q)) usleep(RING_EVERY_US);
  CHECK(mp_shm_queue_close(q, &t_soon) == 0);
  return pid;
}

static void wait_in_get(void) { _exit(t_get_number(q, t_soon) != 1); }

static void wait_for_many(void) {
  mp_os_pollfd fds[2];
  mp_shm_wait_source s = {.wait_queue = &q->data, .ready = mp_shm_queue_ready, .arg = q, .fd = -1};
  _exit(mp_shm_wait_set_wait(&s, 1, fds, &t_soon) != 1);
}

static void learns(void (*waits)(void)) {
  int status = -1;
  q = t_queue(0, &h);
  t_put_number(q, 1, 64);
  pid_t dead = dead_lessee(), waiter = fork();
  if (waiter == 0) waits();
  while (!t_asleep(waiter)) usleep(RING_EVERY_US);
  t_end(dead);
  for (uint64_t end = mp_os_now() + SOON; mp_os_now() < end && waitpid(waiter, &status, WNOHANG) == 0;) {
    mp_shm_wait_queue_wake_again(&q->data);
    usleep(RING_EVERY_US);
  }
  if (status < 0) t_end(waiter);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  mp_shm_object_unuse(h);
  t_nothing_left();
}

int main(void) {
  setenv("MPROC_SPIN", "0", 1);
  t_start();
  t_what = "get, rung all the time";
  learns(wait_in_get);
  t_what = "wait, rung all the time";
  learns(wait_for_many);
  printf("ok 2\n");
  return 0;
}
