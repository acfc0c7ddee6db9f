/* SPDX-License-Identifier: MIT */
/* A condition, and processes that wait for it. The contracts stand in condition_scene.h. */
#define _GNU_SOURCE
#include "sync/condition_scenario.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SURELY (5000 * MP_MS)

cond_witness *cond_w;
mp_shm_condition *cond_c;
mp_shm_mutex *cond_lock;
mp_shm_handle cond_handle, cond_lock_handle;

cond_witness *cond_victim(void) { return &cond_w[COND_WITNESSES]; }

void cond_setup(void) {
  setenv("MPROC_SPIN", "0", 1); /* a spin would be stepped through */
  t_start();
  cond_w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* --- those who wait --- */

static int slice_begins(void *arg) {
  cond_witness *s = arg;
  s->armed = mp_os_now();
  return (int)s->interrupt;
}

void cond_acquire(void) { CHECK(mp_shm_mutex_acquire(cond_lock, cond_lock_handle, &t_soon) >= 0); }

void cond_wait_once(void *arg) {
  cond_witness *s = arg;
  bool abandoned;
  s->slot = mp_shm_my_slot;
  cond_acquire();
  s->armed = mp_os_now();
  s->result = mp_shm_condition_wait(cond_c, cond_handle, cond_lock, cond_lock_handle, &s->wait, &abandoned);
  s->abandoned = abandoned;
  s->woken = mp_os_now();
  s->releasing = 1;
  if (mp_shm_mutex_mine(cond_lock)) mp_shm_mutex_release(cond_lock, cond_lock_handle);
  s->released = 1;
}

static void reset(cond_witness *s) {
  memset(s, 0, sizeof *s);
  s->slot = UINT32_MAX;
  s->wait = (mp_shm_wait){MP_FOREVER, slice_begins, s};
}

static bool sleeps(const cond_witness *s) {
  return s->slot != UINT32_MAX && mp_shm_per_process_load(&cond_c->slots, s->slot) &&
         *mp_shm_private_wait_word(s->slot) == MP_WORD_ARMED;
}

void cond_await_asleep(const cond_witness *s) {
  while (!sleeps(s)) usleep(COND_PAUSE_US);
}

/* Ends its slice. */
void cond_look_now(const cond_witness *s) { mp_shm_word_notify(mp_shm_private_wait_word(s->slot)); }

void cond_start(int i) {
  reset(&cond_w[i]);
  pid_t pid = fork();
  if (pid == 0) {
    cond_wait_once(&cond_w[i]);
    for (;;) pause();
  }
  cond_w[i].pid = pid;
  cond_await_asleep(&cond_w[i]);
}

void cond_start_all(void) {
  for (int i = 0; i < COND_WITNESSES; i++) cond_start(i);
}

static bool cond_woken_by(const cond_witness *s, uint64_t deadline) {
  while (!s->woken && mp_os_now() < deadline) usleep(COND_PAUSE_US);
  return s->woken != 0;
}

void cond_must_wake(const cond_witness *s) {
  CHECK(cond_woken_by(s, mp_os_now() + SURELY));
  CHECK(s->result == 0);
}

unsigned cond_waiting(void) { return mp_shm_condition_waiting(cond_c); }

/* Soon: another one's slice may be just sweeping, and then ours finds nothing to do. */
void cond_must_wait(unsigned n) {
  uint64_t deadline = mp_os_now() + SURELY;
  while (cond_waiting() != n && mp_os_now() < deadline) usleep(COND_PAUSE_US);
  CHECK(cond_waiting() == n);
}

void cond_notify(uint64_t n) {
  cond_acquire();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, n, &t_soon) == 0);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
}

/* --- begin and end of a point --- */

void cond_begin(void) {
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &cond_lock_handle) == 0);
  CHECK(mp_shm_condition_new(&t_soon, &cond_handle) == 0);
  cond_lock = mp_shm_object_block(cond_lock_handle, MP_TYPE_MUTEX);
  cond_c = mp_shm_object_block(cond_handle, MP_TYPE_CONDITION);
  reset(cond_victim());
}

static void cond_end_witnesses(void) {
  for (int i = 0; i < COND_WITNESSES; i++) {
    if (cond_w[i].pid) t_end(cond_w[i].pid);
    cond_w[i].pid = 0;
  }
}

static void cond_end(void) {
  cond_end_witnesses();
  mp_shm_object_unuse(cond_handle);
  mp_shm_object_unuse(cond_lock_handle);
  t_nothing_left();
}

/* Whatever happened before: each further notification is one waiter less, and all wake. */
static void works_for_the_rest(void) {
  for (unsigned left = cond_waiting(); left > 0; left = cond_waiting()) {
    cond_notify(1);
    CHECK(cond_waiting() < left);
  }
  for (int i = 0; i < COND_WITNESSES; i++)
    if (cond_w[i].pid) cond_must_wake(&cond_w[i]);
  CHECK(cond_waiting() == 0);
}

void cond_finish(void) {
  mp_shm_sweep();
  works_for_the_rest();
  cond_end_witnesses();
  cond_start(0); /* and the condition is as new */
  cond_notify(1);
  cond_must_wake(&cond_w[0]);
  cond_end();
}

void cond_stop(pid_t pid) {
  int status;
  CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

/* Traced, asleep in its wait, and stopped there. */
pid_t cond_stopped_asleep(void) {
  pid_t pid = t_trace(cond_wait_once, cond_victim());
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  cond_await_asleep(cond_victim());
  cond_stop(pid);
  return pid;
}

void cond_run_to_end(pid_t pid) {
  int status;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  CHECK(waitpid(pid, &status, 0) == pid && cond_victim()->released);
}
