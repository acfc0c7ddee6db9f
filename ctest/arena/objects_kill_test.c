/* SPDX-License-Identifier: MIT */
/*
 * What objects of all types go through: a process is killed at every instruction of receiving the handle of one; and where
 * an object knows something of a process, also of making and dropping one, of sending its handle and of leaving in order;
 * so is the one that cleans up after it. Then the object works for a survivor, lives exactly while somebody or a message
 * holds it, and nothing is left. And processes: starting, ending and being reaped.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/number/array.h"
#include "shm/queue/joinable.h"
#include "shm/queue/pipe_end.h"
#include "shm/sync/barrier.h"
#include "shm/sync/condition.h"
#include "shm/sync/event.h"
#include "shm/sync/rwlock.h"
#include "shm/sync/semaphore.h"

typedef struct kind {
  const char *name;
  int type;
  int (*make)(mp_shm_handle *out);
  void (*claim)(void); /* makes it know something of this process; NULL: it cannot */
  void (*works)(void); /* for a process alone */
} kind;

static const kind *k;
static mp_shm_queue *q; /* carries it */
static mp_shm_handle qh, h;
static const mp_shm_wait now = {0, NULL, NULL};
#define SLICES (3 * MP_SLICE)

static void *block(void) { return mp_shm_object_block(h, k->type); }

/* What a dead process had may come back with the sweep of a slice. */
static mp_shm_wait soon(void) { return (mp_shm_wait){mp_os_now() + SLICES, NULL, NULL}; }

/* --- the kinds --- */

static int make_queue(mp_shm_handle *out) { return mp_shm_queue_new(0, 0, &t_soon, out); }
static int make_joinable(mp_shm_handle *out) { return mp_shm_queue_new(0, MP_QUEUE_JOINABLE, &t_soon, out); }
static int make_mutex(mp_shm_handle *out) { return mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, out); }
static int make_plain(mp_shm_handle *out) { return mp_shm_semaphore_new(MP_SEMAPHORE_PLAIN, 1, &t_soon, out); }
static int make_bounded(mp_shm_handle *out) { return mp_shm_semaphore_new(MP_SEMAPHORE_BOUNDED, 1, &t_soon, out); }
static int make_event(mp_shm_handle *out) { return mp_shm_event_new(&t_soon, out); }
static int make_barrier(mp_shm_handle *out) { return mp_shm_barrier_new(1, &t_soon, out); }
static int make_condition(mp_shm_handle *out) { return mp_shm_condition_new(&t_soon, out); }
static int make_rwlock(mp_shm_handle *out) { return mp_shm_rwlock_new(&t_soon, out); }
static int make_array(mp_shm_handle *out) { return mp_shm_array_new(MP_INT64, MP_ARRAY_LIST, 3, &t_soon, out); }

static int make_end(mp_shm_handle *out) {
  mp_shm_handle ends[2];
  int err = mp_shm_pipe_new(true, &t_soon, ends);
  if (err) return err;
  mp_shm_object_unuse(ends[1]);
  *out = ends[0];
  return 0;
}

static void queue_works(void) {
  mp_shm_queue *own = block();
  t_put_number(own, 5, 64);
  CHECK(t_get_number(own, now) == 5 && t_get_number(own, now) == 0);
}

static void joinable_works(void) {
  mp_shm_wait w = soon();
  queue_works();
  CHECK(mp_shm_joinable_done(block()) == 0 && mp_shm_joinable_join(block(), &w) >= 0);
}

static void claim_task(void) {
  t_put_number(block(), 1, 64);
  CHECK(t_get_number(block(), now) == 1);
}

static void empty_then_joinable_works(void) {
  while (t_get_number(block(), now)) CHECK(mp_shm_joinable_done(block()) == 0);
  joinable_works();
}

static void mutex_works(void) {
  mp_shm_wait w = soon();
  CHECK(mp_shm_mutex_acquire(block(), h, &w) >= 0);
  mp_shm_mutex_release(block(), h);
}

