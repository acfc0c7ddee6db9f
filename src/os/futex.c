/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a shared word, and the robust list's pending entry: the kernel, when it ends a thread, looks at the
 * word that `list_op_pending` names and wakes one sleeper if the word's owner bits are 0. Set round a store and
 * the wake that must follow it, it makes the pair survive a kill between the two.
 */
#include "os/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

MP_PROCESS_LOCAL struct robust_list_head *mp_os_robust;
MP_PROCESS_LOCAL uint32_t mp_os_tid;

int mp_os_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline) {
  struct timespec t = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
  long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline == MP_FOREVER ? NULL : &t, NULL,
                   FUTEX_BITSET_MATCH_ANY);
  return r < 0 ? -errno : 0;
}

void mp_os_futex_wake(_Atomic uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

/* A fork's only thread has its robust list where the forking thread had it: asking again would cost it a page. */
MP_HOT_AFTER_FORK void mp_os_pending_attach(const mp_os_mutex *mine) {
  static MP_PROCESS_LOCAL pthread_t whose;
  size_t len = 0;
  mp_os_tid = mp_os_mutex_owner(mine);
  if (mp_os_robust && pthread_equal(whose, pthread_self())) return;
  whose = pthread_self();
  if (syscall(SYS_get_robust_list, 0, &mp_os_robust, &len) != 0) mp_os_robust = NULL;
}
