/* SPDX-License-Identifier: MIT */
/*
 * Types of shared numbers (layer 1): what an element of each can hold, and its bits in memory. Pure functions, for
 * array.c and its binding.
 * Invariant: bits come from here alone, and zeroes are 0 or false of every type; so what is decoded can be encoded again.
 *
 * boolean                  a byte, 0 or 1
 * int8 … int32, uint8 …    two's complement
 * int64, integer           the same thing; sums wrap
 * uint64                   above 2^63 - 1 only what a double holds exactly: Lua has no other numbers there
 * float, double            IEEE 754; a float rounds to single precision
 * number                   an integer or a double, told apart by the bits: doubles as they are (but one NaN of each
 *                          sign), integers of 51 bits as NaNs that no arithmetic yields, all of it xor WHOLE so that
 *                          zeroes are the integer 0. Longer integers become doubles, if one holds them exactly
 */
#ifndef MP_SHM_NUMBER_NUMBER_H
#define MP_SHM_NUMBER_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum {
  MP_BOOLEAN,
  MP_INT8,
  MP_INT16,
  MP_INT32,
  MP_INT64,
  MP_UINT8,
  MP_UINT16,
  MP_UINT32,
  MP_UINT64,
  MP_INTEGER,
  MP_NUMBER,
  MP_FLOAT,
  MP_DOUBLE,
  MP_NUMBER_TYPES
};

enum { MP_IS_BOOLEAN, MP_IS_WHOLE, MP_IS_REAL };

typedef struct mp_shm_number { /* a number of Lua's */
  int is;                      /* MP_IS_*: whole also carries a boolean, as 0 or 1 */
  int64_t whole;
  double real;
} mp_shm_number;

static inline mp_shm_number mp_shm_number_whole(int64_t i) { return (mp_shm_number){MP_IS_WHOLE, i, 0}; }
static inline mp_shm_number mp_shm_number_real(double d) { return (mp_shm_number){MP_IS_REAL, 0, d}; }

typedef struct mp_shm_number_info {
  const char *name;
  unsigned shift;      /* its size is 1 << shift */
  const char *range;   /* in words, for messages; NULL: any number */
  int64_t least, most; /* of the integer types but uint64 */
} mp_shm_number_info;
extern const mp_shm_number_info mp_shm_number_infos[MP_NUMBER_TYPES];

static inline bool mp_shm_number_is_integral(unsigned type) { return type != MP_BOOLEAN && type < MP_NUMBER; }

/* 0; -EINVAL: of a wrong kind (a boolean for a number, or the reverse); -EDOM: not whole; -ERANGE; -EOVERFLOW: an
 * integer that "number" cannot hold exactly. Bits above the type's size are 0. */
int mp_shm_number_encode(unsigned type, mp_shm_number n, uint64_t *bits);
mp_shm_number mp_shm_number_decode(unsigned type, uint64_t bits);
/* The sum, by the type's rules: 0 or a negative error as above, where -EOVERFLOW also says that Lua has no such number.
 * -EINVAL for booleans. *sum may be written in any case. */
int mp_shm_number_add(unsigned type, uint64_t bits, mp_shm_number n, uint64_t *sum);
/* Equal as ==, but a NaN also equals a NaN, so that a loop of compare_exchange ends. */
bool mp_shm_number_same(unsigned type, uint64_t a, uint64_t b);

#pragma GCC visibility pop
#endif
