/* SPDX-License-Identifier: MIT */
/* The supervisor of campaigns. The contracts stand in campaign.h. */
#define _GNU_SOURCE
#include "campaign.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

#define SALT UINT64_C(0x9e3779b97f4a7c15)
#define LIVES_MOST (UINT64_C(1) << 24)
#define KILL_EVERY_US 1500
#define KILLS 1000
#define TRUCE 64
#define STOP_ONE_IN 8
#define PLAN_WAIT (1 * MP_MS) /* for the worker to come to the operation; then to any */
#define STEPS_WAIT (20 * MP_MS)
#define NEWS 200000 /* ns */
#define POLL_US 100
#define STEPS_FIRST 256 /* a first guess of how long an operation is */
#define STEPS_MOST 4000
#define LAST_GASP 60 /* s, for the end */
enum { ANY = T_OPERATIONS };

t_worker *t_workers;
t_tally *t_count;
uint64_t t_kills;

typedef struct control { /* shared */
  _Atomic int stop;
} control;

static const t_campaign *c;
static control *ctl;
static _Atomic uint8_t *killed; /* per life */
static pid_t pids[T_WORKERS];
static mp_shm_proc_ref refs[T_WORKERS];
static bool stopped[T_WORKERS];
static unsigned self = T_WORKERS; /* this worker; the supervisor has a place as well */
static bool doomed;               /* it is to die in this operation */
static uint64_t random_state, lives, hung, slowest, planned[T_OPERATIONS];
static uint64_t began, seconds, most; /* ns, and how long: s, or 0: kills */
static long guess[T_OPERATIONS];      /* how many instructions it has, about */

uint64_t t_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state >> 11;
}

void t_hold(unsigned longest) {
  for (uint64_t i = t_random() % 4 ? 0 : t_random() % longest; i > 0; i--) mp_os_pause();
}

/* --- workers --- */

bool t_stopping(void) { return ctl->stop; }
bool t_was_killed(uint64_t life) { return life && killed[life % LIVES_MOST]; }

/* This life ends within the operation that begins, or with it. */
static void end_within(t_worker *w) {
  doomed = true;
  killed[w->life % LIVES_MOST] = 1;
  t_die_after(w->steps, &w->run);
}

static void end_here(t_worker *w) {
  w->whole = 1;
  kill(getpid(), SIGKILL);
}

void t_at(uint32_t operation) {
  t_worker *w = &t_workers[self];
  if (doomed) end_here(w);
  w->at = operation;
  uint32_t plan = w->plan;
  if (!plan || !operation || (plan != operation && plan != ANY)) return;
  if (atomic_compare_exchange_strong(&w->plan, &plan, 0)) end_within(w);
}

void t_ended(void) {
  t_at(0);
  t_workers[self].ended++;
}

/* --- their lives --- */

static void start(unsigned i) {
  uint64_t seed = t_random() | 1;
  pid_t parent = getpid();
  t_workers[i].at = t_workers[i].plan = t_workers[i].whole = t_workers[i].run = 0;
  t_workers[i].life = ++lives;
  CHECK(mp_shm_proc_reserve(&refs[i]) == 0);
  pids[i] = fork();
  CHECK(pids[i] >= 0);
  stopped[i] = false;
  if (pids[i]) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(3);
  random_state = seed;
  self = i;
  CHECK(mp_shm_usable());
  c->work(i);
  _exit(0);
}

/* At once, or with the next one: then a waiter's slice may find it dead first. */
static void let_go(mp_shm_proc_ref ref) {
  static mp_shm_proc_ref later;
  if (later) mp_shm_proc_release(later, true);
  later = t_random() % 2 ? ref : 0;
  if (!later && ref) mp_shm_proc_release(ref, true);
}

/* A worker that ended by itself failed a check, and has said which. */
static void reap_killed(unsigned i) {
  int status = 0;
  do CHECK(waitpid(pids[i], &status, 0) == pids[i]);
  while (WIFSTOPPED(status));
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  pids[i] = 0;
}

static void kill_one(unsigned i) {
  killed[t_workers[i].life % LIVES_MOST] = 1;
  kill(pids[i], SIGKILL);
  reap_killed(i);
  t_kills++;
  if (c->died) c->died(i);
  let_go(refs[i]);
  start(i);
}

