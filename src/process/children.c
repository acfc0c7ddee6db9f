/* SPDX-License-Identifier: MIT */
/* The table of this process's children: places, ends, waits, signals. What happens at exit stands in exit.c. */
#include "process/children.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "process/log.h"
#include "shm/arena/monitor.h"
#include "shm/arena/newcomer.h"
#include "shm/wait/wait_queue.h"

enum { END_OF_LIST = 0, NO_FD = -1, CODE_MASK = 0xff };
#define JUST_BEGUN (20 * MP_MS) /* two ticks of the clock by which the system tells when a process began */
#define TELLING (10 * MP_MS)    /* between looks whether the server lives */
#define LOOK (2 * MP_MS)        /* between looks, where the system has no pidfd to wait on */

MP_BSS_TAIL mp_process_child mp_process_child_table[MP_CHILD_MAX];
static mp_process_child *const table = mp_process_child_table;
static int top, free_list; /* places below top have been used; place + 1 of the first free one, or END_OF_LIST */
static unsigned ends;
static mp_shm_proc_ref owner; /* whose children these are: a fork by anyone leaves a table that is not the child's */

const mp_process_child *mp_process_child_at(int place) { return &table[place]; }

MP_HOT_AFTER_FORK void mp_process_children_forget(void) {
  for (int i = 0; i < top; i++)
    if (table[i].used && table[i].pidfd != NO_FD) mp_os_close(table[i].pidfd);
  top = 0;
  free_list = END_OF_LIST;
  ends = 0;
  owner = mp_shm_proc_self();
}

static void own_table(void) {
  if (mp_shm_inherited(owner)) mp_process_children_forget();
}

static void free_place(int i) {
  if (table[i].pidfd != NO_FD) mp_os_close(table[i].pidfd);
  table[i].pidfd = NO_FD;
  table[i].used = false;
  table[i].next = free_list;
  free_list = i + 1;
}

int mp_process_child_place(void) {
  mp_process_children_reap();
  int i = free_list - 1;
  if (free_list != END_OF_LIST)
    free_list = table[i].next;
  else if (top < MP_CHILD_MAX)
    i = top++;
  else
    return -EAGAIN;
  table[i] = (mp_process_child){.pidfd = NO_FD, .used = true, .ended = true};
  return i;
}

/* Somebody else has the status: what it announced, or how it was probably killed. */
static int exitcode_without_status(const mp_process_child *c, int announced) {
  if (announced != MP_EXIT_NONE) return announced & CODE_MASK;
  return -(c->last_signal ? c->last_signal : SIGKILL);
}

static void log_end(const mp_process_child *c) {
  bool expected = c->exitcode == 0 || (c->exitcode < 0 && c->last_signal);
  int level = expected ? MP_LOG_INFO : MP_LOG_WARNING;
  const char *signal = c->exitcode < 0 ? mp_os_signal_name(-c->exitcode) : NULL;
  if (c->exitcode < 0)
    mp_process_log(level, "'%s' (pid %d) ended: signal %d (%s)%s", c->name, (int)c->pid, -c->exitcode,
                   signal ? signal : "?", expected ? ", sent from here" : "");
  else
    mp_process_log(level, "'%s' (pid %d) ended: exit code %d, %s", c->name, (int)c->pid, c->exitcode,
                   !c->returned       ? "it called os.exit"
                   : c->exitcode == 0 ? "its target returned"
                                      : "its target raised an error");
}

/* got, status: what mp_os_reap said. */
static void note_end(mp_process_child *c, int got, int status) {
  int announced = mp_shm_proc_exit(c->ref);
  c->exitcode = got == 1 ? mp_os_exit_code(status) : exitcode_without_status(c, announced);
  c->returned = c->exitcode >= 0 && announced != MP_EXIT_NONE && !(announced & MP_LEFT_EARLY);
  c->ended = true;
  ends++;
  if (mp_process_log_wants(MP_LOG_WARNING)) log_end(c);
  if (mp_shm_usable()) mp_shm_proc_release(c->ref, true);
}

