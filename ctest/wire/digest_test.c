/* SPDX-License-Identifier: MIT */
/* The published vectors of SHA-256 (FIPS 180-4), MD5 (RFC 1321) and HMAC (RFC 4231, RFC 2202); frames and challenges. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

static long checks;

#define CHECK(cond)                                                                                                    \
  do {                                                                                                                 \
    checks++;                                                                                                          \
    if (!(cond)) {                                                                                                     \
      fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #cond);                                                   \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

static bool is_hex(const uint8_t *digest, size_t n, const char *hex) {
  char text[2 * MP_WIRE_DIGEST_MOST + 1];
  for (size_t i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
  return strcmp(text, hex) == 0;
}

static bool digests_to(int kind, const char *text, const char *hex) {
  uint8_t out[MP_WIRE_DIGEST_MOST];
  mp_wire_digest(kind, text, strlen(text), out);
  return is_hex(out, mp_wire_digest_bytes(kind), hex);
}

static void digests(void) {
  CHECK(digests_to(MP_WIRE_SHA256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
  CHECK(digests_to(MP_WIRE_SHA256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  CHECK(digests_to(MP_WIRE_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                   "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
  CHECK(digests_to(MP_WIRE_MD5, "", "d41d8cd98f00b204e9800998ecf8427e"));
  CHECK(digests_to(MP_WIRE_MD5, "a", "0cc175b9c0f1b6a831c399e269772661"));
  CHECK(digests_to(MP_WIRE_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72"));
  CHECK(digests_to(MP_WIRE_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0"));
  CHECK(digests_to(MP_WIRE_MD5, "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"));
  CHECK(digests_to(MP_WIRE_MD5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                   "d174ab98d277d9f5a5611c2c9f419d9f"));
  CHECK(digests_to(MP_WIRE_MD5, "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                   "57edf4a22be3c955ac49da2e2107b67a"));
}

static void million(void) {
  char *a = malloc(1000000);
  uint8_t out[MP_WIRE_DIGEST_MOST];
  memset(a, 'a', 1000000);
  mp_wire_digest(MP_WIRE_SHA256, a, 1000000, out);
  CHECK(is_hex(out, MP_WIRE_SHA256_BYTES, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
  free(a);
}

static bool signs_to(int kind, uint8_t byte, size_t nkey, const char *key, const char *text, const char *hex) {
  uint8_t out[MP_WIRE_DIGEST_MOST], filled[256];
  memset(filled, byte, sizeof filled);
  mp_wire_hmac(kind, key ? (const void *)key : filled, key ? strlen(key) : nkey, text, strlen(text), out);
  return is_hex(out, mp_wire_digest_bytes(kind), hex);
}

static void signatures(void) {
  CHECK(signs_to(MP_WIRE_SHA256, 0x0b, 20, NULL, "Hi There",
                 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
  CHECK(signs_to(MP_WIRE_SHA256, 0, 0, "Jefe", "what do ya want for nothing?",
                 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
  CHECK(signs_to(MP_WIRE_SHA256, 0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
                 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
  CHECK(signs_to(MP_WIRE_MD5, 0x0b, 16, NULL, "Hi There", "9294727a3638bb1c13f48ef8158bfc9d"));
  CHECK(signs_to(MP_WIRE_MD5, 0, 0, "Jefe", "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"));
  CHECK(signs_to(MP_WIRE_MD5, 0xaa, 80, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
                 "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"));
}

static void frames(void) {
  static const uint64_t lengths[] = {0, 1, 16384, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, INT64_MAX};
  uint8_t head[MP_WIRE_HEAD_MOST];
  uint64_t length;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    size_t n = mp_wire_put_head(head, lengths[i]);
    for (size_t k = 0; k < n; k++) CHECK(mp_wire_head(head, k, &length) > (int)k);
    CHECK(mp_wire_head(head, n, &length) == 0 && length == lengths[i]);
  }
  CHECK(mp_wire_head((const uint8_t *)"\xff\xff\xff\xfe", 4, &length) == -EBADMSG);
  CHECK(mp_wire_head((const uint8_t *)"\x80\0\0\0", 4, &length) == -EBADMSG);
  CHECK(mp_wire_head((const uint8_t *)"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, &length) == -EBADMSG);
}

static void challenges(void) {
  static const uint8_t random[MP_WIRE_RANDOM] = {1, 2, 3};
  uint8_t c[MP_WIRE_CHALLENGE_MOST], a[MP_WIRE_CHALLENGE_MOST];
  size_t n = mp_wire_challenge(random, c);
  int na = mp_wire_answer("key", 3, c, n, false, a);
  CHECK(na == 8 + MP_WIRE_SHA256_BYTES);
  CHECK(mp_wire_judge("key", 3, c, n, a, (size_t)na, false) == 0);
  CHECK(mp_wire_judge("kez", 3, c, n, a, (size_t)na, false) == -EACCES);
  for (int i = 0; i < na; i++) {
    a[i] ^= 1;
    CHECK(mp_wire_judge("key", 3, c, n, a, (size_t)na, false) == -EACCES);
    CHECK(mp_wire_judge("key", 3, c, n, a, (size_t)i, true) == -EACCES);
    a[i] ^= 1;
  }
  mp_wire_hmac(MP_WIRE_MD5, "key", 3, c + 11, n - 11, a);
  CHECK(mp_wire_judge("key", 3, c, n, a, MP_WIRE_MD5_BYTES, true) == 0);
  CHECK(mp_wire_judge("key", 3, c, n, a, MP_WIRE_MD5_BYTES, false) == -ENOTSUP);
  CHECK(mp_wire_answer("key", 3, c, 11 + 20, true, a) == MP_WIRE_MD5_BYTES);
  CHECK(mp_wire_answer("key", 3, c, 11 + 20, false, a) == -ENOTSUP);
  for (size_t i = 0; i < 11 + 20; i++) CHECK(mp_wire_answer("key", 3, c, i, true, a) == -EBADMSG);
  CHECK(mp_wire_answer("key", 3, (const uint8_t *)"#CHALLENGE#{sha1}4567890123456789012345", 39, true, a) == -ENOTSUP);
}

int main(void) {
  digests();
  million();
  signatures();
  frames();
  challenges();
  printf("ok %ld\n", checks);
  return 0;
}
