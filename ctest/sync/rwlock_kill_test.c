/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of what it does to a read-write lock, alone, beside others that hold it, and
 * while others sleep in it. Those must get it, at once where the dead process had let go, else when a sweep has found it
 * dead; nobody is shut out, all are told that a writer died while it wrote until another writes, and nothing is left.
 * MP_STRIDE=n tries every nth instruction only (default 1), MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "shm/sync/rwlock.h"
#include "waiter.h"

enum { CLOSED = 1, WRITES = 2, TORN = 4, PHASE = 8 }; /* white box: gate */
#define BRIEF (2 * MP_MS)
#define OVER_A_SLICE (10000 * MP_MS)

static mp_shm_rwlock *x;
static mp_shm_handle xh;
static uint64_t gate_before;
static const mp_shm_wait now = {0, NULL, NULL};

static void make(void *arg) {
  (void)arg;
  CHECK(mp_shm_rwlock_new(&t_soon, &xh) == 0);
  x = mp_shm_object_block(xh, MP_TYPE_RWLOCK);
}

static void begin(void) { make(NULL); }
static void nothing(void) {}
static bool moved_on(void) { return x->gate / PHASE != gate_before / PHASE; }
static bool wrote(void) { return (x->gate & (WRITES | TORN)) != 0; }

static void got(int r, bool told) { CHECK(r == (told ? MP_ABANDONED : MP_LOCKED)); }

static void read_here(bool told) {
  got(mp_shm_rwlock_read(x, &now), told);
  mp_shm_rwlock_end_read(x);
}

static void write_here(bool told) {
  got(mp_shm_rwlock_write(x, xh, &now), told);
  mp_shm_rwlock_end_write(x, xh);
}

/* --- those who sleep --- */

static void sleep_and_read(t_waiter *s) {
  mp_shm_wait w = t_watched(s);
  s->result = mp_shm_rwlock_read(x, &w);
  uint64_t now_awake = mp_os_now();
  if (s->result >= 0) mp_shm_rwlock_end_read(x);
  s->woken = now_awake; /* last: it may be ended then */
}

static void sleep_and_write(t_waiter *s) {
  mp_shm_wait w = t_watched(s);
  s->result = mp_shm_rwlock_write(x, xh, &w);
  uint64_t now_awake = mp_os_now();
  if (s->result >= 0) mp_shm_rwlock_end_write(x, xh);
  s->woken = now_awake;
}

static void reader_sleeps(void) { t_witness(0, sleep_and_read); }
static void writer_sleeps(void) { t_witness(0, sleep_and_write); }

static void readers_sleep(void) {
  gate_before = x->gate;
  t_witness(0, sleep_and_read);
  t_witness(1, sleep_and_read);
}

/* The n first have got it, or get it in time. *told: how many of them were told. */
static int all_got_it(int n, int *told) {
  int r = t_witness_judge(n);
  *told = 0;
  for (int i = 0; i < n; i++) {
    int result = t_witness_result(i);
    CHECK(result == MP_LOCKED || result == MP_ABANDONED);
    *told += result;
  }
  t_witness_end_all(n);
  return r;
}

/* --- what must hold afterwards --- */

static void works(bool told) {
  int n;
  got(mp_shm_rwlock_read(x, &now), told);
  reader_sleeps();
  CHECK(all_got_it(1, &n) != T_LATE && n == told);
  CHECK(mp_shm_rwlock_write(x, xh, &now) == -EDEADLK);
  mp_shm_rwlock_end_read(x);
  got(mp_shm_rwlock_write(x, xh, &now), told);
  CHECK(mp_shm_rwlock_read(x, &now) == -EDEADLK);
  mp_shm_rwlock_end_write(x, xh);
  read_here(false);
  CHECK(x->gate % PHASE == 0 && mp_shm_mutex_count() == 0);
  mp_shm_object_unuse(xh);
  t_nothing_left();
}

/* Nobody has swept: who is dead neither reads nor writes. */
static int after_then_read(bool done) {
  bool told = wrote();
  CHECK(!done || !told);
  read_here(told);
  works(told);
  return T_IN_TIME;
}

static int after_then_write(bool done) {
  bool told = wrote();
  CHECK(!done || !told);
  write_here(told);
  works(false);
  return T_IN_TIME;
}

static int after_then_sweep(bool done) {
  bool told = wrote();
  CHECK(!done || !told);
  mp_shm_sweep();
  CHECK(!(x->gate & (CLOSED | WRITES)));
  works(told);
  return T_IN_TIME;
}

/* --- alone --- */

static void run_read(void *arg) {
  (void)arg;
  if (mp_shm_rwlock_read(x, &now) >= 0) mp_shm_rwlock_end_read(x);
}

