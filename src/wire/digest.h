/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 (FIPS 180-4), MD5 (RFC 1321) and HMAC (RFC 2104) over them, for the challenge of sockets. Pure functions over bytes;
 * called by frame.c. MD5 is here for old Pythons alone.
 */
#ifndef MP_WIRE_DIGEST_H
#define MP_WIRE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum { MP_WIRE_MD5, MP_WIRE_SHA256 };
enum { MP_WIRE_MD5_BYTES = 16, MP_WIRE_SHA256_BYTES = 32, MP_WIRE_DIGEST_MOST = MP_WIRE_SHA256_BYTES };

/* How many bytes a digest of that kind has. */
size_t mp_wire_digest_bytes(int kind);
/* The digest of n bytes, and of n1 bytes followed by n bytes under a key. */
void mp_wire_digest(int kind, const void *p, size_t n, uint8_t *out);
void mp_wire_hmac(int kind, const void *key, size_t nkey, const void *p, size_t n, uint8_t *out);
/* Takes as long for any two of n bytes. */
bool mp_wire_equal(const void *a, const void *b, size_t n);

#pragma GCC visibility pop
#endif
