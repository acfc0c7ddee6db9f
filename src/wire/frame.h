/* SPDX-License-Identifier: MIT */
/*
 * Frames and the challenge of Python's multiprocessing.connection, as bytes. Pure functions: no system call, no memory of their
 * own. Called by src/bind/stream.c and listener.c, and fuzzed.
 *
 *   frame      length as 4 bytes, big-endian; or -1 as such, then the length as 8; then so many bytes
 *   challenge  "#CHALLENGE#" "{sha256}" and 40 random bytes (older: 20 random bytes, which want an HMAC-MD5)
 *   answer     "{sha256}" and the HMAC-SHA256 of what follows "#CHALLENGE#" (older: the HMAC-MD5 alone)
 *   verdict    "#WELCOME#" or "#FAILURE#"
 *
 * Each side challenges the other: first who accepts, then who connects.
 */
#ifndef MP_WIRE_FRAME_H
#define MP_WIRE_FRAME_H

#include "wire/digest.h"

#pragma GCC visibility push(hidden)

enum { MP_WIRE_HEAD = 4, MP_WIRE_HEAD_MOST = 12, MP_WIRE_RANDOM = 40, MP_WIRE_CHALLENGE_MOST = 256 };

/* Of n bytes of a frame's head: how many it has in all when more are wanted; 0: *length is the frame's; -EBADMSG: it is none. */
int mp_wire_head(const uint8_t *head, size_t n, uint64_t *length);
/* Writes the head of a frame of that length: how many bytes it has. */
size_t mp_wire_put_head(uint8_t *head, uint64_t length);

/* Writes a challenge made of MP_WIRE_RANDOM random bytes to `to`, MP_WIRE_CHALLENGE_MOST bytes: its length. */
size_t mp_wire_challenge(const uint8_t *random, uint8_t *to);
/* Writes the answer to a challenge of n bytes: its length; -EBADMSG: it is none; -ENOTSUP: it asks for MD5, which is not
 * allowed, or for a digest that is not known. */
int mp_wire_answer(const void *key, size_t nkey, const uint8_t *challenge, size_t n, bool allow_md5, uint8_t *to);
/* Whether that is the right answer to a challenge that mp_wire_challenge made: 0; -EACCES: no; -ENOTSUP as above. */
int mp_wire_judge(const void *key, size_t nkey, const uint8_t *challenge, size_t n, const uint8_t *answer,
                  size_t nanswer, bool allow_md5);

#pragma GCC visibility pop
#endif
