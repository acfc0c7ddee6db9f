/* SPDX-License-Identifier: MIT */
/*
 * What is left of frames that have begun to go out over sockets (layer 2): for src/bind/stream.c, whose calls a deadline or
 * Ctrl-C may end in the middle of a frame, and for the end of the process, which sends what is left by then.
 *
 * All that this process keeps is in one list. A rest belongs to a connection that is open, or, once that is collected,
 * to nobody, and has its descriptor then. A fork has copies, which are not its to send: `sender` tells.
 */
#ifndef MP_PROCESS_REST_H
#define MP_PROCESS_REST_H

#include <sys/uio.h>

#include "os/os.h"

#pragma GCC visibility push(hidden)

typedef struct mp_process_rest {
  struct mp_process_rest *next;
  int fd;
  pid_t sender;
  uint64_t until; /* when it is given up; 0: it belongs to a connection */
  size_t at, n;   /* bytes from `at` on are left */
  char bytes[];
} mp_process_rest;

/* Copies the pieces; NULL: there is no memory. */
mp_process_rest *mp_process_rest_keep(int fd, const struct iovec *pieces, size_t npieces);
/* Whether it is this process's. */
bool mp_process_rest_is_own(const mp_process_rest *r);
/* It has gone, or never will. */
void mp_process_rest_drop(mp_process_rest *r);
/* Its connection is gone, and the descriptor its own. */
void mp_process_rest_leave(mp_process_rest *r);
/* Sends what can go at once of those that belong to nobody. */
void mp_process_rests_step(void);
/* The process ends: sends all, for two seconds at most. */
void mp_process_rests_finish(void);

#pragma GCC visibility pop
#endif
