/* SPDX-License-Identifier: MIT */
/* Types of shared numbers. What their bits mean stands in number.h. */
#include "shm/number/number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

/* The bits of "number" */
#define SIGN (UINT64_C(1) << 63)
#define WHOLE UINT64_C(0x7ffc000000000000) /* a NaN, quiet, and one bit more that no arithmetic sets */
#define WHOLE_BITS 50                      /* and the sign */
#define WHOLE_LIMIT (INT64_C(1) << WHOLE_BITS)
#define NOT_A_NUMBER UINT64_C(0x7ff8000000000000)

const mp_shm_number_info mp_shm_number_infos[MP_NUMBER_TYPES] = {
    [MP_BOOLEAN] = {"boolean", 0, NULL, 0, 1},
    [MP_INT8] = {"int8", 0, "-128 to 127", INT8_MIN, INT8_MAX},
    [MP_INT16] = {"int16", 1, "-32768 to 32767", INT16_MIN, INT16_MAX},
    [MP_INT32] = {"int32", 2, "-2^31 to 2^31 - 1", INT32_MIN, INT32_MAX},
    [MP_INT64] = {"int64", 3, "-2^63 to 2^63 - 1", INT64_MIN, INT64_MAX},
    [MP_UINT8] = {"uint8", 0, "0 to 255", 0, UINT8_MAX},
    [MP_UINT16] = {"uint16", 1, "0 to 65535", 0, UINT16_MAX},
    [MP_UINT32] = {"uint32", 2, "0 to 2^32 - 1", 0, UINT32_MAX},
    [MP_UINT64] = {"uint64", 3, "0 to 2^64 - 1", 0, INT64_MAX},
    [MP_INTEGER] = {"integer", 3, "-2^63 to 2^63 - 1", INT64_MIN, INT64_MAX},
    [MP_NUMBER] = {"number", 3, NULL, 0, 0},
    [MP_FLOAT] = {"float", 2, "-3.4028234663852886e+38 to 3.4028234663852886e+38, inf or NaN", 0, 0},
    [MP_DOUBLE] = {"double", 3, NULL, 0, 0},
};

