/* SPDX-License-Identifier: MIT */
/*
 * Runs: numbers of one kind in a list, written one after another without tags.
 * Numbers come in batches; integers are written with eight bytes each and
 * narrowed, in place, when the run is closed. Private to the codec.
 */
#ifndef MP_CODEC_RUN_H
#define MP_CODEC_RUN_H

#include "encoder.h"

#pragma GCC visibility push(hidden)

/* A run of numbers that is being written: its tag byte is at `at`. */
typedef struct mp_codec_run {
  int tag; /* 0: no run; MP_RUN_INT64 or MP_RUN_FLOAT */
  size_t at;
  uint64_t count;
  lua_Integer min, max;
} mp_codec_run;

/* Add a batch of n numbers: from stack index `base` on; the items from `first` on
 * of the table at this address, all of them in its array part. 1: added; 0:
 * they are no batch of one kind, and no run is open (add_near: nothing was
 * done, and one may be open); -status. */
int mp_codec_run_add(mp_codec_encoder *e, mp_codec_run *r, int base, int n);
int mp_codec_run_add_near(mp_codec_encoder *e, mp_codec_run *r, const void *table, lua_Integer first, int n);

/* Ends the run that is open, if there is one. */
void mp_codec_run_close(mp_codec_encoder *e, mp_codec_run *r);

#pragma GCC visibility pop

#endif