static void plain_works(void) { CHECK(mp_shm_semaphore_release(block(), 1, &t_soon) == 0); }
static void claim_permit(void) { CHECK(mp_shm_semaphore_acquire(block(), &t_soon) == 0); }

static void bounded_works(void) {
  mp_shm_wait w = soon();
  CHECK(mp_shm_semaphore_acquire(block(), &w) == 0 && mp_shm_semaphore_acquire(block(), &now) == -ETIMEDOUT);
  CHECK(mp_shm_semaphore_release(block(), 1, &t_soon) == 0);
}

static void event_works(void) {
  mp_shm_event_set(block());
  CHECK(mp_shm_event_wait(block(), &now) == 0);
}

static void barrier_works(void) {
  uint64_t index = 9;
  CHECK(mp_shm_barrier_wait(block(), false, &t_soon, &index) == 0 && index == 0);
}

static void claim_place(void) {
  uint64_t index;
  CHECK(mp_shm_barrier_wait(block(), true, &t_soon, &index) == MP_BARRIER_ACT);
}

static void mended_barrier_works(void) {
  mp_shm_barrier_reset(block());
  barrier_works();
}

static void condition_works(void) { CHECK(mp_shm_condition_waiting(block()) == 0); }
static void claim_reading(void) { CHECK(mp_shm_rwlock_read(block(), &t_soon) >= 0); }

static void rwlock_works(void) {
  mp_shm_wait w = soon();
  CHECK(mp_shm_rwlock_write(block(), h, &w) >= 0);
  mp_shm_rwlock_end_write(block(), h);
}

static void end_works(void) {
  mp_shm_pipe_end *e = block();
  mp_shm_incoming g;
  char buf[16];
  CHECK(mp_shm_queue_get(mp_shm_pipe_end_in(e), buf, &g, &now) == -EPIPE);
}

static void array_works(void) { CHECK(mp_shm_elements_add64(&((mp_shm_array *)block())->elements, 1, 2) >= 2); }

static const kind kinds[] = {
    {"queue", MP_TYPE_QUEUE, make_queue, NULL, queue_works},
    {"joinable queue", MP_TYPE_QUEUE, make_joinable, claim_task, empty_then_joinable_works},
    {"lock", MP_TYPE_MUTEX, make_mutex, NULL, mutex_works},
    {"semaphore", MP_TYPE_SEMAPHORE, make_plain, NULL, plain_works},
    {"bounded semaphore", MP_TYPE_SEMAPHORE, make_bounded, claim_permit, bounded_works},
    {"event", MP_TYPE_EVENT, make_event, NULL, event_works},
    {"barrier", MP_TYPE_BARRIER, make_barrier, claim_place, mended_barrier_works},
    {"condition", MP_TYPE_CONDITION, make_condition, NULL, condition_works},
    {"rwlock", MP_TYPE_RWLOCK, make_rwlock, claim_reading, rwlock_works},
    {"end", MP_TYPE_PIPE_END, make_end, NULL, end_works},
    {"array", MP_TYPE_ARRAY, make_array, NULL, array_works},
};

/* --- pieces of before and after --- */

static void nothing(void) {}
static void make(void) { CHECK(k->make(&h) == 0); }
static void drop(void) { mp_shm_object_unuse(h); }

static void claim(void) {
  if (k->claim) k->claim();
}

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void make_with_carrier(void) {
  make();
  q = t_queue(0, &qh);
}

static void make_on_the_way(void) {
  make_with_carrier();
  CHECK(t_put(q, "handle", 6, &h, 1) == 0);
  drop();
}

/* It lives exactly while the message is there, and works. */
static void after_message(void) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  mp_shm_sweep();
  if (mp_shm_queue_get(q, buf, &g, &now) == 0) {
    CHECK(g.nhandles == 1 && g.handles[0] == h);
    k->works();
    mp_shm_queue_done(&g);
  }
  CHECK(!mp_shm_object_live(h));
  mp_shm_object_unuse(qh);
  t_nothing_left();
}

