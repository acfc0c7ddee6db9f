/* SPDX-License-Identifier: MIT */
/* What the fork server does, in its own process. The protocol stands in fork_server.h. */
#include "process/fork_server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "os/process.h"
#include "shm/arena/proc.h"

typedef struct forked {
  mp_shm_proc_ref ref, parent;
  pid_t pid;  /* 0: the place is free */
  int status; /* once it is reaped: for the slot, which could not be told yet */
  bool daemon;
} forked;

MP_BSS_TAIL forked mp_process_forked_table[MP_PROC_MOST];
MP_BSS_TAIL char mp_process_fork_buffer[MP_INLINE_MAX];
static forked *const table = mp_process_forked_table;
static unsigned top;

bool mp_process_fork_server_begin(mp_shm_handle requests) {
  mp_shm_fork_server *s = &mp_shm_header->fork_server;
  mp_shm_proc_ref me = mp_shm_proc_self();
  uint64_t before = s->claimed;
  do {
    if (before && !mp_shm_proc_dead(before)) return false;
  } while (!atomic_compare_exchange_strong(&s->claimed, &before, me));
  s->requests = requests;
  atomic_store_explicit(&s->ref, me, memory_order_release);
  mp_os_heed_children();
  return true;
}

static forked *find(pid_t pid) {
  for (unsigned i = 0; i < top; i++)
    if (table[i].pid == pid) return &table[i];
  return NULL;
}

/* What it cannot tell now it tells later. */
static void tell(forked *f) {
  if (mp_shm_newcomer_tell(f->ref, f->status) == 0) f->pid = 0;
}

/* A module that was preloaded may have children of its own. */
static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = mp_os_reap_any(&status)) > 0) {
    forked *f = find(pid);
    if (!f) continue;
    f->status = MP_STATUS_REAPED | (status & MP_STATUS_MASK);
    tell(f);
  }
}

static void look(void) {
  for (unsigned i = 0; i < top; i++) {
    forked *f = &table[i];
    if (f->pid && f->status)
      tell(f);
    else if (f->pid && f->daemon && mp_shm_proc_dead(f->parent))
      mp_os_kill(f->pid, SIGKILL);
  }
}

/* After each signal and each slice of the wait for a request. */
static int tend(void *alone) {
  reap();
  look();
  mp_shm_sweep_now_and_then();
  *(bool *)alone = !mp_shm_proc_any_but(mp_shm_proc_self());
  return *(bool *)alone;
}

static bool take(mp_shm_queue *q, mp_process_fork_request *to, const mp_shm_wait *w) {
  mp_shm_incoming g;
  int err = mp_shm_queue_get(q, mp_process_fork_buffer, &g, w);
  if (err) return false;
  bool whole = g.len == sizeof *to;
  if (whole) memcpy(to, g.data, sizeof *to);
  mp_shm_queue_done(&g);
  return whole;
}

bool mp_process_fork_server_next(mp_shm_queue *q, mp_process_fork_request *to) {
  bool alone = false;
  mp_shm_wait w = {MP_FOREVER, tend, &alone};
  for (;;) {
    reap();
    if (!take(q, to, &w)) {
      if (alone) return false;
      continue;
    }
    if (!mp_shm_newcomer_prepare(to->child)) continue;
    mp_shm_proc_adopt(to->child);
    return true;
  }
}

static forked *free_place(void) {
  forked *f = find(0);
  return f || top == MP_PROC_MOST ? f : &table[top++];
}

/* There is a place: a process that is not reaped has its slot, and there are no more slots. */
void mp_process_fork_server_forked(const mp_process_fork_request *q, pid_t pid) {
  if (pid < 0) {
    mp_shm_proc_adopt(0);
    mp_shm_newcomer_tell(q->child, MP_STATUS_FAILED | -pid);
    return;
  }
  forked *f = free_place();
  if (f) *f = (forked){q->child, mp_shm_newcomer_parent(q->child), pid, 0, q->daemon != 0};
  mp_shm_newcomer_forked(q->child, pid);
}