/* A pid is given again only once its last process has been reaped: not by us, if that is not known to have ended. */
static void end_namesakes(int place) {
  for (int i = 0; i < top; i++)
    if (i != place && table[i].used && !table[i].ended && table[i].pid == table[place].pid)
      note_end(&table[i], -ECHILD, 0);
}

/* What another thread holds at the fork, as a lock of malloc's or of a library's, stays locked in the child for ever. */
static void log_start(const mp_process_child *c) {
  int threads = mp_os_threads();
  mp_process_log(MP_LOG_INFO, "started %s'%s' (pid %d)", c->daemon ? "daemon " : "", c->name, (int)c->pid);
  if (threads > 1)
    mp_process_log(MP_LOG_WARNING,
                   "forked '%s' (pid %d) while %d threads run: locks that the others held stay locked in it; "
                   "start processes before threads",
                   c->name, (int)c->pid, threads);
}

void mp_process_child_started(int place, mp_shm_proc_ref ref, pid_t pid, bool daemon, const char *name) {
  mp_process_child *c = &table[place];
  c->ref = ref;
  c->pid = pid;
  c->since = mp_os_now();
  c->daemon = daemon;
  c->ended = false;
  strncpy(c->name, name, sizeof c->name - 1);
  end_namesakes(place);
  if (mp_process_log_wants(MP_LOG_WARNING)) log_start(c);
}

void mp_process_child_served(int place, mp_shm_proc_ref server) { table[place].server = server; }

void mp_process_child_drop(int place) {
  mp_process_child *c = &table[place];
  c->dropped = true;
  if (c->pidfd != NO_FD) mp_os_close(c->pidfd);
  c->pidfd = NO_FD;
  if (mp_process_child_ended(place)) free_place(place);
}

/* A host has reaped it, and its pid is another child's. (One that runs another program now lives no more in the registry,
 * and one that has just begun not yet: whoever began so shortly after it could not be told from it.) */
static bool replaced(const mp_process_child *c) {
  return !mp_shm_proc_lives(c->ref) && mp_os_now() - c->since > JUST_BEGUN && mp_os_started_after(c->pid, c->since);
}

/* What its server has to tell of a child that has ended or is about to; 0: nothing, or not within that time. What has
 * announced its exit code and is gone needs no telling. */
static int told(const mp_process_child *c) {
  int status = 0;
  for (uint64_t until = mp_os_now() + MP_TOLD_WITHIN; !status && mp_os_now() < until;) {
    if (mp_shm_proc_exit(c->ref) != MP_EXIT_NONE && mp_os_gone(c->pid)) return 0;
    bool served = mp_shm_proc_lives(c->server);
    status = mp_shm_newcomer_status(c->ref, served ? TELLING : 0);
    if (!served) break;
  }
  return status;
}

static bool served_has_ended(mp_process_child *c) {
  int status = mp_shm_newcomer_status(c->ref, 0);
  if (!status) {
    if (mp_shm_proc_lives(c->ref)) return false;
    if (!mp_shm_proc_dead(c->ref) && !mp_os_gone(c->pid)) return false; /* it has not come up */
    status = told(c);
    if (!status && !mp_os_gone(c->pid) && !mp_os_started_after(c->pid, c->since)) return false;
  }
  note_end(c, status ? 1 : -ECHILD, status & MP_STATUS_MASK);
  return true;
}

bool mp_process_child_ended(int place) {
  mp_process_child *c = &table[place];
  if (c->ended) return true;
  if (c->server) return served_has_ended(c);
  int status = 0, got = mp_os_reap(c->pid, &status);
  if (got == 0 && !replaced(c)) return false;
  note_end(c, got == 0 ? -ECHILD : got, status);
  return true;
}