static void after_use(void) {
  mp_shm_sweep();
  k->works();
  drop();
  t_nothing_left();
}

/* --- operations --- */

static void run_make(void *arg) {
  (void)arg;
  make();
  claim();
  drop();
}

static void run_send(void *arg) {
  (void)arg;
  claim();
  CHECK(t_put(q, "handle", 6, &h, 1) == 0);
  drop();
}

static void run_receive(void *arg) {
  static _Alignas(16) char buf[MP_INLINE_MAX];
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(q, buf, &g, &now) == 0);
  CHECK(mp_shm_object_use(h, k->type, &now) == 0);
  claim();
  mp_shm_queue_done(&g);
  drop();
}

static void run_drop(void *arg) {
  (void)arg;
  claim();
  drop();
}

static void run_leave(void *arg) {
  (void)arg;
  claim();
  mp_shm_proc_unregister();
}

static void run_recovery(void *arg) {
  (void)arg;
  mp_shm_sweep();
}

static const t_op ops[] = {
    {"make and drop", nothing, run_make, after_nothing, NULL, NULL},
    {"send", make_with_carrier, run_send, after_message, drop, NULL},
    {"receive", make_on_the_way, run_receive, after_message, NULL, NULL},
    {"drop one that others hold", make, run_drop, after_use, NULL, NULL},
    {"drop the last hold", make, run_drop, after_nothing, drop, NULL},
    {"leave in order", make, run_leave, after_use, NULL, NULL},
};
enum { OPS = sizeof ops / sizeof *ops, KINDS = sizeof kinds / sizeof *kinds };

/* What differs from kind to kind: all of it where a death leaves a claim, or takes others along; else that handles of it
 * travel. What is the same for all, killpoints_test steps through. */
static bool matters(const t_op *o) { return k->claim || k->type == MP_TYPE_PIPE_END || o->before == make_on_the_way; }

static long run_kind(const char *part) {
  static char names[OPS][64];
  long points = 0;
  for (int i = 0; i < OPS; i++) {
    t_op o = ops[i];
    snprintf(names[i], sizeof names[i], "%s: %s", k->name, ops[i].name);
    o.name = names[i];
    if (!matters(&o) || (part && !strstr(o.name, part))) continue;
    points += t_run_op(&o);
    if (k->claim) points += t_run_recovery(&o, run_recovery);
  }
  return points;
}

/* --- processes --- */

static void start_and_reap(void *arg) {
  mp_shm_proc_ref ref;
  (void)arg;
  CHECK(mp_shm_proc_reserve(&ref) == 0);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  CHECK(pid > 0);
  mp_shm_proc_forked(ref, pid);
  CHECK(waitpid(pid, NULL, 0) == pid);
  mp_shm_proc_release(ref, true);
}

static void after_starting(void) {
  mp_shm_sweep();
  k->works();
  drop();
}

static const t_op starting = {"start and reap a process", make, start_and_reap, after_starting, NULL, NULL};

/* At the end of it: a child that had just been forked may still be about to end, and a place that was reserved holds what
 * its maker held until it is found that nobody comes up in it. */
static void all_gone(void) {
  mp_shm_stats s;
  t_deadline(60);
  do {
    usleep(1000);
    mp_shm_sweep();
    mp_shm_stats_get(&s);
  } while (s.objects || s.chunks || s.processes > 1);
}

int main(int argc, char **argv) {
  const char *part = argc > 1 ? argv[1] : NULL;
  long points = 0;
  t_start();
  for (int i = 0; i < KINDS; i++) {
    k = &kinds[i];
    points += run_kind(part);
  }
  k = &kinds[0];
  points += t_run_op(&starting);
  all_gone();
  printf("%ld kill points\nok %d\n", points, KINDS + 1);
  return 0;
}
