/* SPDX-License-Identifier: MIT */
/* Scenes (sleeper.h) whose sleepers are many kinds at once, or whose outcome is more than that they were woken. */
#ifndef MP_CTEST_WITNESS_H
#define MP_CTEST_WITNESS_H

#include "sleeper.h"

/* Starts sleeper i, which calls f, then pauses; returns once it sleeps or its call has returned. */
void t_witness(int i, void (*f)(t_sleeper *));
pid_t t_witness_pid(int i);
void t_witness_end(int i);
void t_witness_end_all(int n); /* the n first */

/* What is due to wake the n first has happened: T_IN_TIME, T_LATE, or T_SLOW when nothing can be said. */
int t_witness_judge(int n);
/* Waits, for as long as it takes, until sleeper i's call has returned: its result. */
int t_witness_result(int i);

typedef struct t_witnessed {
  const char *name;
  void (*before)(void);
  void (*run)(void *);     /* what is killed. If it starts late, it stops itself before what is stepped through */
  void (*meanwhile)(void); /* when run has been traced and, if it starts late, has stopped; or NULL */
  int (*after)(bool done); /* T_IN_TIME, or why the point is tried again */
  bool starts_late;
} t_witnessed;
/* For t_run_points. */
int t_try_witnessed(const void *witnessed, long k, bool *done);
/* Runs those whose names contain `part` (NULL: all): how many wakes were lost. */
long t_run_witnessed(const t_witnessed *list, size_t n, const char *part);

#endif
