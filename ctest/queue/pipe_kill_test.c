/* SPDX-License-Identifier: MIT */
/*
 * A process that holds an end of a pipe is killed at every instruction of what it does with it; so is one that cleans up
 * after it. Then the other end must find what was sent before, and after that the end of the stream, both ways; what was on
 * its way to the dead end must be let go; and, when all is let go, nothing is left in the arena.
 * MP_STRIDE and MP_OFFSET as in killpoints_test.c.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "shm/arena/proc.h"
#include "shm/queue/pipe_end.h"

#define SMALL 64
#define BIG 96                             /* a large message here */
#define CROSSING (MP_SEGMENT / 20 / SMALL) /* records of 20 times SMALL that fill more than a segment */
#define FEW 3    /* a cleaner's work is tried at every so manieth point where the dead process had its end still, */
#define FEWER 23 /* and at so many fewer where it was at work on that itself */

static const mp_shm_wait now = {0, NULL, NULL};

/* near stays with the test; the child that is killed is the only one to hold far. */
static mp_shm_handle near_h, far_h, inner_near_h, inner_far_h;
static mp_shm_pipe_end *near, *far;
static mp_shm_queue *outgoing; /* lives while a message that carries it does */
static mp_shm_handle outgoing_h;
static size_t size;
static _Alignas(16) char buf[MP_INLINE_MAX];

/* --- pieces --- */

static void make(bool duplex, mp_shm_handle *a, mp_shm_handle *b) {
  mp_shm_handle h[2];
  CHECK(mp_shm_pipe_new(duplex, &t_soon, h) == 0);
  *a = h[0];
  *b = h[1];
}

static void new_pipe(size_t n) {
  make(true, &near_h, &far_h);
  near = mp_shm_object_block(near_h, MP_TYPE_PIPE_END);
  far = mp_shm_object_block(far_h, MP_TYPE_PIPE_END);
  size = n;
  t_prepare(1, n);
}

static int send_bytes(mp_shm_pipe_end *e, const void *p, size_t n, const mp_shm_handle *handles, uint32_t nhandles) {
  mp_shm_iovec iovec = {p, n};
  mp_shm_outgoing m = {&iovec, 1, n, handles, nhandles};
  return mp_shm_pipe_end_send(e, &m, &t_soon);
}

static void send_handle(mp_shm_pipe_end *e, size_t n, mp_shm_handle h) {
  static char bytes[BIG];
  CHECK(send_bytes(e, bytes, n, &h, 1) == 0);
}

/* The number of the next message, or the error. */
static int receive(mp_shm_pipe_end *e) {
  mp_shm_incoming g;
  int err = mp_shm_queue_get(mp_shm_pipe_end_in(e), buf, &g, &now);
  if (err) return err;
  int number = (int)*(const uint64_t *)g.data;
  mp_shm_queue_done(&g);
  return number;
}

static void unuse_near(void) { mp_shm_object_unuse(near_h); }
static void unuse_far(void) { mp_shm_object_unuse(far_h); }
static void unuse_both(void) { unuse_near(), unuse_far(); }

/* far is dead, as near must see. */
static void check_end(void) {
  CHECK(receive(near) == -EPIPE);
  CHECK(send_bytes(near, "x", 1, NULL, 0) == -EPIPE);
  CHECK(mp_shm_queue_size(mp_shm_pipe_end_in(near)) == 0);
}

static void let_go(void) {
  unuse_near();
  t_nothing_left();
}

/* --- before --- */

static void nothing(void) { size = SMALL, t_prepare(1, size); }
static void with_small(void) { new_pipe(SMALL); }
static void with_big(void) { new_pipe(BIG); }

static void two_each_way_of(size_t n) {
  new_pipe(n);
  for (uint64_t i = 1; i <= 2; i++)
    t_put_number(mp_shm_pipe_end_out(far), i, n), t_put_number(mp_shm_pipe_end_out(near), i, n);
}

static void two_each_way(void) { two_each_way_of(SMALL); }
static void two_big_each_way(void) { two_each_way_of(BIG); }

static void two_one_way(void) {
  make(false, &near_h, &far_h);
  near = mp_shm_object_block(near_h, MP_TYPE_PIPE_END);
  far = mp_shm_object_block(far_h, MP_TYPE_PIPE_END);
  for (uint64_t i = 1; i <= 2; i++) t_put_number(mp_shm_pipe_end_out(far), i, SMALL);
}

/* The next put needs a new segment. */
static void at_segment_end(void) {
  with_small();
  t_turn_segments(mp_shm_pipe_end_out(far), SMALL, 1);
  t_prepare(1, SMALL);
}

