/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that wait (layer 0): wake pipes, timers, sets of descriptors, and polling many. Called by src/shm/wait and
 * src/bind/wait_set.c. Knows neither Lua nor the arena.
 * Invariant: functions return 0, a count or a descriptor, or -errno; descriptors made here are close-on-exec, and none of
 * the calls blocks but mp_os_poll_many and mp_os_set_wait.
 */
#ifndef MP_OS_EVENT_H
#define MP_OS_EVENT_H

#include <poll.h>

#include "os/os.h"

#pragma GCC visibility push(hidden)

/* A pipe that one descriptor reads and writes, and its inode: any process of the same user that knows the descriptor's
 * number, the process and the inode can wake who polls it. -ENOENT where there is no /proc. */
int mp_os_wake_open(uint64_t *inode);
/* Makes it readable, or not so. By its own process. */
void mp_os_wake_self(int fd);
void mp_os_wake_drain(int fd);
/* Makes fd of process pid readable, if it still is the pipe with that inode; touches nothing else, and raises no signal.
 * 0 or -errno. */
int mp_os_wake_other(pid_t pid, int fd, uint64_t inode);

/* Readable from a time on; MP_FOREVER: not at all. */
int mp_os_timer_open(void);
void mp_os_timer_set(int fd, uint64_t when);

/* A set of descriptors, itself one that is readable while one of them is. */
int mp_os_set_open(void);
int mp_os_set_add(int set, int fd);
void mp_os_set_remove(int set, int fd);
/* Waits until some of the set are readable or at their end, and names up to n of them: how many; 0 at the deadline; -EINTR. */
int mp_os_set_wait(int set, int *fds, int n, uint64_t deadline);

typedef struct pollfd mp_os_pollfd;
/* Waits until one of n descriptors is readable, at its end, or none (POLLNVAL): how many; 0 at the deadline; -EINTR. */
int mp_os_poll_many(mp_os_pollfd *fds, size_t n, uint64_t deadline);

#pragma GCC visibility pop
#endif
