/* SPDX-License-Identifier: MIT */
/*
 * A fork server is killed at every instruction of what it does for a request, and who asks one at every instruction of that.
 * Afterwards the process has been started once, or taken back and never run; nothing is left, neither a process, nor a place,
 * nor an object. MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "os/process.h"
#include "process/children.h"
#include "process/fork_server.h"

#define PATIENCE (20000 * MP_MS)

static _Atomic int *ran; /* how many processes have run */
static mp_shm_handle rh, sh;
static mp_shm_queue *requests;
static mp_process_fork_request first, second;
static uint64_t began;
static pid_t server;

static void nap(void) { mp_os_sleep(mp_os_now() + MP_MS); }

static bool is_known(pid_t pid) { return pid == getpid() || pid == server; }

/* What was forked and has no place, or has lost it, is about to end. */
static void nobody_else_runs(void) {
  uint64_t until = mp_os_now() + PATIENCE;
  while (mp_os_mapped_elsewhere(mp_shm_header, began, is_known) && mp_os_now() < until) nap();
  CHECK(!mp_os_mapped_elsewhere(mp_shm_header, began, is_known));
}

/* --- the server's side --- */

static _Noreturn void live(void) {
  (*ran)++;
  mp_shm_proc_set_exit(0);
  mp_shm_proc_unregister();
  _exit(0);
}

static pid_t serve_one(void) {
  mp_process_fork_request q;
  if (!mp_process_fork_server_next(requests, &q)) _exit(0);
  pid_t pid = mp_os_fork();
  if (pid == 0) live();
  mp_process_fork_server_forked(&q, pid);
  return pid;
}

/* --- a server that is killed --- */

static void post(mp_process_fork_request *q) {
  *q = (mp_process_fork_request){.start = sh};
  CHECK(mp_shm_newcomer_reserve(sh, false, &q->child) == 0);
  CHECK(t_put(requests, q, sizeof *q, NULL, 0) == 0);
}

static void prepare(void) {
  began = mp_os_now();
  *ran = 0;
  requests = t_queue(0, &rh);
  t_queue(0, &sh);
  post(&first);
  post(&second);
}

/* The second request has it reap the first process, and tell. */
static void run_serve(void *arg) {
  siginfo_t info;
  (void)arg;
  CHECK(mp_process_fork_server_begin(rh));
  pid_t pid = serve_one();
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0) CHECK(errno == EINTR);
  serve_one();
}

/* As who asked does: it takes the request back, or has a process that ends; whichever, no later look says anything else. */
static int settle(const mp_process_fork_request *q) {
  bool back = mp_shm_newcomer_cancel(q->child);
  pid_t pid = back ? 0 : mp_shm_newcomer_pid(q->child, 0);
  CHECK(back || pid > 0);
  if (back) return 0;
  int place = mp_process_child_place();
  CHECK(place >= 0);
  mp_process_child_started(place, q->child, pid, false, "served");
  mp_process_child_served(place, mp_shm_header->fork_server.ref);
  CHECK(mp_process_child_wait(place, &t_soon) == 0);
  CHECK(mp_process_child_at(place)->exitcode == 0);
  mp_process_child_drop(place);
  return 1;
}

static void after_serve(void) {
  int started = settle(&first);
  started += settle(&second);
  nobody_else_runs();
  CHECK(*ran == started);
  mp_shm_object_unuse(sh);
  mp_shm_object_unuse(rh);
  mp_shm_sweep();
  t_nothing_left();
}

/* --- who asks is killed --- */

static void run_server(void) {
  server = fork();
  CHECK(server >= 0);
  if (server > 0) return;
  CHECK(mp_process_fork_server_begin(rh));
  mp_shm_object_use_held(rh);
  for (;;) serve_one();
}

static void prepare_ask(void) {
  began = mp_os_now();
  *ran = 0;
}

static void run_ask(void *arg) {
  (void)arg;
  mp_process_fork_request q = {0};
  mp_shm_proc_ref of;
  CHECK(mp_shm_queue_new(0, 0, &t_soon, &q.start) == 0);
  CHECK(mp_shm_newcomer_reserve(q.start, false, &q.child) == 0);
  pid_t pid = mp_process_fork_ask(&q, &of, &t_soon);
  CHECK(pid > 0);
  int place = mp_process_child_place();
  mp_process_child_started(place, q.child, pid, false, "served");
  mp_process_child_served(place, of);
  CHECK(mp_process_child_wait(place, &t_soon) == 0 && mp_process_child_at(place)->exitcode == 0);
  mp_process_child_drop(place);
  mp_shm_object_unuse(q.start);
}

static bool all_is_quiet(void) {
  mp_shm_stats s;
  mp_shm_sweep();
  mp_shm_stats_get(&s);
  return s.processes == 2 && s.objects == 1;
}

/* The server and its queue stay. */
static void after_ask(void) {
  uint64_t until = mp_os_now() + PATIENCE;
  while (!all_is_quiet() && mp_os_now() < until) nap();
  CHECK(all_is_quiet());
  CHECK(*ran <= 1);
  CHECK(!mp_os_gone(server));
}

/* --- */

static const t_op serving = {"serve a request", prepare, run_serve, after_serve, NULL, NULL};
static const t_op asking = {"ask a server", prepare_ask, run_ask, after_ask, NULL, NULL};

int main(void) {
  t_start();
  ran = t_shared(sizeof *ran);
  long n = t_run_op(&serving);
  requests = t_queue(0, &rh);
  run_server();
  while (!mp_process_fork_server_ref()) nap();
  n += t_run_op(&asking);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  server = 0;
  mp_shm_object_unuse(rh);
  mp_shm_sweep();
  t_nothing_left();
  printf("ok %ld\n", n);
  return 0;
}