static uint64_t bits_of(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static double double_of(uint64_t bits) {
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

static uint32_t bits_of_float(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static float float_of(uint64_t bits) {
  uint32_t b = (uint32_t)bits;
  float f;
  memcpy(&f, &b, sizeof f);
  return f;
}

/* As it is in memory, where a processor (x87) computes with more bits than that. */
static double rounded(double d) {
  if (FLT_EVAL_METHOD == 0) return d;
  volatile double stored = d;
  return stored;
}

static double as_double(mp_shm_number n) { return n.is == MP_IS_REAL ? n.real : rounded((double)n.whole); }

/* --- the integers --- */

/* 0, -EDOM, -ERANGE */
static int to_whole(mp_shm_number n, int64_t *whole) {
  *whole = n.whole;
  if (n.is == MP_IS_WHOLE) return 0;
  if (isnan(n.real)) return -EDOM;
  if (n.real < -TWO_63 || n.real >= TWO_63) return -ERANGE;
  *whole = (int64_t)n.real;
  return (double)*whole == n.real ? 0 : -EDOM;
}

/* Cuts what is above the type's size, so that the bits compare as those loaded. */
static uint64_t cut(unsigned type, int64_t whole) {
  unsigned unused = 64 - (8u << mp_shm_number_infos[type].shift);
  return (uint64_t)whole << unused >> unused;
}

static int64_t widen(unsigned type, uint64_t bits) {
  unsigned unused = 64 - (8u << mp_shm_number_infos[type].shift);
  return mp_shm_number_infos[type].least ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

static int encode_whole(unsigned type, mp_shm_number n, uint64_t *bits) {
  const mp_shm_number_info *t = &mp_shm_number_infos[type];
  int64_t whole;
  int err = to_whole(n, &whole);
  if (err) return err;
  *bits = cut(type, whole);
  return whole < t->least || whole > t->most ? -ERANGE : 0;
}

static bool is_high(mp_shm_number n) { return n.is == MP_IS_REAL && n.real >= TWO_63 && n.real < TWO_64; }

static int encode_uint64(mp_shm_number n, uint64_t *bits) {
  if (!is_high(n)) return encode_whole(MP_UINT64, n, bits);
  *bits = (uint64_t)n.real; /* exact: it has 53 bits at most */
  return 0;
}

static mp_shm_number decode_uint64(uint64_t bits) {
  return bits >> 63 ? mp_shm_number_real((double)bits) : mp_shm_number_whole((int64_t)bits);
}

static int sum_whole(unsigned type, uint64_t bits, mp_shm_number n, uint64_t *sum) {
  const mp_shm_number_info *t = &mp_shm_number_infos[type];
  int64_t more, s;
  int err = to_whole(n, &more);
  if (err) return err;
  bool over = __builtin_add_overflow(widen(type, bits), more, &s); /* s is wrapped */
  *sum = cut(type, s);
  if (t->shift == 3) return 0;
  return over || s < t->least || s > t->most ? -ERANGE : 0;
}

static int sum_uint64(uint64_t bits, mp_shm_number n, uint64_t *sum) {
  int64_t more = 0;
  int err = is_high(n) ? 0 : to_whole(n, &more);
  if (err) return err;
  bool out = is_high(n)  ? __builtin_add_overflow(bits, (uint64_t)n.real, sum)
             : more >= 0 ? __builtin_add_overflow(bits, (uint64_t)more, sum)
                         : __builtin_sub_overflow(bits, -(uint64_t)more, sum);
  if (out) return -ERANGE;
  double told = rounded((double)*sum);
  return *sum >> 63 && (told >= TWO_64 || (uint64_t)told != *sum) ? -EOVERFLOW : 0;
}

/* --- the others --- */

static int encode_float(mp_shm_number n, uint64_t *bits) {
  float f = n.is == MP_IS_REAL ? (float)n.real : (float)n.whole;
  *bits = bits_of_float(f);
  return isinf(float_of(*bits)) && isfinite(as_double(n)) ? -ERANGE : 0;
}

static uint64_t bits_of_real(double d) { return WHOLE ^ (isnan(d) ? NOT_A_NUMBER | (bits_of(d) & SIGN) : bits_of(d)); }

static int encode_number(mp_shm_number n, uint64_t *bits) {
  if (n.is == MP_IS_REAL) {
    *bits = bits_of_real(n.real);
    return 0;
  }
  if (n.whole >= -WHOLE_LIMIT && n.whole < WHOLE_LIMIT) {
    *bits = ((uint64_t)n.whole & (uint64_t)(WHOLE_LIMIT - 1)) | (n.whole < 0 ? SIGN : 0);
    return 0;
  }
  double d = rounded((double)n.whole);
  *bits = bits_of_real(d);
  return d >= TWO_63 || (int64_t)d != n.whole ? -EOVERFLOW : 0;
}

static mp_shm_number decode_number(uint64_t bits) {
  bits ^= WHOLE;
  if ((bits & WHOLE) != WHOLE) return mp_shm_number_real(double_of(bits));
  int64_t low = (int64_t)(bits & (uint64_t)(WHOLE_LIMIT - 1));
  return mp_shm_number_whole(bits & SIGN ? low - WHOLE_LIMIT : low);
}

static int sum_number(uint64_t bits, mp_shm_number n, uint64_t *sum) {
  mp_shm_number old = decode_number(bits);
  if (old.is == MP_IS_REAL || n.is == MP_IS_REAL)
    return encode_number(mp_shm_number_real(as_double(old) + as_double(n)), sum);
  int64_t s;
  if (__builtin_add_overflow(old.whole, n.whole, &s)) return -EOVERFLOW;
  return encode_number(mp_shm_number_whole(s), sum);
}

/* One rounding to single precision: that of a sum in double precision is the same. An infinite sum of finite numbers
 * is out of range here, but not in "double": Lua's own sums are infinite then. */
static int sum_float(uint64_t bits, mp_shm_number n, uint64_t *sum) {
  double s = (double)float_of(bits) + as_double(n);
  float f = (float)s;
  *sum = bits_of_float(f);
  return isinf(float_of(*sum)) && isfinite(float_of(bits)) && isfinite(as_double(n)) ? -ERANGE : 0;
}

/* --- by type --- */

int mp_shm_number_encode(unsigned type, mp_shm_number n, uint64_t *bits) {
  if ((n.is == MP_IS_BOOLEAN) != (type == MP_BOOLEAN)) return -EINVAL;
  switch (type) {
    case MP_BOOLEAN:
      *bits = (uint64_t)n.whole;
      return 0;
    case MP_UINT64:
      return encode_uint64(n, bits);
    case MP_NUMBER:
      return encode_number(n, bits);
    case MP_FLOAT:
      return encode_float(n, bits);
    case MP_DOUBLE:
      *bits = bits_of(as_double(n));
      return 0;
    default:
      return encode_whole(type, n, bits);
  }
}

mp_shm_number mp_shm_number_decode(unsigned type, uint64_t bits) {
  switch (type) {
    case MP_BOOLEAN:
      return (mp_shm_number){MP_IS_BOOLEAN, (int64_t)bits, 0};
    case MP_UINT64:
      return decode_uint64(bits);
    case MP_NUMBER:
      return decode_number(bits);
    case MP_FLOAT:
      return mp_shm_number_real((double)float_of(bits));
    case MP_DOUBLE:
      return mp_shm_number_real(double_of(bits));
    default:
      return mp_shm_number_whole(widen(type, bits));
  }
}

int mp_shm_number_add(unsigned type, uint64_t bits, mp_shm_number n, uint64_t *sum) {
  if (n.is == MP_IS_BOOLEAN) return -EINVAL;
  switch (type) {
    case MP_BOOLEAN:
      return -EINVAL;
    case MP_UINT64:
      return sum_uint64(bits, n, sum);
    case MP_NUMBER:
      return sum_number(bits, n, sum);
    case MP_FLOAT:
      return sum_float(bits, n, sum);
    case MP_DOUBLE:
      *sum = bits_of(double_of(bits) + as_double(n));
      return 0;
    default:
      return sum_whole(type, bits, n, sum);
  }
}

bool mp_shm_number_same(unsigned type, uint64_t a, uint64_t b) {
  mp_shm_number x = mp_shm_number_decode(type, a), y = mp_shm_number_decode(type, b);
  if (x.is != MP_IS_REAL && y.is != MP_IS_REAL) return x.whole == y.whole;
  double p = as_double(x), q = as_double(y);
  return p == q || (isnan(p) && isnan(q));
}
