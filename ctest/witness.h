/* SPDX-License-Identifier: MIT */
/* Processes that sleep in a call while others are killed: what they came to, and whether they were woken in time. */
#ifndef MP_CTEST_WITNESS_H
#define MP_CTEST_WITNESS_H

#include <stdatomic.h>

#include "harness.h"
#include "shm/bell.h"

#define T_PROMPT (50 * MP_MS) /* half a slice: a wake that is lost costs a whole one */
#define T_YOUNG (40 * MP_MS)  /* + T_PROMPT < MP_SLICE: only such a slice's end cannot pass for a wake */

typedef struct t_witness { /* in memory shared with it */
  _Atomic uint64_t armed;  /* when its present slice began, or a little before */
  _Atomic uint64_t woken;  /* when its call returned; 0: not yet */
  _Atomic int32_t result;
  _Atomic uint64_t index; /* what else its call gave */
  pid_t pid;
} t_witness;

enum { T_WITNESSES = 4 };
extern t_witness *t_witnesses; /* [T_WITNESSES], after t_witness_map */
void t_witness_map(void);

/* Starts witness i, which calls f and then pauses, and waits until it sleeps in the kernel. */
void t_witness_sleep(int i, void (*f)(t_witness *));
/* Its wait; its deadline may be changed. */
mp_wait t_witness_wait(t_witness *s);
/* Waits for its return: true when that was before the deadline. */
bool t_witness_woken(const t_witness *s, uint64_t deadline);
static inline bool t_witness_young(const t_witness *s) { return mp_os_now() < s->armed + T_YOUNG; }

enum { T_IN_TIME, T_LATE, T_SLOW };
/* What is due to wake the n first has happened: whether they wake in time. T_SLOW: nothing can be said. */
int t_witness_judge(int n);
/* Ends them. */
void t_witness_end(int n);

typedef struct t_witnessed {
  const char *name;
  void (*before)(void);
  void (*run)(void *); /* what is killed. If it starts late, it stops itself (SIGSTOP) before what is stepped through */
  void (*asleep)(
      void); /* starts the witnesses, when run has been traced and, if it starts late, has stopped; or NULL */
  int (*after)(bool done); /* T_IN_TIME, or why the point is tried again */
  bool starts_late;
} t_witnessed;
/* A kill at every instruction (of the sample). A late wake is tried again: one that was lost is lost each time. Prints
 * and returns how many points there were; ends the test when a wake was lost. */
long t_witness_run(const t_witnessed *s);

#endif
