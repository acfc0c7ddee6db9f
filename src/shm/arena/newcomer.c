/* SPDX-License-Identifier: MIT */
/* Processes that were not forked by their parent. The contracts, and what a survivor sees, stand in newcomer.h. */
#include "shm/arena/newcomer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "os/process.h"
#include "shm/arena/proc.h"

static unsigned state_of(mp_shm_proc_ref ref) { return (unsigned)mp_shm_proc_state(mp_shm_ref_slot(ref)) & 0xff; }

static mp_shm_proc *proc_of(mp_shm_proc_ref ref) { return mp_shm_proc_at(mp_shm_ref_slot(ref)); }

static int reserve(mp_shm_handle h, mp_shm_proc_ref parent, mp_shm_proc_ref *child) {
  int err = mp_shm_proc_lock_briefly();
  if (err) return err;
  err = mp_shm_proc_claim_slot(parent, child);
  if (!err) mp_shm_reference_give(mp_shm_ref_slot(*child), h);
  mp_shm_arena_unlock();
  return err;
}

int mp_shm_newcomer_reserve(mp_shm_handle h, bool orphan, mp_shm_proc_ref *child) {
  mp_shm_proc_ref parent = orphan ? 0 : mp_shm_my_ref;
  int err = reserve(h, parent, child);
  if (!err) return 0;
  mp_shm_sweep();
  return reserve(h, parent, child);
}

bool mp_shm_newcomer_cancel(mp_shm_proc_ref child) {
  static const mp_shm_wait for_ever = {MP_FOREVER, NULL, NULL};
  if (mp_shm_arena_lock(&for_ever) != 0) return false;
  if (mp_shm_proc_is_current(child)) mp_shm_proc_free_starting(mp_shm_ref_slot(child));
  bool gone = !mp_shm_proc_is_current(child) || state_of(child) == MP_PROC_FREE;
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
  return gone;
}

int mp_shm_newcomer_attach(int fd, mp_shm_proc_ref self) {
  int err = mp_shm_arena_join(fd);
  if (err) return err;
  if (!mp_shm_proc_is_current(self) || !mp_shm_proc_enter(self)) return -ESTALE;
  return mp_shm_proc_watch_forks();
}

/* Sleeps while the word is 0, and no longer than that. */
static void await_word(_Atomic int32_t *word, uint64_t until) { mp_os_futex_wait((_Atomic uint32_t *)word, 0, until); }

pid_t mp_shm_newcomer_pid(mp_shm_proc_ref child, uint64_t most) {
  mp_shm_proc *p = proc_of(child);
  if (!p->pid && !p->status) await_word(&p->pid, mp_os_now() + most);
  int32_t status = p->status;
  return status & MP_STATUS_FAILED ? -(status & MP_STATUS_MASK) : p->pid;
}

int mp_shm_newcomer_status(mp_shm_proc_ref child, uint64_t most) {
  mp_shm_proc *p = proc_of(child);
  if (!p->status && most) await_word(&p->status, mp_os_now() + most);
  return p->status;
}

bool mp_shm_newcomer_prepare(mp_shm_proc_ref child) {
  if (mp_shm_proc_lock_briefly() != 0) return false;
  mp_shm_references_flush();
  bool wanted =
      mp_shm_proc_is_current(child) && state_of(child) == MP_PROC_STARTING && !mp_shm_proc_dead(proc_of(child)->parent);
  if (wanted) {
    proc_of(child)->since = mp_os_now(); /* a sweep that finds the parent dead meanwhile lets it come up */
    mp_shm_references_add(mp_shm_my_slot, mp_shm_ref_slot(child));
  }
  mp_shm_arena_unlock();
  return wanted;
}

/* Under the lock, for a parent that learned of a quick end may have let the slot go. */
void mp_shm_newcomer_forked(mp_shm_proc_ref child, pid_t pid) {
  mp_shm_proc *p = proc_of(child);
  if (mp_shm_proc_lock_briefly() != 0) return; /* the process itself says so, too */
  if (mp_shm_proc_is_current(child)) p->pid = (int32_t)pid;
  mp_shm_arena_unlock();
  mp_os_futex_wake((_Atomic uint32_t *)&p->pid, INT_MAX);
}

int mp_shm_newcomer_tell(mp_shm_proc_ref child, int status) {
  mp_shm_proc *p = proc_of(child);
  if (mp_shm_proc_lock_briefly() != 0) return -EAGAIN;
  if (mp_shm_proc_is_current(child)) p->status = status;
  mp_shm_arena_unlock();
  mp_os_futex_wake((_Atomic uint32_t *)&p->status, INT_MAX);
  if (status & MP_STATUS_FAILED) mp_os_futex_wake((_Atomic uint32_t *)&p->pid, INT_MAX);
  return 0;
}

mp_shm_proc_ref mp_shm_newcomer_parent(mp_shm_proc_ref child) {
  return mp_shm_proc_is_current(child) ? proc_of(child)->parent : 0;
}
