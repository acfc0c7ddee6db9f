/* SPDX-License-Identifier: MIT */
/*
 * The end of a process that has children, reached by main's return, an error, or os.exit. Runs inside exit(), after
 * the Lua state may have been closed, so it uses none; also called by L3 where a child leaves in order.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "os/named.h"
#include "os/process.h"
#include "os/socket.h"
#include "process/children.h"
#include "process/log.h"
#include "process/rest.h"
#include "process/trace.h"
#include "shm/queue/pipe_end.h"
#include "shm/wait/wait_set.h"

#define TERM_GRACE (1000 * MP_MS) /* what a daemon may take after SIGTERM */
#define KILL_GRACE (5000 * MP_MS) /* after SIGKILL: only a system call that cannot be ended takes time */
#define QUIET (2000 * MP_MS)      /* waiting for longer is said */
enum { REPORT = 1024 };

static mp_shm_proc_ref made_here; /* this process, when mproc has forked it */

static int failed_as;                /* what it ends with instead of 1, or 0 */
static mp_shm_proc_ref failed_where; /* in this process only */

MP_HOT_AFTER_FORK void mp_process_children_forked(void) { made_here = mp_shm_proc_self(); }

void mp_process_children_exit_as(int status) {
  failed_as = status;
  failed_where = mp_shm_proc_self();
}

static void log_daemons(void) {
  for (int i = -1; (i = mp_process_child_next(i, true)) >= 0;)
    mp_process_log(MP_LOG_INFO, "ends daemon '%s' (pid %d), which still runs; join() it before, if its work is wanted",
                   mp_process_child_at(i)->name, (int)mp_process_child_at(i)->pid);
}

static void signal_all(bool daemon, int sig) {
  for (int i = -1; (i = mp_process_child_next(i, daemon)) >= 0;) mp_process_child_signal(i, sig);
}

/* True when all of them have ended by the deadline. */
static bool await_all(bool daemon, uint64_t deadline) {
  const mp_shm_wait w = {deadline, NULL, NULL};
  bool all = true;
  for (int i = -1; (i = mp_process_child_next(i, daemon)) >= 0;)
    if (mp_process_child_wait(i, &w) != 0) all = false;
  return all;
}

/* One line on stderr; what does not fit is left out. */
static void report(void) {
  char text[REPORT];
  int n = snprintf(text, sizeof text, "mproc: pid %d waits for the end of", (int)getpid());
  for (int i = -1; (i = mp_process_child_next(i, false)) >= 0 && n < REPORT - 2 * MP_CHILD_NAME;) {
    const mp_process_child *c = mp_process_child_at(i);
    n += snprintf(text + n, (size_t)(REPORT - n), " '%s' (pid %d)", c->name, (int)c->pid);
  }
  text[n++] = '\n';
  mp_os_write(STDERR_FILENO, text, (size_t)n);
}

/* No Lua runs here any more, so nobody will send or receive: who waits at the other end of a pipe, perhaps one of the
 * children that are waited for here, learns it now. */
static void close_ends(void) {
  bool alone = mp_process_child_next(-1, true) < 0 && mp_process_child_next(-1, false) < 0;
  if (alone || !mp_shm_usable()) return;
  mp_shm_wait_set_leaves();
  mp_shm_references_drop(MP_TYPE_PIPE_END);
}

MP_HOT_AFTER_FORK static void finish(void) {
  mp_process_rests_finish();
  close_ends();
  mp_os_named_leave();
  if (mp_process_child_next(-1, true) >= 0) {
    if (mp_process_log_wants(MP_LOG_INFO)) log_daemons();
    signal_all(true, SIGTERM);
    if (!await_all(true, mp_os_now() + TERM_GRACE)) {
      signal_all(true, SIGKILL);
      await_all(true, mp_os_now() + KILL_GRACE);
    }
  }
  if (mp_process_child_next(-1, false) < 0 || await_all(false, mp_os_now() + QUIET)) return;
  report();
  await_all(false, MP_FOREVER);
}

MP_HOT_AFTER_FORK void mp_process_children_finish(void) {
  finish();
  mp_os_paths_leave();
  if (mp_process_traces) mp_process_trace_end();
}

/* Inside exit(). Inherited C code may call it in a child of ours: that must not run what the parent registered. Where the
 * system does not tell the status, it is found out when it matters; all else has been done then. */
static void at_exit(int status) {
  mp_os_sigint_default();
  mp_process_children_finish();
  bool failed = failed_as && !mp_shm_inherited(failed_where);
  bool told = status >= 0;
  if (failed && !told) status = mp_os_exit_status();
  if (failed && status == 1) {
    if (mp_shm_usable()) mp_shm_proc_set_exit(failed_as & 0xff);
    mp_shm_proc_unregister();
    mp_os_leave(failed_as);
  }
  if (status < 0 && !mp_shm_inherited(made_here)) mp_os_leave_files();
  if (status < 0 || (told && mp_shm_inherited(made_here))) return;
  if (mp_shm_usable()) mp_shm_proc_set_exit(MP_LEFT_EARLY | (status & 0xff));
  mp_shm_proc_unregister();
  mp_os_leave(status);
}

int mp_process_children_hook(void) {
  mp_os_pin(&made_here);
  return mp_os_at_exit(at_exit);
}