static void run_read_twice(void *arg) {
  CHECK(mp_shm_rwlock_read(x, &now) == MP_LOCKED);
  run_read(arg);
  mp_shm_rwlock_end_read(x);
}

static void run_write(void *arg) {
  (void)arg;
  if (mp_shm_rwlock_write(x, xh, &now) >= 0) mp_shm_rwlock_end_write(x, xh);
}

/* --- beside this process, which holds it --- */

static void held_for_reading(void) {
  begin();
  got(mp_shm_rwlock_read(x, &now), false);
}

static void held_for_writing(void) {
  begin();
  got(mp_shm_rwlock_write(x, xh, &now), false);
}

static void run_read_briefly(void *arg) {
  mp_shm_wait w = {mp_os_now() + BRIEF, NULL, NULL};
  (void)arg;
  CHECK(mp_shm_rwlock_read(x, &w) == -ETIMEDOUT);
}

static void run_write_briefly(void *arg) {
  mp_shm_wait w = {mp_os_now() + BRIEF, NULL, NULL};
  (void)arg;
  CHECK(mp_shm_rwlock_write(x, xh, &w) == -ETIMEDOUT);
}

static int after_beside_reader(bool done) {
  mp_shm_rwlock_end_read(x);
  return after_then_write(done);
}

static int after_beside_writer(bool done) {
  mp_shm_rwlock_end_write(x, xh);
  return after_then_write(done);
}

static int after_before_reader(bool done) {
  read_here(false); /* again */
  mp_shm_rwlock_end_read(x);
  return after_then_read(done);
}

/* --- while others sleep --- */

static void run_end_write(void *arg) {
  (void)arg;
  CHECK(mp_shm_rwlock_write(x, xh, &now) == MP_LOCKED);
  raise(SIGSTOP);
  mp_shm_rwlock_end_write(x, xh);
}

static void run_end_read(void *arg) {
  (void)arg;
  CHECK(mp_shm_rwlock_read(x, &now) == MP_LOCKED);
  raise(SIGSTOP);
  mp_shm_rwlock_end_read(x);
}

/* It stops itself when its time is over, gate still closed. */
static int stop(void *arg) {
  (void)arg;
  raise(SIGSTOP);
  return 0;
}

static void run_give_up(void *arg) {
  mp_shm_wait w = {mp_os_now() + BRIEF, stop, NULL};
  (void)arg;
  CHECK(mp_shm_rwlock_write(x, xh, &w) == -ETIMEDOUT);
}

/* Who was given the lock before the writer died is told or not: it had written all. */
static int after_opening(bool done) {
  int n;
  bool told = wrote();
  CHECK(!done || moved_on());
  if (!moved_on()) mp_shm_sweep();
  int r = all_got_it(2, &n);
  CHECK(told || n == 0);
  works(told);
  return r;
}

static int after_giving_up(bool done) {
  CHECK(!done || moved_on());
  CHECK(!wrote());
  if (!moved_on()) mp_shm_sweep();
  int n, r = all_got_it(2, &n);
  CHECK(n == 0);
  mp_shm_rwlock_end_read(x);
  works(false);
  return r;
}

/* The system hands the mutex on to the next writer, who has perhaps been told already. */
static int after_handing_on(bool done) {
  int n, r = all_got_it(1, &n);
  CHECK(n <= !done);
  works(false);
  return r;
}

static bool anyone_reads(void) {
  for (uint32_t p = 0; p < mp_shm_per_process_count(&x->slots); p++)
    if (mp_shm_per_process_load(&x->slots, p)) return true;
  return false;
}

static int after_end_read(bool done) {
  CHECK(!done || !anyone_reads());
  if (anyone_reads()) mp_shm_sweep();
  int n, r = all_got_it(1, &n);
  CHECK(n == 0);
  works(false);
  return r;
}

/* Who comes to read is turned away by a writer that sleeps because we read. */
static int after_turned_away(bool done) {
  (void)done;
  CHECK(x->gate & CLOSED);
  mp_shm_sweep();
  mp_shm_rwlock_end_read(x);
  int n, r = all_got_it(1, &n);
  CHECK(n == 0);
  works(false);
  return r;
}

/* --- a dead writer, found by one who is killed in turn --- */

static void write_for_ever(t_waiter *s) {
  s->result = mp_shm_rwlock_write(x, xh, &t_soon);
  for (;;) pause();
}

static void dead_writer(void) {
  begin();
  t_witness(0, write_for_ever);
  CHECK(x->gate == (CLOSED | WRITES));
  t_witness_end_all(1);
}

/* It died before it wrote. */
static void dead_waiting_writer(void) {
  held_for_reading();
  t_witness(0, write_for_ever);
  CHECK(x->gate == CLOSED);
  t_witness_end_all(1);
  mp_shm_rwlock_end_read(x);
}

