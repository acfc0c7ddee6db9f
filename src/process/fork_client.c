/* SPDX-License-Identifier: MIT */
/* A process's side of the fork server: finding it, starting it, asking it. The protocol stands in fork_server.h. */
#include <errno.h>
#include <unistd.h>

#include "os/process.h"
#include "process/fork_server.h"
#include "shm/arena/proc.h"

#define LOOK (20 * MP_MS)
#define PATIENCE (10000 * MP_MS) /* for a fork: only a stopped server needs so long */

static mp_shm_fork_server *words(void) { return &mp_shm_header->fork_server; }

mp_shm_proc_ref mp_process_fork_server_ref(void) {
  mp_shm_proc_ref ref = atomic_load_explicit(&words()->ref, memory_order_acquire);
  return ref && mp_shm_proc_lives(ref) ? ref : 0;
}

/* The queue of that server, held. 0; -EOWNERDEAD: it is dead. */
static int hold_requests(mp_shm_proc_ref server, mp_shm_handle *requests, const mp_shm_wait *w) {
  *requests = words()->requests;
  if (words()->ref != server) return -EOWNERDEAD;
  int err = mp_shm_object_use(*requests, MP_TYPE_QUEUE, w);
  return err == -ENOENT ? -EOWNERDEAD : err;
}

static int post(const mp_process_fork_request *q, mp_shm_proc_ref server, const mp_shm_wait *w) {
  mp_shm_handle requests;
  mp_shm_iovec bytes = {q, sizeof *q};
  mp_shm_outgoing out = {&bytes, 1, sizeof *q, NULL, 0};
  int err = hold_requests(server, &requests, w);
  if (err) return err;
  err = mp_shm_queue_put(mp_shm_object_block(requests, MP_TYPE_QUEUE), &out, w);
  mp_shm_object_unuse(requests);
  return err;
}

/* The answer, or why there is none. */
static pid_t hear(mp_shm_proc_ref child, mp_shm_proc_ref server, const mp_shm_wait *w) {
  uint64_t until = mp_os_now() + PATIENCE;
  for (;;) {
    pid_t pid = mp_shm_newcomer_pid(child, LOOK);
    if (pid) return pid;
    if (!mp_shm_proc_lives(server)) return -EOWNERDEAD;
    if (mp_os_now() > until) return -ETIMEDOUT;
    int err = mp_shm_wait_check(w);
    if (err) return err;
  }
}

/* One that is taken back may have come up meanwhile: then it has said its pid. */
pid_t mp_process_fork_ask(const mp_process_fork_request *q, mp_shm_proc_ref *server, const mp_shm_wait *w) {
  *server = mp_process_fork_server_ref();
  int err = *server ? post(q, *server, w) : -EOWNERDEAD;
  pid_t pid = err ? err : hear(q->child, *server, w);
  if (pid > 0 || mp_shm_newcomer_cancel(q->child)) return pid;
  return mp_shm_newcomer_pid(q->child, 0);
}

static int await_ready(mp_shm_proc_ref slot, pid_t pid, const mp_shm_wait *w) {
  for (;;) {
    if (mp_process_fork_server_ref()) return 0;
    if (mp_shm_proc_dead(slot) || mp_os_gone(pid)) return mp_process_fork_server_ref() ? 0 : -ECHILD;
    mp_os_sleep(mp_os_now() + MP_MS);
    int err = mp_shm_wait_check(w);
    if (err) return err;
  }
}

static int start(pid_t (*spawn)(void *arg, mp_shm_proc_ref slot), void *arg, mp_shm_handle h, const mp_shm_wait *w) {
  mp_shm_proc_ref slot;
  int err = mp_shm_newcomer_reserve(h, true, &slot);
  if (err) return err;
  mp_shm_proc_set_name(slot, "ForkServer");
  pid_t pid = spawn(arg, slot);
  if (pid < 0) {
    mp_shm_newcomer_cancel(slot);
    return (int)pid;
  }
  mp_shm_newcomer_forked(slot, pid);
  err = await_ready(slot, pid, w);
  if (err == -ECHILD) mp_shm_newcomer_cancel(slot);
  return err;
}

int mp_process_fork_server_start(pid_t (*spawn)(void *arg, mp_shm_proc_ref slot), void *arg, mp_shm_handle h,
                                 const mp_shm_wait *w) {
  mp_os_mutex *lock = &words()->starting;
  int r = mp_shm_lock_word(lock, w);
  if (r < 0) return r;
  if (r == MP_ABANDONED) mp_os_mutex_consistent(lock);
  int err = mp_process_fork_server_ref() ? 0 : start(spawn, arg, h, w);
  mp_os_mutex_unlock(lock);
  return err;
}

/* --- parents --- */

static mp_shm_proc_ref served_for, noted_by;

void mp_process_served_for(mp_shm_proc_ref parent) {
  served_for = parent;
  noted_by = mp_shm_proc_self();
}

pid_t mp_process_parent_pid(void) {
  bool mine = served_for && !mp_shm_inherited(noted_by);
  return mine && mp_shm_proc_lives(served_for) ? mp_shm_proc_pid(served_for) : getppid();
}

static bool lists(const pid_t *pids, int n, pid_t pid) {
  while (n > 0)
    if (pids[--n] == pid) return true;
  return false;
}

/* It runs, or comes up and has a pid. */
static bool runs(uint32_t slot) {
  unsigned s = (unsigned)mp_shm_proc_state(slot) & 0xff;
  return s == MP_PROC_LIVE ? !mp_shm_proc_slot_dead(slot) : s == MP_PROC_STARTING && !mp_shm_proc_at(slot)->status;
}

/* A process that is not listed, though its parent is; 0: none. */
static pid_t unlisted_child(const pid_t *pids, int n) {
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++) {
    const mp_shm_proc *p = mp_shm_proc_at(i);
    if (!runs(i) || !p->parent || !p->pid) continue;
    pid_t parent = mp_shm_proc_pid(p->parent), pid = p->pid;
    if (parent && lists(pids, n, parent) && !lists(pids, n, pid)) return pid;
  }
  return 0;
}

int mp_process_tree_stop(pid_t root, pid_t *pids, int max) {
  int n = mp_os_tree_stop(root, pids, max);
  if (!words()->claimed) return n;
  for (pid_t pid; n < max && (pid = unlisted_child(pids, n)) > 0;) n += mp_os_tree_stop(pid, pids + n, max - n);
  return n;
}
