/* SPDX-License-Identifier: MIT */
/*
 * Conditions: what a waiter leaves behind that dies before it is notified, or that is ended by Ctrl-C and can have neither
 * the lock nor the condition's own mutex.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/condition_scenario.h"

/* --- a dead waiter that was not notified has nothing to pass on, though upto goes by --- */

static void dead_is_passed_over(void) {
  cond_begin();
  cond_victim()->pid = cond_stopped_asleep();
  cond_start(0);
  cond_start(1);
  t_end(cond_victim()->pid);
  cond_notify(1);
  CHECK(cond_waiting() == 1); /* at once, and not when the dead one has been reaped */
  cond_must_wake(&cond_w[0]);
  mp_shm_sweep();
  cond_must_wait(1);
  CHECK(!cond_w[1].woken);
  cond_finish();
}

/* --- neither the lock nor m is to be had after Ctrl-C --- */

static void leave_marked(void) {
  int status;
  cond_victim()->interrupt = 1;
  cond_look_now(cond_victim());
  CHECK(mp_shm_lock_word(&cond_c->m, &t_soon) == MP_LOCKED);
  ptrace(PTRACE_CONT, cond_victim()->pid, NULL, NULL);
  CHECK(waitpid(cond_victim()->pid, &status, 0) == cond_victim()->pid && cond_victim()->result == -EINTR);
  mp_os_mutex_unlock(&cond_c->m);
}

/* A waiter that left marked, notified or not, is alive; the next notifications are for the others, and its own too. */
static void left_marked(bool notified) {
  cond_begin();
  cond_victim()->pid = cond_stopped_asleep();
  cond_start_all();
  cond_acquire();
  if (notified) CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  leave_marked();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  cond_must_wake(&cond_w[0]);
  if (notified) cond_must_wake(&cond_w[1]);
  CHECK(cond_waiting() == (notified ? 1 : 2));
  t_end(cond_victim()->pid);
  cond_finish();
}

/* It waits again: the notification that it left with goes to another one first. */
static void run_wait_twice(void *arg) {
  cond_wait_once(arg);
  raise(SIGSTOP);
  cond_wait_once(arg);
}

static void left_and_waits_again(void) {
  cond_begin();
  pid_t pid = t_trace(run_wait_twice, cond_victim());
  cond_victim()->pid = pid;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  cond_await_asleep(cond_victim());
  cond_stop(pid);
  cond_start(0);
  cond_acquire();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  leave_marked();
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  cond_victim()->interrupt = 0;
  ptrace(PTRACE_CONT, pid, NULL, NULL);
  cond_must_wake(&cond_w[0]);
  cond_await_asleep(cond_victim());
  CHECK(cond_waiting() == 1);
  cond_victim()->released = 0;
  cond_notify(1);
  while (!cond_victim()->released) usleep(COND_PAUSE_US);
  CHECK(cond_victim()->result == 0);
  t_end(pid);
  cond_finish();
}

/* What it left behind reaches the next one while it lives. */
static void left_notified(void) {
  cond_begin();
  cond_victim()->pid = cond_stopped_asleep();
  cond_start(0);
  cond_acquire();
  CHECK(mp_shm_condition_notify(cond_c, cond_handle, cond_lock_handle, 1, &t_soon) == 0);
  cond_victim()->interrupt = 1;
  cond_look_now(cond_victim());
  cond_run_to_end(cond_victim()->pid);
  CHECK(cond_victim()->result == -EINTR);
  mp_shm_mutex_release(cond_lock, cond_lock_handle);
  cond_must_wake(&cond_w[0]);
  t_end(cond_victim()->pid);
  cond_finish();
}

int main(void) {
  cond_setup();
  t_what = "cases";
  t_deadline(20);
  dead_is_passed_over();
  left_notified();
  left_marked(false);
  left_marked(true);
  left_and_waits_again();
  puts("ok 5");
  return 0;
}
