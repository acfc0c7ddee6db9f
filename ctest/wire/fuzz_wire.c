/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the readers of frames' heads, challenges and answers. What is taken for a head must give back its bytes; an answer to any
 * challenge stays in its bounds; no answer but the right one is taken. Built by `make fuzz` with libFuzzer, ASan and UBSan.
 */
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void insist(bool holds) {
  if (!holds) abort();
}

static void read_head(const uint8_t *data, size_t n) {
  uint64_t length = 0;
  uint8_t again[MP_WIRE_HEAD_MOST];
  int r = mp_wire_head(data, n, &length);
  insist(r <= MP_WIRE_HEAD_MOST && (r <= 0 || (size_t)r > n));
  if (r != 0) return;
  size_t head = mp_wire_put_head(again, length);
  bool is_short = data[0] != 0xff; /* a short length may have a long head too */
  if (is_short || length > INT32_MAX) insist(head <= n && memcmp(again, data, head) == 0);
}

static void shake_hands(const uint8_t *data, size_t n, bool allow_md5) {
  uint8_t to[MP_WIRE_CHALLENGE_MOST], random[MP_WIRE_RANDOM] = {0};
  int r = mp_wire_answer("key", 3, data, n, allow_md5, to);
  insist(r < 0 || r == MP_WIRE_MD5_BYTES || r == 8 + MP_WIRE_SHA256_BYTES);
  size_t c = mp_wire_challenge(random, to);
  uint8_t right[MP_WIRE_CHALLENGE_MOST];
  int nright = mp_wire_answer("key", 3, to, c, allow_md5, right);
  bool same = n == (size_t)nright && memcmp(data, right, n) == 0;
  if (!allow_md5) insist((mp_wire_judge("key", 3, to, c, data, n, false) == 0) == same);
  mp_wire_judge("key", 3, to, c, data, n, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  uint8_t *exact = malloc(n ? n : 1); /* so that ASan sees each byte beyond */
  if (n) memcpy(exact, data, n);
  read_head(exact, n);
  shake_hands(exact, n, true);
  shake_hands(exact, n, false);
  free(exact);
  return 0;
}
