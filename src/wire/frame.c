/* SPDX-License-Identifier: MIT */
/* Frames and challenges. The layouts stand in frame.h. */
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

#define CHALLENGE "#CHALLENGE#"
#define SHA256 "{sha256}"
enum { NCHALLENGE = sizeof CHALLENGE - 1, NSHA256 = sizeof SHA256 - 1, OLD_RANDOM = 20, BYTE = 8 };

static uint64_t read_big(const uint8_t *p, size_t n) {
  uint64_t x = 0;
  while (n--) x = x << BYTE | *p++;
  return x;
}

static void write_big(uint8_t *p, uint64_t x, size_t n) {
  while (n--) p[n] = (uint8_t)x, x >>= BYTE;
}

int mp_wire_head(const uint8_t *head, size_t n, uint64_t *length) {
  if (n < MP_WIRE_HEAD) return MP_WIRE_HEAD;
  *length = read_big(head, MP_WIRE_HEAD);
  if (*length <= INT32_MAX) return 0;
  if (*length != UINT32_MAX) return -EBADMSG;
  if (n < MP_WIRE_HEAD_MOST) return MP_WIRE_HEAD_MOST;
  *length = read_big(head + MP_WIRE_HEAD, MP_WIRE_HEAD_MOST - MP_WIRE_HEAD);
  return *length <= INT64_MAX ? 0 : -EBADMSG;
}

size_t mp_wire_put_head(uint8_t *head, uint64_t length) {
  bool is_long = length > INT32_MAX;
  write_big(head, is_long ? UINT32_MAX : length, MP_WIRE_HEAD);
  if (!is_long) return MP_WIRE_HEAD;
  write_big(head + MP_WIRE_HEAD, length, MP_WIRE_HEAD_MOST - MP_WIRE_HEAD);
  return MP_WIRE_HEAD_MOST;
}

static bool begins(const uint8_t *p, size_t n, const char *text, size_t ntext) {
  return n >= ntext && memcmp(p, text, ntext) == 0;
}

size_t mp_wire_challenge(const uint8_t *random, uint8_t *to) {
  memcpy(to, CHALLENGE SHA256, NCHALLENGE + NSHA256);
  memcpy(to + NCHALLENGE + NSHA256, random, MP_WIRE_RANDOM);
  return NCHALLENGE + NSHA256 + MP_WIRE_RANDOM;
}

int mp_wire_answer(const void *key, size_t nkey, const uint8_t *challenge, size_t n, bool allow_md5, uint8_t *to) {
  if (n > MP_WIRE_CHALLENGE_MOST || !begins(challenge, n, CHALLENGE, NCHALLENGE)) return -EBADMSG;
  const uint8_t *text = challenge + NCHALLENGE;
  n -= NCHALLENGE;
  if (n == OLD_RANDOM) {
    if (!allow_md5) return -ENOTSUP;
    mp_wire_hmac(MP_WIRE_MD5, key, nkey, text, n, to);
    return MP_WIRE_MD5_BYTES;
  }
  if (n < OLD_RANDOM) return -EBADMSG;
  if (!begins(text, n, SHA256, NSHA256)) return -ENOTSUP;
  if (n < NSHA256 + OLD_RANDOM) return -EBADMSG;
  memcpy(to, SHA256, NSHA256);
  mp_wire_hmac(MP_WIRE_SHA256, key, nkey, text, n, to + NSHA256);
  return NSHA256 + MP_WIRE_SHA256_BYTES;
}

int mp_wire_judge(const void *key, size_t nkey, const uint8_t *challenge, size_t n, const uint8_t *answer,
                  size_t nanswer, bool allow_md5) {
  uint8_t right[MP_WIRE_DIGEST_MOST];
  bool old = nanswer == MP_WIRE_MD5_BYTES;
  if (old && !allow_md5) return -ENOTSUP;
  if (!old && !begins(answer, nanswer, SHA256, NSHA256)) return -EACCES;
  int kind = old ? MP_WIRE_MD5 : MP_WIRE_SHA256;
  const uint8_t *given = old ? answer : answer + NSHA256;
  size_t ngiven = old ? nanswer : nanswer - NSHA256;
  if (ngiven != mp_wire_digest_bytes(kind)) return -EACCES;
  mp_wire_hmac(kind, key, nkey, challenge + NCHALLENGE, n - NCHALLENGE, right);
  return mp_wire_equal(given, right, ngiven) ? 0 : -EACCES;
}
