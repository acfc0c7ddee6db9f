/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a message. Private to the codec.
 *
 *   message  = FORMAT_ONE value | FORMAT_MANY varint(n) value*n
 *   value    = one tag byte, then what the tag says
 *   varint   = seven bits a byte, lowest first, top bit set on all but the last
 *
 * All numbers are little-endian. A tag with MP_SHARED set is met again later in
 * the message: REF, META_REF and UPVALUE_REF name it by the offset of its tag
 * byte from the start of the message. The encoder sets the bit when it meets
 * the value the second time.
 *
 *   INT8 … INT64, FLOAT     the number
 *   STRING                  varint(len) bytes
 *   0x40 + len              a string shorter than MP_SHORT
 *   0x80 + (i - SMALL_MIN)  a small integer
 *   TABLE                   varint(narr) hint items pairs: see MP_HINT_OPEN
 *   RUN_*                   u64(count) numbers: `count` items of an array
 *   FUNCTION                u64(len) dump varint(nup) (UPVALUE value | UPVALUE_REF)*
 *   GLOBALS                 the receiver's globals
 *   MODULE                  string: package.loaded[it]
 *   FIELD                   string string: a field of a module
 *   REGISTERED              string: the metatable registered under it
 *   META                    designator TABLE…: a table with a metatable
 *   HOOKED                  designator value: what __mproc_encode gave
 *   PLAIN                   value: the same without a name, decodes to it
 *   OBJECT                  u64(handle)
 *
 * A designator is MODULE, FIELD, REGISTERED or META_REF.
 */
#ifndef MP_CODEC_FORMAT_H
#define MP_CODEC_FORMAT_H

#include <stdint.h>
#include <string.h>

#pragma GCC visibility push(hidden)

/* The first byte names format and version; a new version takes new bytes. */
enum { MP_FORMAT_ONE = 0xB1, MP_FORMAT_MANY = 0xB2 };

enum mp_codec_tag {
  MP_NIL,
  MP_FALSE,
  MP_TRUE,
  MP_INT8,
  MP_INT16,
  MP_INT32,
  MP_INT64,
  MP_FLOAT,
  MP_STRING,
  MP_TABLE,
  MP_REF,
  MP_RUN_INT8,
  MP_RUN_INT16,
  MP_RUN_INT32,
  MP_RUN_INT64,
  MP_RUN_FLOAT,
  MP_FUNCTION,
  MP_UPVALUE,
  MP_UPVALUE_REF,
  MP_GLOBALS,
  MP_MODULE,
  MP_FIELD,
  MP_REGISTERED,
  MP_META,
  MP_META_REF,
  MP_HOOKED,
  MP_PLAIN,
  MP_OBJECT,
  MP_END
};

enum {
  MP_TAG_MASK = 0x1F,
  MP_SHARED = 0x20,
  MP_TAG_SHORT = 0x40, /* short strings */
  MP_TAG_SMALL = 0x80  /* small integers */
};

#define MP_SHORT 32
#define MP_SMALL_MIN (-16)
#define MP_SMALL_MAX 111

/* The hint byte of a table counts its pairs when below this; else pairs go on
 * until END, and hint - MP_HINT_OPEN is the binary logarithm of their number. */
#define MP_HINT_OPEN 192

/* Bytes of u64(count) or u64(len). */
#define MP_COUNT_BYTES 8

#define MP_VARINT_MAX 10

/* Written out, for compilers then make one store or load of it; but of this store they do not always see it. */
static inline void mp_codec_store64(unsigned char *p, uint64_t v) {
  if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
    memcpy(p, &v, sizeof v);
    return;
  }
  for (unsigned i = 0; i < sizeof v; i++) p[i] = (unsigned char)(v >> 8 * i);
}

static inline uint64_t mp_codec_load64(const unsigned char *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
         (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline void mp_codec_store16(unsigned char *p, uint64_t v) {
  p[0] = (unsigned char)v;
  p[1] = (unsigned char)(v >> 8);
}

static inline void mp_codec_store32(unsigned char *p, uint64_t v) {
  p[0] = (unsigned char)v;
  p[1] = (unsigned char)(v >> 8);
  p[2] = (unsigned char)(v >> 16);
  p[3] = (unsigned char)(v >> 24);
}

static inline uint32_t mp_codec_load32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Writes the low 1, 2, 4 or 8 bytes of v. Always in line: in a loop over numbers of one width nothing is left of it
 * but the store. */
__attribute__((always_inline)) static inline void mp_codec_store(unsigned char *p, uint64_t v, unsigned width) {
  if (width == 1)
    *p = (unsigned char)v;
  else if (width == 2)
    mp_codec_store16(p, v);
  else if (width == 4)
    mp_codec_store32(p, v);
  else
    mp_codec_store64(p, v);
}

/* Reads a signed number of 1, 2, 4 or 8 bytes. */
__attribute__((always_inline)) static inline int64_t mp_codec_load(const unsigned char *p, unsigned width) {
  if (width == 1) return (int8_t)*p;
  if (width == 2) return (int16_t)(p[0] | p[1] << 8);
  if (width == 4) return (int32_t)mp_codec_load32(p);
  return (int64_t)mp_codec_load64(p);
}

static inline uint64_t mp_codec_float_bits(double d) {
  uint64_t v;
  memcpy(&v, &d, sizeof v);
  return v;
}

static inline double mp_codec_bits_float(uint64_t v) {
  double d;
  memcpy(&d, &v, sizeof d);
  return d;
}

/* Writes v at p (room for MP_VARINT_MAX bytes), returns the end. */
static inline unsigned char *mp_codec_put_varint(unsigned char *p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = (unsigned char)(v | 0x80);
  *p++ = (unsigned char)v;
  return p;
}

#pragma GCC visibility pop

#endif