/* Who came to read was told, and so is who comes after it. */
static int after_dead_writer(bool done) {
  (void)done;
  CHECK(wrote());
  return after_then_write(false);
}

static void run_sweep(void *arg) { (void)arg, mp_shm_sweep(); }

static int after_sweep(bool done) {
  CHECK(wrote() && (!done || x->gate == (PHASE | TORN)));
  read_here(true);
  works(true);
  return T_IN_TIME;
}

/* Two sleep behind a writer that has died; the one who sweeps is killed. */
static void dead_writer_before_readers(void) {
  begin();
  t_witness(2, write_for_ever);
  readers_sleep();
  t_witness_end(2);
}

static int after_sweep_before_readers(bool done) {
  CHECK(!done || moved_on());
  if (!moved_on()) mp_shm_sweep();
  int n, r = all_got_it(2, &n);
  CHECK(n == 2);
  works(true);
  return r;
}

static void writer_waits_for_us(void) {
  begin();
  got(mp_shm_rwlock_read(x, &now), false);
  writer_sleeps();
}

/* --- a reader was given the lock and is stopped --- */

static void given_to_stopped(void) {
  held_for_writing();
  reader_sleeps();
  kill(t_witness_pid(0), SIGSTOP);
  mp_shm_rwlock_end_write(x, xh);
}

/* It stops itself once a slice is over, and has the lock soon after. */
static void run_write_over_a_slice(void *arg) {
  mp_shm_wait w = {mp_os_now() + OVER_A_SLICE, stop, NULL};
  (void)arg;
  CHECK(mp_shm_rwlock_write(x, xh, &w) == MP_LOCKED);
  mp_shm_rwlock_end_write(x, xh);
}

static int after_stopped(bool done) {
  bool told = wrote();
  CHECK(!done || !told);
  int n;
  kill(t_witness_pid(0), SIGCONT);
  all_got_it(1, &n); /* it may have a slice to sleep */
  CHECK(told || n == 0);
  works(told);
  return T_IN_TIME;
}

/* --- life --- */

static void let_go(void) { mp_shm_object_unuse(xh); }

static int after_life(bool done) {
  (void)done;
  mp_shm_sweep();
  t_nothing_left();
  return T_IN_TIME;
}

static const t_witnessed scenarios[] = {
    {"read", begin, run_read, NULL, after_then_write, false},
    {"read twice", begin, run_read_twice, NULL, after_then_sweep, false},
    {"write, then another reads", begin, run_write, NULL, after_then_read, false},
    {"write, then another writes", begin, run_write, NULL, after_then_write, false},
    {"write, then a sweep", begin, run_write, NULL, after_then_sweep, false},
    {"read beside a reader", held_for_reading, run_read, NULL, after_beside_reader, false},
    {"read while another writes", held_for_writing, run_read_briefly, NULL, after_beside_writer, false},
    {"write while another writes", held_for_writing, run_write_briefly, NULL, after_beside_writer, false},
    {"write while another reads", held_for_reading, run_write_briefly, NULL, after_before_reader, false},
    {"end a write, readers sleep", begin, run_end_write, readers_sleep, after_opening, true},
    {"end a write, a writer sleeps", begin, run_end_write, writer_sleeps, after_handing_on, true},
    {"end a read, a writer sleeps", begin, run_end_read, writer_sleeps, after_end_read, true},
    {"give up writing, readers sleep", held_for_reading, run_give_up, readers_sleep, after_giving_up, true},
    {"come to read, a writer sleeps", writer_waits_for_us, run_read, NULL, after_turned_away, false},
    {"recovery: read after a dead writer", dead_writer, run_read, NULL, after_dead_writer, false},
    {"recovery: write after a dead writer", dead_writer, run_write, NULL, after_then_read, false},
    {"recovery: sweep after a dead writer", dead_writer, run_sweep, NULL, after_sweep, false},
    {"recovery: sweep, readers sleep", dead_writer_before_readers, run_sweep, NULL, after_sweep_before_readers, false},
    {"recovery: read, nothing was written", dead_waiting_writer, run_read, NULL, after_then_write, false},
    {"write though a stopped reader was given it", given_to_stopped, run_write_over_a_slice, NULL, after_stopped, true},
    {"make", nothing, make, NULL, after_life, false},
    {"the last holder reads", begin, run_read, let_go, after_life, false},
    {"the last holder writes", begin, run_write, let_go, after_life, false},
};

int main(int argc, char **argv) {
  size_t n = sizeof scenarios / sizeof *scenarios;
  t_waiters_setup();
  t_start();
  if (t_run_witnessed(scenarios, n, argc > 1 ? argv[1] : NULL)) return 1;
  printf("ok %zu\n", n);
  return 0;
}
