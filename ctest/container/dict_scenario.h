/* SPDX-License-Identifier: MIT */
/* What the tests of dictionaries share: keys that are numbers, values that tell their key and version. */
#ifndef MP_CTEST_DICT_SCENE_H
#define MP_CTEST_DICT_SCENE_H

#include "harness.h"
#include "shm/container/dict.h"
#include "shm/container/dict_internal.h"

enum { T_KEYS = 8192, T_TEXT = 120, T_INTEGER = 100 };

extern mp_shm_dict *t_d; /* the dictionary in question */
extern mp_shm_handle t_h;
extern const mp_shm_wait t_now;
extern long t_reads;

/* A new one, not to be split. */
void t_dict(void);
/* That key, which stays at *n. */
mp_shm_key t_key(uint64_t *n);
void t_set_text(uint64_t n, unsigned version);
/* t_set_text in two halves: the first before a fork, so that only the set itself is stepped through. */
void t_prepare_text(uint64_t n, unsigned version);
void t_set_prepared(void);
void t_set_integer(uint64_t n, int64_t x);
void t_set_handle(uint64_t n, mp_shm_handle x);
int t_delete(uint64_t n);
/* What the key has: 0 nothing, 1 + the version of its text, T_INTEGER + its number. Anything else fails the test. */
int t_look(uint64_t n);
/* The same of what a get gave, v and its bytes, for key n. */
int t_judge(uint64_t n, int found, const mp_shm_item *v);
/* The handle that its value carries, or 0. */
mp_shm_handle t_look_handle(uint64_t n);
/* All keys, by copies of all stripes, none twice: how many; *sum of t_dict's own count must be the same. */
uint64_t t_walk(void);
/* Fills, with keys from *filled on, until the next text needs a new table. */
void t_fill_table(unsigned *filled);
/* Deletes keys from *filled down until the next deletion makes the table smaller. */
void t_drain_table(unsigned *filled);

#endif
