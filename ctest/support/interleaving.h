/* SPDX-License-Identifier: MIT */
/* Two processes that meet: one stands still between two instructions of its operation, each in turn, while the other,
 * this one, does all of its own; then the first goes on to its end. Neither may wait for the other. */
#ifndef MP_CTEST_MEETING_H
#define MP_CTEST_MEETING_H

#include "harness.h"

typedef struct t_interleaving {
  const char *name;
  void (*before)(void);
  void (*first)(void *); /* stepped, in a child */
  void (*other)(void);
  void (*after)(void); /* the audit */
} t_interleaving;

/* For every instruction (of the sample) of first. Prints and returns how many. */
long t_run_interleaving(const t_interleaving *m);
/* All of them, and "ok N". */
void t_run_interleavings(const t_interleaving *m, size_t n);

#endif
