/* SPDX-License-Identifier: MIT */
/*
 * What every robust lock and every wake of shm begins with (layer 1), and the mutants of both.
 * Invariant: no lock of shared memory is initialised, and no word is named to the kernel, but through these two.
 */
#ifndef MP_SHM_ARENA_ROBUST_H
#define MP_SHM_ARENA_ROBUST_H

#include "os/os.h"
#include "shm/arena/mutants.h"

#pragma GCC visibility push(hidden)

/* A word on which one process sleeps. The sleeper stores both; who wakes it turns ARMED to IDLE by CAS. The low 30 bits
 * are always 0, so that the kernel passes the wake on when a process is killed that had named the word (mp_shm_pending). */
#define MP_WORD_ARMED 0u
#define MP_WORD_IDLE 0x80000000u

/* 0 or -errno. */
static inline int mp_shm_robust_init(mp_os_mutex *m) { return mp_os_mutex_init(m, !MP_MUTANT(ROBUST)); }

/* Names the word on which the kernel wakes a waiter if this thread is killed; NULL clears it (mp_os_pending). */
static inline void mp_shm_pending(_Atomic uint32_t *word) {
  if (!MP_MUTANT(PENDING)) mp_os_pending(word);
}

#pragma GCC visibility pop
#endif
