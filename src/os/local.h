/* SPDX-License-Identifier: MIT */
/*
 * Local sockets that carry descriptors, and a process that belongs to nobody (layer 0). Called by src/process/store*.c.
 * Knows neither Lua nor the arena.
 * Invariant: functions return 0, a count or a descriptor, or -errno; descriptors made here are close-on-exec and above 2, and
 * no call waits: -EAGAIN.
 */
#ifndef MP_OS_LOCAL_H
#define MP_OS_LOCAL_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

/* local.c: sockets with a name of n bytes in the abstract namespace, which goes with its last descriptor. One send is one
 * message. */
enum { MP_OS_LOCAL_NAME = 64 }; /* bytes of a name at most */
int mp_os_local_listen(const void *name, size_t n);
int mp_os_local_connect(const void *name, size_t n);
int mp_os_local_accept(int listener);
/* Whether the other side is this user's: who connected, or who made the listener. */
bool mp_os_local_is_own(int fd);
/* passed: a descriptor that goes with the bytes, or -1. 0 or -errno; raises no signal. */
int mp_os_local_send(int fd, const void *p, size_t n, int passed);
/* One message of exactly n bytes: 1; 0 at the end. *passed: the descriptor that came with it, or -1. -EMFILE: it came, and
 * this process may open no more. -EBADMSG: of another length. */
int mp_os_local_receive(int fd, void *p, size_t n, int *passed);
/* What tells this open file from any other that has its number later. 0: none is open there. */
uint64_t mp_os_file_identity(int fd);
/* A copy of a descriptor. */
int mp_os_duplicate(int fd);
/* How many descriptors this process may have open. */
int mp_os_descriptor_limit(void);

/* detached.c */
/* Starts a copy of this process that is nobody's child, has no descriptor but `kept`, by that number or another, and runs
 * run(descriptor, arg). It may not use malloc, nor a lock: it keeps this process's variables and stack alone. Ignores the
 * signals that ask a process to end. Its pid or -errno. */
pid_t mp_os_detached(int kept, void (*run)(int kept, void *arg), void *arg);
/* The same with a copy of this process's memory: it may use the C library, as after a fork. For what ends soon. */
pid_t mp_os_detached_copy(int kept, void (*run)(int kept, void *arg), void *arg);

#pragma GCC visibility pop
#endif