/* --- planned points --- */

static unsigned number_of_operations(void) {
  unsigned n = 0;
  while (n + 1 < T_OPERATIONS && c->operations[n + 1]) n++;
  return n;
}

static void await_news(void) {
  const struct timespec t = {0, NEWS};
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigtimedwait(&chld, NULL, &t);
}

/* True once the worker has begun it. */
static bool begins(t_worker *w, uint32_t operation) {
  uint32_t other = w->plan;
  if (other == 0 || !atomic_compare_exchange_strong(&w->plan, &other, operation)) return true;
  for (uint64_t end = mp_os_now() + PLAN_WAIT; w->plan && mp_os_now() < end;) await_news();
  return w->plan == 0;
}

/* Gives it the time, unless it sleeps in the middle: that is a point as well. */
static void await_end(unsigned i) {
  siginfo_t info;
  for (uint64_t end = mp_os_now() + STEPS_WAIT; mp_os_now() < end; await_news()) {
    info.si_pid = 0;
    CHECK(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    if (info.si_pid) return;
  }
}

static void learn(const t_worker *w) {
  long *g = &guess[w->at], n = w->run;
  *g = w->whole ? n + n / 8 + 16 : *g + *g / 16;
  if (*g > STEPS_MOST) *g = STEPS_MOST;
  planned[w->at]++;
}

static void kill_as_planned(unsigned i) {
  t_worker *w = &t_workers[i];
  uint32_t operation = 1 + (uint32_t)(t_random() % number_of_operations());
  w->steps = 1 + (uint32_t)(t_random() % (uint64_t)guess[operation]);
  w->plan = operation;
  if (begins(w, operation) || begins(w, ANY)) await_end(i), learn(w);
  kill_one(i);
}

/* --- the hang detector --- */

/* ns for which the workers have waited for a CPU, all in all. */
static uint64_t waited_for_cpu(void) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < c->workers; i++) {
    char name[64];
    unsigned long ran, waited;
    snprintf(name, sizeof name, "/proc/%d/schedstat", (int)pids[i]);
    FILE *f = fopen(name, "r");
    if (f && fscanf(f, "%lu %lu", &ran, &waited) == 2) sum += waited;
    if (f) fclose(f);
  }
  return sum;
}

static void report(void);

static void hangs(const char *what) {
  hung++;
  fprintf(stderr, "%s: a hang: %s\n", c->users, what);
  for (unsigned i = 0; i < c->workers; i++)
    fprintf(stderr, "  worker %u (pid %d): %lu ended, in %s\n", i, (int)pids[i], (long)t_workers[i].ended,
            t_workers[i].at ? c->operations[t_workers[i].at] : "none");
  if (c->show) c->show();
  if (getenv("MP_STAY")) raise(SIGSTOP);
  report();
  for (unsigned i = 0; i < c->workers; i++)
    if (pids[i] > 0) t_end(pids[i]);
  exit(1);
}

uint64_t t_await(bool (*done)(void), const char *what) {
  uint64_t since = mp_os_now(), waited = waited_for_cpu(), took = 0;
  while (!done()) {
    usleep(POLL_US);
    took = mp_os_now() - since;
    if (took > T_HANG && took > T_HANG + waited_for_cpu() - waited) hangs(what);
  }
  return took;
}

static uint64_t before[T_WORKERS];

static void must_run(unsigned i) {
  int status;
  CHECK(waitpid(pids[i], &status, WNOHANG) == 0);
}

static bool all_moved(void) {
  for (unsigned i = 0; i < c->workers; i++)
    if (t_workers[i].ended == before[i]) return must_run(i), false;
  return true;
}

static void truce(void) {
  for (unsigned i = 0; i < c->workers; i++) before[i] = t_workers[i].ended;
  uint64_t took = t_await(all_moved, "somebody ends no operation");
  if (took > slowest) slowest = took;
}

/* --- the campaign --- */

static void go_on_all(void) {
  for (unsigned i = 0; i < c->workers; i++)
    if (stopped[i]) kill(pids[i], SIGCONT), stopped[i] = false;
}

