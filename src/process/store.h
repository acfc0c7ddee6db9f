/* SPDX-License-Identifier: MIT */
/*
 * The store of descriptors: a process that keeps files which are on their way, or may be asked for again. One per tree,
 * started at first use; it has no Lua, no place in the registry and no parent. Called by src/bind/descriptor.c.
 *
 * Why a process: a file reaches another process only through a socket with somebody at its other end (SCM_RIGHTS), and when
 * a descriptor is put into a queue nobody knows who will get it. Sockets cannot be opened through /proc, and pidfd_getfd is
 * denied under Yama and in containers.
 *
 * One message asks, one answers: KEEP (a file comes along), FETCH (a file comes back), DIED (no answer). Each has the
 * secret that stands in the arena, and both sides ask the kernel who the other is (SO_PEERCRED).
 *
 * Invariant: a process has at most one question out, and drops its connection when it gives up waiting for the answer. The
 * store believes nothing: a file whose object does not live is closed, whoever said what. It ends when no process of the
 * tree lives, or the arena names another store.
 *
 *   killed                                       what the others see
 *   a sender before KEEP was answered            its object dies with it; the store closes the file within a slice
 *   a sender after that                          nothing: the file is the object's
 *   a receiver in FETCH                          nothing: the store has its copy until the object dies
 *   who let go of the last reference, before     the store looks at the count of deaths once a slice
 *   DIED
 *   the starter of a store                       see shm/descriptor/descriptor.h
 *   the store                                    what it kept is lost: -EOWNERDEAD; the next KEEP starts another one
 */
#ifndef MP_PROCESS_STORE_H
#define MP_PROCESS_STORE_H

#include "shm/descriptor/descriptor.h"

#pragma GCC visibility push(hidden)

enum { MP_STORE_KEEP = 1, MP_STORE_FETCH, MP_STORE_DIED };

typedef struct mp_process_store_question {
  uint8_t secret[MP_STORE_NAME];
  mp_shm_handle h;
  uint32_t what;
  uint32_t n; /* of DIED: how many died, h the last of them */
} mp_process_store_question;

typedef struct mp_process_store_answer {
  int32_t err; /* 0 or -errno */
} mp_process_store_answer;

/* store.c: what the store does; does not return. epoch: its number. */
void mp_process_store_run(int listener, uint64_t epoch);

/* store_start.c: a number above 0 and a connection to the store that has it, starting one if need be. -errno. */
int mp_process_store_connect(uint64_t *epoch, uint8_t *secret, bool start, const mp_shm_wait *w);

/* store_client.c: once per process tree. */
void mp_process_store_setup(void);
/* Has the store keep a copy of fd for that object, which this process has made. 0; -EMFILE, -ENFILE: the store can keep no
 * more; -ETIMEDOUT: it does not answer; -errno. */
int mp_process_store_keep(mp_shm_handle h, int fd, const mp_shm_wait *w);
/* A new descriptor of what it keeps for that object. -EOWNERDEAD: it is lost; -EMFILE: this process can have no more. */
int mp_process_store_fetch(mp_shm_handle h, const mp_shm_wait *w);

#pragma GCC visibility pop
#endif