/* On its way to far, in every kind of message: a queue with a message inside. */
static void with_outgoings(void) {
  mp_shm_incoming g;
  with_small();
  outgoing = t_queue(0, &outgoing_h);
  t_put_number(outgoing, 1, SMALL);
  send_handle(near, BIG, outgoing_h);
  CHECK(mp_shm_queue_get(mp_shm_pipe_end_in(far), buf, &g, &now) == 0);
  CHECK(mp_shm_queue_return(mp_shm_pipe_end_in(far), &g) == 0);
  send_handle(near, SMALL, outgoing_h);
  mp_shm_queue_inline_max = MP_INLINE_MAX;
  for (uint64_t i = 0; i < CROSSING; i++) t_put_number(mp_shm_pipe_end_out(near), i, 20 * SMALL);
  mp_shm_queue_inline_max = SMALL;
  send_handle(near, SMALL, outgoing_h);
  send_handle(near, BIG, outgoing_h);
  mp_shm_object_unuse(outgoing_h);
  t_prepare(1, SMALL);
}

/* near itself is on its way to far, and nowhere else: with far, all is gone. */
static void with_itself(void) {
  with_small();
  send_handle(near, SMALL, near_h);
  send_handle(near, BIG, near_h);
}

static void with_inner(void) {
  with_small();
  make(true, &inner_near_h, &inner_far_h);
}

static void inner_on_transit(size_t n) {
  with_inner();
  send_handle(near, n, inner_far_h);
  mp_shm_object_unuse(inner_far_h);
}

static void inner_inline(void) { inner_on_transit(SMALL); }
static void inner_in_large(void) { inner_on_transit(BIG); }

/* --- run: in the child, the only one to hold far --- */

static void make_and_use(void *arg) {
  (void)arg;
  new_pipe(SMALL);
  t_put_prepared(mp_shm_pipe_end_out(near), SMALL);
}

static void close_far(void *arg) {
  (void)arg;
  CHECK(mp_shm_object_release(far_h, &t_soon) == 0);
}

static void collect_far(void *arg) { (void)arg, unuse_far(); }
static void leave(void *arg) { (void)arg, mp_shm_proc_unregister(); }
static void drop_ends(void *arg) { (void)arg, mp_shm_references_drop(MP_TYPE_PIPE_END); }
static void send_one(void *arg) { (void)arg, t_put_prepared(mp_shm_pipe_end_out(far), size); }

static void receive_one(void *arg) {
  (void)arg;
  CHECK(receive(far) == 1);
}

static bool refuses(void *arg, const void *data, size_t n) {
  (void)data;
  *(size_t *)arg = n;
  return false;
}

static void look_at_one(void *arg) {
  mp_shm_incoming g;
  size_t n = 0;
  mp_shm_queue_test t = {refuses, &n};
  (void)arg;
  CHECK(mp_shm_queue_get_if(mp_shm_pipe_end_in(far), NULL, &g, &t, &now) == -EMSGSIZE && n == size);
}

static void send_inner(void *arg) { (void)arg, send_handle(far, SMALL, inner_far_h); }
static void send_inner_big(void *arg) { (void)arg, send_handle(far, BIG, inner_far_h); }

static void receive_inner(void *arg) {
  mp_shm_incoming g;
  (void)arg;
  CHECK(mp_shm_queue_get(mp_shm_pipe_end_in(far), buf, &g, &now) == 0);
  CHECK(mp_shm_object_use(g.handles[0], MP_TYPE_PIPE_END, &now) == 0);
  mp_shm_queue_done(&g);
}

static void reserve(void *arg) {
  mp_shm_proc_ref child;
  (void)arg;
  CHECK(mp_shm_proc_reserve(&child) == 0);
}

static void sweep(void *arg) {
  (void)arg;
  mp_shm_sweep();
}

/* --- meanwhile: what the child is to be the last to hold is let go here --- */

static void unuse_far_and_inner(void) { unuse_far(), mp_shm_object_unuse(inner_far_h); }

/* --- after --- */

static void after_nothing(void) {
  mp_shm_sweep();
  t_nothing_left();
}

static void after_close(void) {
  mp_shm_sweep();
  CHECK(receive(near) == 1);
  CHECK(receive(near) == 2);
  check_end();
  let_go();
}

static void after_close_one_way(void) {
  mp_shm_sweep();
  CHECK(receive(near) == 1);
  CHECK(receive(near) == 2);
  CHECK(receive(near) == -EPIPE);
  let_go();
}

static void after_close_with_outgoings(void) {
  mp_shm_sweep();
  check_end();
  CHECK(!mp_shm_object_live(outgoing_h));
  let_go();
}