MP_HOT_AFTER_FORK int mp_process_child_next(int place, bool daemon) {
  if (mp_shm_inherited(owner)) return -1;
  while (++place < top) {
    const mp_process_child *c = &table[place];
    if (c->used && !c->ended && c->daemon == daemon) return place;
  }
  return -1;
}

unsigned mp_process_children_reap(void) {
  own_table();
  for (int i = 0; i < top; i++) {
    mp_process_child *c = &table[i];
    if (!c->used || (!c->ended && !mp_shm_proc_dead(c->ref))) continue;
    if (mp_process_child_ended(i) && c->dropped) free_place(i);
  }
  return ends;
}

/* Sleeps until pid ends, a slice is over or a signal comes. fd: its pidfd, or none yet. */
static int sleep_on(pid_t pid, int fd, const mp_shm_wait *w) {
  uint64_t slice = mp_shm_wait_slice(w), look = mp_os_now() + LOOK;
  int mine = fd == NO_FD ? mp_os_pidfd(pid) : fd;
  bool counted = mp_shm_usable(); /* exit() may come from a thread that is not ours */
  if (counted) mp_shm_wait_queue_asleep(MP_WAITS(MP_WAITS_PROCESS, pid));
  if (mine >= 0)
    mp_os_poll(mine, slice);
  else if (mine != -ESRCH)
    mp_os_sleep(slice < look ? slice : look);
  if (counted) mp_shm_wait_queue_awake();
  if (fd == NO_FD && mine >= 0) mp_os_close(mine);
  return mp_shm_wait_check(w);
}

int mp_process_child_wait(int place, const mp_shm_wait *w) {
  int err = 0;
  while (!mp_process_child_ended(place)) {
    if (err || !w->deadline) return err ? err : -ETIMEDOUT;
    err = sleep_on(table[place].pid, table[place].pidfd, w);
  }
  return 0;
}

int mp_process_peer_wait(mp_shm_proc_ref ref, pid_t pid, const mp_shm_wait *w) {
  int err = 0;
  while (!mp_shm_proc_dead(ref)) {
    if (err || !w->deadline) return err ? err : -ETIMEDOUT;
    err = sleep_on(pid, NO_FD, w);
  }
  return 0;
}

int mp_process_child_sentinel(int place) {
  mp_process_child *c = &table[place];
  if (c->pidfd != NO_FD) return c->pidfd;
  int fd = mp_process_child_ended(place) ? -ESRCH : mp_os_pidfd(c->pid);
  if (fd == -ESRCH) fd = mp_os_ready_fd();
  if (fd >= 0) c->pidfd = fd;
  return fd;
}

/* since: the process had begun by then. fd: its pidfd, or an error. Closes fd. */
static int send_signal(int fd, pid_t pid, uint64_t since, int sig) {
  int err = fd >= 0 ? mp_os_pidfd_signal(fd, pid, sig) : mp_os_pid_signal(pid, since, sig);
  if (fd >= 0) mp_os_close(fd);
  return err == -ESRCH ? 0 : err;
}

/* A pid that is still to be reaped by us names our child, and so does the pidfd made before we asked. */
int mp_process_child_signal(int place, int sig) {
  mp_process_child *c = &table[place];
  int fd = mp_os_pidfd(c->pid);
  bool gone = mp_process_child_ended(place) || fd == -ESRCH;
  if (!gone) c->last_signal = sig;
  if (!gone) return send_signal(fd, c->pid, c->since, sig);
  if (fd >= 0) mp_os_close(fd);
  return 0;
}

int mp_process_peer_signal(mp_shm_proc_ref ref, pid_t pid, int sig) {
  int fd = mp_os_pidfd(pid);
  uint64_t since = mp_os_now(); /* what has its pid and began later is another */
  bool gone = mp_shm_proc_dead(ref) || fd == -ESRCH;
  if (!gone) return send_signal(fd, pid, since, sig);
  if (fd >= 0) mp_os_close(fd);
  return 0;
}
