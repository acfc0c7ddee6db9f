/* SPDX-License-Identifier: MIT */
/*
 * A campaign: workers use an object while a supervisor kills one after the other and starts it anew, and an audit, in
 * memory that mproc knows nothing of, accounts for what they did. One program per kind of users fills in a t_campaign.
 *
 * Half of the kills come at a random moment. The others are planned: a worker that begins the operation chosen (t_at) runs
 * a random number of its instructions and dies there (trap.h), while all others run freely.
 *
 * Hang detector. A killed worker hides that it hung, so every TRUCE kills nobody is killed until each worker has ended an
 * operation (t_ended). One that does not in T_HANG hangs, unless the workers waited for a CPU for that long: that time, as
 * the system tells it, is added.
 *
 * MP_KILLS (1000), or MP_SECONDS: how long. MP_SEED: the clock. With MP_STAY set, a hang stops it for a debugger.
 */
#ifndef MP_CTEST_CAMPAIGN_H
#define MP_CTEST_CAMPAIGN_H

#include "harness.h"

#define T_HANG (2000 * MP_MS)
enum { T_WORKERS = 16, T_OPERATIONS = 8 };

typedef struct t_worker { /* shared; kept when the worker is killed */
  _Atomic uint64_t ended; /* operations, of all its lives */
  _Atomic uint64_t life;  /* number of its present life, from 1 on; no two of any workers are alike */
  _Atomic uint32_t at;    /* the operation it is in, or 0 */
  _Atomic uint32_t plan; /* the operation within which it shall end itself, or 0; it puts that back to 0 as it begins */
  _Atomic uint32_t steps; /* after how many instructions */
  _Atomic uint32_t run;   /* how many it has run of those */
  _Atomic uint32_t whole; /* the operation had no more */
} t_worker;

typedef struct t_tally { /* shared; what the table says */
  _Atomic uint64_t abandoned, lost, twice;
} t_tally;

typedef struct t_campaign {
  const char *users;                    /* who they are, for the table */
  const char *operations[T_OPERATIONS]; /* names of 1, 2, ...; [0] is not used */
  unsigned workers;
  bool stops; /* workers are stopped for a while as well */
  void (*set_up)(void);
  void (*work)(unsigned i); /* a worker's life: returns once t_stopping() */
  /* Each of these may be NULL. */
  bool (*may_die)(unsigned i); /* now */
  void (*died)(unsigned i);    /* worker i is dead and reaped, and its place in shared memory says what it was at */
  void (*stop)(void);          /* t_stopping() is true now: lets those go who wait. Repeated until all have ended */
  void (*audit)(void);         /* all have ended: the last checks, and lets the objects go */
  void (*show)(void);          /* after a hang: what the objects look like, on stderr */
} t_campaign;

extern t_worker *t_workers;
extern t_tally *t_count;
extern uint64_t t_kills;

/* Runs it and prints the row of the table; 0, or 1 when something was lost, delivered twice, or hung. */
int t_campaign_run(const t_campaign *c);

/* For workers. */
bool t_stopping(void);
void t_at(uint32_t operation); /* it begins now; 0: it is over, what comes is none of those listed */
void t_ended(void);            /* it has ended */

/* True from just before that life was killed on. */
bool t_was_killed(uint64_t life);

/* For the supervisor's functions: waits until done(), or finds a hang and ends the campaign. How long it took, in ns. */
uint64_t t_await(bool (*done)(void), const char *what);
/* Half of the kills, or of the time, are over. */
bool t_second_half(void);

uint64_t t_random(void);
void t_hold(unsigned longest); /* a random pause, mostly none: time to be killed in */

#endif
