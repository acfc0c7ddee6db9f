/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a shared word, and the robust list's pending entry: the kernel, when it ends a thread, looks at the
 * word that `list_op_pending` names and wakes one sleeper if the word's owner bits are 0. Set round a store and
 * the wake that must follow it, it makes the pair survive a kill between the two.
 */
#include "os/os.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

typedef struct kernel_time { /* of this call, whatever the C library's own is: since the start, so a long will do */
  long s, ns;
} kernel_time;

enum { FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_BITSET_ANY = -1 }; /* the system's: <linux/futex.h> */

MP_PROCESS_LOCAL mp_os_robust_list *mp_os_robust;
static MP_PROCESS_LOCAL mp_os_robust_list *forking; /* of the thread that forks */
static MP_PROCESS_LOCAL pthread_t attached;         /* whose list mp_os_robust is */
MP_PROCESS_LOCAL uint32_t mp_os_tid;

int mp_os_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline) {
  kernel_time t = {(long)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
  long r =
      syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline == MP_FOREVER ? NULL : &t, NULL, FUTEX_BITSET_ANY);
  return r < 0 ? -errno : 0;
}

void mp_os_futex_wake(_Atomic uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

/* NULL where there is none. */
static mp_os_robust_list *ask(int *err) {
  mp_os_robust_list *list = NULL;
  size_t len = 0;
  *err = syscall(SYS_get_robust_list, 0, &list, &len) != 0 ? -errno : list ? 0 : -ENOSYS;
  return *err ? NULL : list;
}

/* musl tells the kernel of a thread's list when it first locks such a mutex. */
int mp_os_robust_check(void) {
  mp_os_mutex m;
  int err = mp_os_mutex_init(&m, true);
  if (!err) err = mp_os_mutex_try(&m);
  if (err) return err;
  ask(&err);
  mp_os_mutex_unlock(&m);
  return err;
}

static bool is_attached(void) { return mp_os_robust && pthread_equal(attached, pthread_self()); }

/* A fork's only thread has its robust list where the forking thread had it: asking again would cost it a page. */
MP_HOT_AFTER_FORK void mp_os_pending_attach(const mp_os_mutex *mine) {
  int err;
  mp_os_tid = mp_os_mutex_owner(mine);
  if (is_attached()) return;
  attached = pthread_self();
  mp_os_robust = ask(&err);
}

void mp_os_pending_before_fork(void) {
  int err;
  forking = is_attached() ? mp_os_robust : ask(&err);
}

MP_HOT_AFTER_FORK void mp_os_pending_forked(void) {
  if (!forking) return;
  forking->first.next = &forking->first;
  forking->pending = NULL;
}
