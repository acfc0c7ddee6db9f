/* SPDX-License-Identifier: MIT */
/* SHA-256, MD5 and HMAC. Both digests work on blocks of 64 bytes, and differ in their words' order and their rounds. */
#include "wire/digest.h"

#include <string.h>

enum { BLOCK = 64, WORDS = 8 };

typedef struct state {
  uint32_t h[WORDS];
  uint64_t n; /* bytes so far */
  uint8_t block[BLOCK];
  int kind;
} state;

static uint32_t left(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }
static uint32_t right(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static uint32_t load(const uint8_t *p, bool big) {
  return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
             : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void store(uint8_t *p, uint32_t x, bool big) {
  for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(x >> 8 * (big ? 3 - i : i));
}

static const uint32_t sha_words[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha_block(uint32_t *h, const uint8_t *p) {
  uint32_t w[64], v[WORDS];
  for (int i = 0; i < 16; i++) w[i] = load(p + 4 * i, true);
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (right(a, 7) ^ right(a, 18) ^ a >> 3) + w[i - 7] + (right(b, 17) ^ right(b, 19) ^ b >> 10);
  }
  memcpy(v, h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t a = v[0], e = v[4];
    uint32_t t = v[7] + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + sha_words[i] + w[i];
    uint32_t u = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t;
    v[0] = t + u;
  }
  for (int i = 0; i < WORDS; i++) h[i] += v[i];
}

static const uint32_t md5_words[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
static const uint8_t md5_turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
static const uint8_t md5_steps[4][2] = {{1, 0}, {5, 1}, {3, 5}, {7, 0}}; /* which word each round's i-th step takes */

static uint32_t md5_mix(int round, uint32_t b, uint32_t c, uint32_t d) {
  switch (round) {
    case 0:
      return (b & c) | (~b & d);
    case 1:
      return (d & b) | (~d & c);
    case 2:
      return b ^ c ^ d;
    default:
      return c ^ (b | ~d);
  }
}

static void md5_block(uint32_t *h, const uint8_t *p) {
  uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
  for (int i = 0; i < 64; i++) {
    int round = i / 16, at = (md5_steps[round][0] * i + md5_steps[round][1]) % 16;
    uint32_t t = a + md5_mix(round, b, c, d) + md5_words[i] + load(p + 4 * at, false);
    a = d, d = c, c = b;
    b += left(t, md5_turns[round][i % 4]);
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d;
}

static void begin(state *s, int kind) {
  static const uint32_t sha[WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  static const uint32_t md5[WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  memcpy(s->h, kind == MP_WIRE_SHA256 ? sha : md5, sizeof s->h);
  s->n = 0;
  s->kind = kind;
}

static void add(state *s, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  while (n--) {
    s->block[s->n++ % BLOCK] = *p++;
    if (s->n % BLOCK == 0) (s->kind == MP_WIRE_SHA256 ? sha_block : md5_block)(s->h, s->block);
  }
}

static void end(state *s, uint8_t *out) {
  bool big = s->kind == MP_WIRE_SHA256;
  uint64_t bits = s->n * 8;
  uint8_t length[8];
  add(s, "\x80", 1);
  while (s->n % BLOCK != BLOCK - sizeof length) add(s, "", 1);
  store(length, (uint32_t)(big ? bits >> 32 : bits), big);
  store(length + 4, (uint32_t)(big ? bits : bits >> 32), big);
  add(s, length, sizeof length);
  for (size_t i = 0; i < mp_wire_digest_bytes(s->kind) / 4; i++) store(out + 4 * i, s->h[i], big);
}

size_t mp_wire_digest_bytes(int kind) { return kind == MP_WIRE_SHA256 ? MP_WIRE_SHA256_BYTES : MP_WIRE_MD5_BYTES; }

void mp_wire_digest(int kind, const void *p, size_t n, uint8_t *out) {
  state s;
  begin(&s, kind);
  add(&s, p, n);
  end(&s, out);
}

void mp_wire_hmac(int kind, const void *key, size_t nkey, const void *p, size_t n, uint8_t *out) {
  uint8_t k[BLOCK] = {0}, inner[BLOCK], outer[BLOCK], digest[MP_WIRE_DIGEST_MOST];
  state s;
  if (nkey > BLOCK)
    mp_wire_digest(kind, key, nkey, k);
  else
    memcpy(k, key, nkey);
  for (int i = 0; i < BLOCK; i++) inner[i] = k[i] ^ 0x36, outer[i] = k[i] ^ 0x5c;
  begin(&s, kind);
  add(&s, inner, BLOCK);
  add(&s, p, n);
  end(&s, digest);
  begin(&s, kind);
  add(&s, outer, BLOCK);
  add(&s, digest, mp_wire_digest_bytes(kind));
  end(&s, out);
}

bool mp_wire_equal(const void *a, const void *b, size_t n) {
  const volatile uint8_t *p = a, *q = b;
  unsigned differ = 0;
  while (n--) differ |= *p++ ^ *q++;
  return differ == 0;
}