static void stop_one(unsigned i) {
  kill(pids[i], SIGSTOP);
  stopped[i] = true;
}

static void harass(void) {
  unsigned i = (unsigned)(t_random() % c->workers);
  go_on_all();
  if (c->may_die && !c->may_die(i)) return must_run(i);
  if (c->stops && t_random() % STOP_ONE_IN == 0) return stop_one(i);
  if (t_random() % 2) return kill_as_planned(i);
  usleep((useconds_t)(t_random() % KILL_EVERY_US));
  kill_one(i);
}

static uint64_t setting(const char *name) {
  const char *s = getenv(name);
  return s ? strtoull(s, NULL, 0) : 0;
}

static double part_done(void) {
  return seconds ? (double)(mp_os_now() - began) / (double)(seconds * 1000 * MP_MS) : (double)t_kills / (double)most;
}

bool t_second_half(void) { return part_done() > 0.5; }

static void rampage(void) {
  for (uint64_t next = TRUCE; part_done() < 1;) {
    t_deadline(LAST_GASP);
    harass();
    if (t_kills < next) continue;
    go_on_all();
    truce();
    next = t_kills + TRUCE;
  }
  go_on_all();
}

static bool all_ended(void) {
  bool all = true;
  if (c->stop) c->stop();
  for (unsigned i = 0; i < c->workers; i++) {
    int status = 0;
    if (pids[i] && waitpid(pids[i], &status, WNOHANG) == 0) {
      all = false;
    } else if (pids[i]) {
      pids[i] = 0;
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      mp_shm_proc_release(refs[i], true);
    }
  }
  return all;
}

static uint64_t in_all(void) {
  uint64_t n = 0;
  for (unsigned i = 0; i < c->workers; i++) n += t_workers[i].ended;
  return n;
}

/* One line for who runs the test, one for the table of `make campaign`. */
static void report(void) {
  uint64_t sum = 0;
  printf("  planned kills:");
  for (unsigned k = 1; k <= number_of_operations(); k++) {
    printf("%s %lu in %s", k > 1 ? "," : "", (long)planned[k], c->operations[k]);
    sum += planned[k];
  }
  printf(
      "\ncampaign: %s; %lu operations, %lu kills, %lu planned, %lu abandoned, %lu lost, %lu twice, %lu hung, %lu ms\n",
      c->users, (long)in_all(), (long)t_kills, (long)sum, (long)t_count->abandoned, (long)t_count->lost,
      (long)t_count->twice, (long)hung, (long)(slowest / MP_MS));
}

/* MP_KILLS_users, or MP_KILLS for those who have none of their own. */
static uint64_t kills_of(const char *users) {
  char own[64];
  snprintf(own, sizeof own, "MP_KILLS_%s", users);
  uint64_t n = setting(getenv(own) ? own : "MP_KILLS");
  return n ? n : KILLS;
}

static void set_up(const char *users) {
  uint64_t seed = setting("MP_SEED");
  seconds = setting("MP_SECONDS");
  most = kills_of(users);
  began = mp_os_now();
  random_state = seed ? seed : mp_os_now();
  printf("  MP_SEED=%lu\n", (long)random_state);
  random_state = random_state * SALT | 1;
  ctl = t_shared(sizeof *ctl);
  t_count = t_shared(sizeof *t_count);
  t_workers = t_shared((T_WORKERS + 1) * sizeof *t_workers);
  killed = t_shared(LIVES_MOST);
  for (unsigned k = 0; k < T_OPERATIONS; k++) guess[k] = STEPS_FIRST;
  t_block_sigchld();
}

int t_campaign_run(const t_campaign *campaign) {
  c = campaign;
  t_start();
  t_what = c->users;
  set_up(c->users);
  c->set_up();
  for (unsigned i = 0; i < c->workers; i++) start(i);
  rampage();
  t_deadline(LAST_GASP);
  ctl->stop = 1;
  t_await(all_ended, "somebody does not end");
  let_go(0);
  let_go(0);
  mp_shm_sweep();
  if (c->audit) c->audit();
  report();
  if (t_count->lost || t_count->twice) return 1;
  t_nothing_left();
  printf("ok 4\n"); /* nothing lost, twice, hung or left */
  return 0;
}
