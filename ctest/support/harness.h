/* SPDX-License-Identifier: MIT */
/* What the C tests share: checks that name their place, a deadline, the kill at a chosen instruction. */
#ifndef MP_CTEST_HARNESS_H
#define MP_CTEST_HARNESS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "shm/arena/object.h"
#include "shm/arena/registry.h"
#include "shm/queue/queue.h"
#include "stepper.h"

extern const char *t_what; /* what is being tested, for messages */
extern long t_point;

#define CHECK(cond)                                                                                                    \
  do {                                                                                                                 \
    if (!(cond)) {                                                                                                     \
      fprintf(stderr, "%s:%d: %s, kill point %ld: not %s\n", __FILE__, __LINE__, t_what, t_point, #cond);              \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

extern const mp_shm_wait t_soon; /* forever, but see t_deadline */

/* Attaches, and ends this process's group of children by SIGALRM after that many seconds without a t_deadline. */
void t_start(void);
void t_deadline(unsigned seconds);
/* Zeroes that this process and its children share and mproc knows nothing of; costs nothing until touched. */
void *t_shared(size_t n);

mp_shm_queue *t_queue(uint64_t maxsize, mp_shm_handle *h);
int t_put(mp_shm_queue *q, const void *p, size_t n, const mp_shm_handle *handles, uint32_t nhandles);
/* Puts n bytes whose content tells their number; and gets one message without waiting, checks its content, and
 * returns its number, or 0 when there is none. */
void t_put_number(mp_shm_queue *q, uint64_t number, size_t n);
/* t_put_number in two halves: the first before a fork, so that only the put itself is stepped through. */
void t_prepare(uint64_t number, size_t n);
void t_put_prepared(mp_shm_queue *q, size_t n);
uint64_t t_get_number(mp_shm_queue *q, mp_shm_wait w);
/* Puts messages of n bytes until the tail's segment has room for `left` more; gets as many. t_turn_segments: both, so many
 * times: a segment more is used up each time, and nothing is left. */
uint64_t t_fill_segment(mp_shm_queue *q, size_t n, unsigned left);
void t_get_numbers(mp_shm_queue *q, uint64_t count);
void t_turn_segments(mp_shm_queue *q, size_t n, unsigned times);
/* Everything is let go: no object, no chunk, no process but this one. */
void t_nothing_left(void);

/* MP_STRIDE: every how manieth instruction is tried; 1. */
long t_stride(void);
long t_first(void); /* 1 + MP_OFFSET modulo the stride */

/* Forks a child that runs f(arg) and kills it after `steps` of its instructions. True when f had ended before.
 * meanwhile, if not NULL, runs here between the fork and the first step. */
bool t_kill_after(long steps, void (*f)(void *), void *arg, void (*meanwhile)(void));

typedef struct t_op {
  const char *name;
  void (*before)(void);
  void (*run)(void *); /* in the child that is killed */
  void (*after)(void);
  void (*meanwhile)(void); /* may be NULL */
  void (*recover)(void *); /* NULL, or what t_run_ops gives t_run_recovery */
} t_op;
/* For every instruction (of the sample) of run: before, run until the kill, after. Prints and returns how many. */
long t_run_op(const t_op *o);

/* One process dies at every 23rd instruction of the operation; one that runs recover() after it dies at every 7th of
 * that; then after. Prints and returns how many pairs. */
long t_run_recovery(const t_op *o, void (*recover)(void *));

/* t_run_op of each of n operations whose name contains part (NULL: of all), and t_run_recovery. Returns the points, and adds
 * to *tested how many runs that were. */
long t_run_ops(const t_op *ops, size_t n, const char *part, long *tested);

/* As t_kill_after, but in the child that f itself forks: from its first instruction on. */
bool t_kill_child_after(long steps, void (*f)(void *), void *arg);

#endif
