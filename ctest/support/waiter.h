/* SPDX-License-Identifier: MIT */
/*
 * For tests of wakes: processes that sleep on a wait queue while another, single-stepped, is killed at a chosen instruction.
 * What was committed must reach the sleepers within T_PROMPT, half a slice: a wake that is lost costs a whole one.
 *
 * A point counts only if the sleepers' slices were young when the other was killed: else a slice's end could pass for
 * a wake. A late wake is tried again, for it may be the machine that was slow; one that was lost is lost every time.
 */
#ifndef MP_CTEST_SLEEPER_H
#define MP_CTEST_SLEEPER_H

#include "harness.h"
#include "shm/wait/wait_queue.h"

#define T_PROMPT (50 * MP_MS)
#define T_YOUNG (40 * MP_MS) /* + T_PROMPT < MP_SLICE */
enum { T_SLEEPERS = 8 };
enum { T_IN_TIME, T_LATE, T_SLOW };

typedef struct t_waiter {
  _Atomic uint64_t armed;  /* when its present slice began, or a little before */
  _Atomic uint64_t woken;  /* when its call returned; 0: not yet */
  _Atomic uint64_t number; /* for the test: what it got */
  _Atomic int32_t result;
} t_waiter;

/* A scenario in which sleepers of one kind must be woken. */
typedef struct t_scenario {
  const char *name;
  void (*before)(void);
  void (*sleep)(t_waiter *); /* what the sleepers call; it fills in result and woken */
  void (*run)(void *);       /* what is killed; calls t_without_kernel first */
  bool (*committed)(void);   /* the sleepers have what they wait for */
  void (*help)(void);        /* if not: does what gives it to them */
  void (*after)(const t_waiter *);
  void (*let_go)(void); /* last of all */
  unsigned waiters;     /* 0: one */
  bool starts_late;     /* run stops itself once it has done what comes before the sleepers' sleep */
} t_scenario;

extern t_waiter *t_waiters; /* [T_SLEEPERS], in memory shared with them */
/* Set by main() from MP_CONTROL=nopending: the process that is killed leaves the kernel's part out, and wakes are lost. */
extern bool t_control;
void t_without_kernel(void);

/* Before t_start: no spinning, which would be stepped through; and SIGCHLD blocked, for t_step_sleeper. */
void t_waiters_setup(void);

mp_shm_wait t_watched(t_waiter *s); /* for ever, noting each slice's begin */
pid_t t_sleep(t_waiter *s, void (*f)(t_waiter *));
void t_await_armed(mp_shm_wait_queue *b);
void t_await_asleep(pid_t pid);
bool t_woken_by(const t_waiter *s, uint64_t deadline);
bool t_young(const t_waiter *s);

/* Runs a traced process to where it stops itself. */
void t_run_to_stop(pid_t pid);
/* That many instructions of a traced process; true when its call had returned (s->woken) or it slept before. */
bool t_step_waiter(pid_t pid, const t_waiter *s, long steps);
/* A traced process that runs run(s), asleep at that wait queue, and stopped there. */
pid_t t_stopped_asleep(void (*run)(void *), t_waiter *s, mp_shm_wait_queue *b);

/* Sleepers of many kinds. Starts sleeper i, which calls f, then pauses; returns once it sleeps or its call has returned. */
void t_witness(int i, void (*f)(t_waiter *));
pid_t t_witness_pid(int i);
void t_witness_end(int i);
void t_witness_end_all(int n); /* the n first */
/* What is due to wake the n first has happened: T_IN_TIME, T_LATE, or T_SLOW when nothing can be said. */
int t_witness_judge(int n);
/* Waits, for as long as it takes, until sleeper i's call has returned: its result. */
int t_witness_result(int i);

/* A scenario with such sleepers, or whose outcome is more than that they were woken. */
typedef struct t_witnessed {
  const char *name;
  void (*before)(void);
  void (*run)(void *);     /* what is killed. If it starts late, it stops itself before what is stepped through */
  void (*meanwhile)(void); /* when run has been traced and, if it starts late, has stopped; or NULL */
  int (*after)(bool done); /* T_IN_TIME, or why the point is tried again */
  bool starts_late;
} t_witnessed;

/* One try at point k: T_IN_TIME, T_LATE or T_SLOW; *done when the operation had ended before it. */
typedef int t_try(const void *arg, long k, bool *done);
int t_try_scenario(const void *scenario, long k, bool *done);
int t_try_witnessed(const void *witnessed, long k, bool *done);
/* Every point (of the sample). Prints, and returns how many wakes were lost. */
long t_run_points(const char *name, t_try *f, const void *arg);
/* The same of those whose names contain `part` (NULL: all): how many wakes were lost. */
long t_run_witnessed(const t_witnessed *list, size_t n, const char *part);

#endif