/* A place for a child holds far as well, until a sweep finds that there is no child. */
static void after_reserve(void) {
  mp_shm_stats s = {.processes = 2};
  for (; s.processes > 1; usleep(1000)) mp_shm_sweep(), mp_shm_stats_get(&s);
  check_end();
  let_go();
}

/* All of the message or nothing of it, then the end. */
static void after_send(void) {
  mp_shm_sweep();
  int n = receive(near);
  CHECK(n == 1 || n == -EPIPE);
  check_end();
  let_go();
}

/* Here the parent holds far as well: nothing ends, and what was looked at is still there. */
static void after_look(void) {
  mp_shm_sweep();
  CHECK(receive(far) == 1);
  CHECK(receive(far) == 2);
  CHECK(receive(far) == -ETIMEDOUT);
  CHECK(receive(near) == 1);
  unuse_far();
  let_go();
}

/* The inner pipe's far end lives exactly while a message carries it. */
static void check_inner(mp_shm_pipe_end *reader) {
  mp_shm_incoming g;
  mp_shm_pipe_end *e = mp_shm_object_block(inner_near_h, MP_TYPE_PIPE_END);
  int err = mp_shm_queue_get(mp_shm_pipe_end_in(reader), buf, &g, &now);
  CHECK(receive(e) == (err ? -EPIPE : -ETIMEDOUT));
  if (!err) {
    CHECK(g.nhandles == 1 && g.handles[0] == inner_far_h);
    mp_shm_queue_done(&g);
    CHECK(receive(e) == -EPIPE);
  }
  mp_shm_object_unuse(inner_near_h);
}

static void after_send_inner(void) {
  mp_shm_sweep();
  check_inner(near);
  check_end();
  let_go();
}

static void after_receive_inner(void) {
  mp_shm_sweep();
  check_inner(far);
  unuse_far();
  let_go();
}

/* far died with the message, received or not. */
static void after_last_receive_inner(void) {
  mp_shm_sweep();
  CHECK(receive(mp_shm_object_block(inner_near_h, MP_TYPE_PIPE_END)) == -EPIPE);
  mp_shm_object_unuse(inner_near_h);
  check_end();
  let_go();
}

static const t_op ops[] = {
    {"make a pipe", nothing, make_and_use, after_nothing, NULL, NULL},
    {"close", two_each_way, close_far, after_close, unuse_far, NULL},
    {"close, big messages", two_big_each_way, close_far, after_close, unuse_far, NULL},
    {"close one way", two_one_way, close_far, after_close_one_way, unuse_far, NULL},
    {"close by the collector", two_each_way, collect_far, after_close, unuse_far, NULL},
    {"leave in order", two_each_way, leave, after_close, unuse_far, NULL},
    {"drop the ends", two_each_way, drop_ends, after_close, unuse_far, NULL},
    {"reserve a child's place", with_small, reserve, after_reserve, unuse_far, NULL},
    {"close, last of both ends", two_each_way, close_far, after_nothing, unuse_both, NULL},
    {"close, messages on the way", with_outgoings, close_far, after_close_with_outgoings, unuse_far, NULL},
    {"close, the other end on the way", with_itself, close_far, after_nothing, unuse_both, NULL},
    {"send", with_small, send_one, after_send, unuse_far, NULL},
    {"send, big", with_big, send_one, after_send, unuse_far, NULL},
    {"send into a new segment", at_segment_end, send_one, after_send, unuse_far, NULL},
    {"receive", two_each_way, receive_one, after_close, unuse_far, NULL},
    {"receive, big", two_big_each_way, receive_one, after_close, unuse_far, NULL},
    {"look at a message", two_each_way, look_at_one, after_look, NULL, NULL},
    {"look at a big message", two_big_each_way, look_at_one, after_look, NULL, NULL},
    {"send an end", with_inner, send_inner, after_send_inner, unuse_far_and_inner, NULL},
    {"send an end, big", with_inner, send_inner_big, after_send_inner, unuse_far_and_inner, NULL},
    {"receive an end", inner_inline, receive_inner, after_receive_inner, NULL, NULL},
    {"receive an end, big", inner_in_large, receive_inner, after_receive_inner, NULL, NULL},
    {"receive an end, last receiver", inner_inline, receive_inner, after_last_receive_inner, unuse_far, NULL},
};

/* --- the cleaner is killed --- */

static const t_op *died_in; /* what the dead process was at */
static long died_at;        /* its instruction */
static bool was_over;

static void after_a_death(void) {
  died_in->before();
  was_over = t_kill_after(died_at, died_in->run, NULL, died_in->meanwhile);
}

