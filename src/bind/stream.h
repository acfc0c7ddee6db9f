/* SPDX-License-Identifier: MIT */
/*
 * A connection of two sockets for Lua (layer 3): frames in, frames out. stream.c has the frames, socket.c the methods.
 * Invariant: a frame that has begun to go out goes out whole before the next one, whatever ends the call that sent it; one
 * that is coming in stays until it is whole. Memory for a frame grows as its bytes come, not by what its head claims.
 */
#ifndef MP_BIND_STREAM_H
#define MP_BIND_STREAM_H

#include "bind/bind.h"
#include "os/socket.h"
#include "process/rest.h"
#include "wire/frame.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_stream {
  int fd; /* -1: closed */
  bool trusted;
  int ended; /* 0, or why nothing more comes: -EPIPE, -EMSGSIZE, -EBADMSG … */
  uint64_t max_bytes;
  /* the frame that comes in */
  uint8_t head[MP_WIRE_HEAD_MOST];
  size_t nhead;
  bool whole; /* all of it is there */
  uint64_t want, have, room;
  char *in;
  mp_process_rest *out; /* what is left of a frame that goes out, or NULL */
} mp_lua_stream;

/* socket.c: pushes a connection without a socket, with max_bytes at idx (nil: the default) and trusted behind it. */
mp_lua_stream *mp_lua_stream_push(lua_State *L, int idx);
void mp_lua_stream_init(mp_lua_stream *s, int fd, uint64_t max_bytes, bool trusted);
/* Closes it and frees its memory. What is left of a frame goes out if that takes no longer than `until`; 0: it is left to
 * the process, which sends it meanwhile, and at its end. */
void mp_lua_stream_close(mp_lua_stream *s, uint64_t until);
/* Sends n bytes in pieces as one frame: 0: it goes out whole, now or before the next one; -ETIMEDOUT, -EINTR: nothing of it
 * went; -EPIPE: the other side is gone; -errno. */
int mp_lua_stream_send(mp_lua_stream *s, const struct iovec *pieces, size_t npieces, uint64_t n, const mp_shm_wait *w);
/* Waits until a frame is whole, which then lies in s->in, s->want bytes: 0; -ETIMEDOUT, -EINTR; or what ended it. */
int mp_lua_stream_receive(mp_lua_stream *s, const mp_shm_wait *w);
/* An address without a name, which may be waited for: 0, -ETIMEDOUT, -EINTR, -errno. For listener.c, too. */
int mp_lua_resolve(const char *address, char to[MP_OS_ADDRESS], const mp_shm_wait *w);
/* The frame has been taken. */
void mp_lua_stream_taken(mp_lua_stream *s);

#pragma GCC visibility pop
#endif