/* Its holder dies at instruction `died_at` of an operation; who cleans up, at every one of that. */
static long run_recovery(const t_op *o, long step) {
  long points = 0;
  died_in = o;
  for (long k = t_first();; k += step) {
    t_deadline(20);
    t_what = o->name;
    after_a_death();
    t_what = "recovery";
    bool done = t_kill_after(k, sweep, NULL, NULL);
    o->after();
    if (done) return points;
    points++;
  }
}

/* The first point: there the cleaner does all of the work. */
static long run_recoveries(const t_op *o) {
  long points = 0;
  was_over = false;
  for (died_at = t_first(); !was_over; died_at += FEWER * t_stride())
    points += run_recovery(o, (died_at == t_first() ? FEW : FEWER) * t_stride());
  printf("  recovery of %-24s %6ld kill points\n", o->name, points);
  return points;
}

/* --- near goes while far sends it an end, at every instruction of that: the end is let go all the same --- */

static void send_inner_if_open(void *arg) {
  static char bytes[SMALL];
  (void)arg;
  unuse_near();
  int err = send_bytes(far, bytes, SMALL, &inner_far_h, 1);
  CHECK(err == 0 || err == -EPIPE);
  mp_shm_object_unuse(inner_far_h);
}

/* True when far had sent it before. Where the sender is stopped with the arena lock, near goes a little later. */
static bool close_at(long k) {
  t_point = k;
  with_inner();
  pid_t pid = t_trace(send_inner_if_open, NULL);
  mp_shm_object_unuse(inner_far_h);
  bool done = t_step(pid, k);
  (void)mp_shm_object_release(near_h, &now);
  t_finish(pid);
  mp_shm_sweep();
  CHECK(!mp_shm_object_live(inner_far_h));
  t_end(pid);
  mp_shm_sweep();
  CHECK(send_bytes(far, "x", 1, NULL, 0) == -EPIPE);
  mp_shm_object_unuse(inner_near_h);
  unuse_far();
  t_nothing_left();
  return done;
}

static long run_close_during_send(void) {
  long points = 0;
  t_what = "close while an end is sent";
  for (long k = t_first(); !close_at(k); k += t_stride(), points++) t_deadline(20);
  printf("  %-36s %6ld points\n", t_what, points);
  return points;
}

/* --- a child that is slow to come up keeps its place, and far, though its parent is dead --- */

static void fork_reserved(void *arg) {
  mp_shm_proc_ref child;
  (void)arg;
  CHECK(mp_shm_proc_reserve(&child) == 0);
  if (fork() == 0) _exit(0);
  for (;;) pause();
}

/* Stopped before its first instruction. */
static pid_t await_birth(pid_t parent) {
  int status = 0;
  unsigned long born = 0;
  ptrace(PTRACE_SETOPTIONS, parent, NULL, (void *)PTRACE_O_TRACEFORK);
  while (status >> 8 != (SIGTRAP | PTRACE_EVENT_FORK << 8)) {
    ptrace(PTRACE_CONT, parent, NULL, NULL);
    waitpid(parent, &status, 0);
    CHECK(WIFSTOPPED(status));
  }
  ptrace(PTRACE_GETEVENTMSG, parent, NULL, &born);
  waitpid((pid_t)born, &status, __WALL);
  return (pid_t)born;
}

static void slow_birth(void) {
  t_what = "slow birth";
  t_deadline(20);
  with_small();
  pid_t parent = t_trace(fork_reserved, NULL);
  unuse_far();
  pid_t born = await_birth(parent);
  t_end(parent);
  for (uint64_t until = mp_os_now() + 5 * MP_SLICE; mp_os_now() < until; usleep(1000)) {
    mp_shm_sweep();
    CHECK(receive(near) == -ETIMEDOUT);
  }
  ptrace(PTRACE_DETACH, born, NULL, NULL);
  while (receive(near) != -EPIPE) usleep(1000), mp_shm_sweep();
  let_go();
}

int main(int argc, char **argv) {
  static const char *const recovered[] = {"close", "close, messages on the way", "close, the other end on the way",
                                          "close, last of both ends", "send an end"};
  long points = 0, n = 0;
  t_start();
  mp_shm_queue_inline_max = SMALL;
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    if (argc > 1 && !strstr(ops[i].name, argv[1])) continue;
    points += t_run_op(&ops[i]);
    n++;
    for (size_t k = 0; k < sizeof recovered / sizeof *recovered; k++)
      if (strcmp(recovered[k], ops[i].name) == 0) points += run_recoveries(&ops[i]), n++;
  }
  if (argc < 2) points += run_close_during_send(), slow_birth(), n += 2;
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
