/* SPDX-License-Identifier: MIT */
/*
 * Stream sockets by their addresses (layer 0). Called by src/bind/listener.c, stream.c and
 * src/process/store_client.c. Knows neither Lua nor the arena.
 *
 * An address is "host:port", "[v6]:port", a path with a '/', or "@name" (the abstract namespace). Of a host's addresses the
 * first of IPv4 counts, or else the first.
 * Invariant: functions return 0, a count or a descriptor, or -errno; descriptors made here are close-on-exec, above 2 and do
 * not block: -EAGAIN. Sending raises no signal.
 */
#ifndef MP_OS_SOCKET_H
#define MP_OS_SOCKET_H

#include <sys/uio.h>

#include "os/os.h"

#pragma GCC visibility push(hidden)

enum { MP_OS_ADDRESS = 128 }; /* bytes of an address as text, with its end */

/* Whether that is an address of another machine's kind: "host:port". -EINVAL: it is no address. */
int mp_os_address_is_tcp(const char *address);
/* "host:port" or "[v6]:port" in two; false: it is neither. */
typedef struct mp_os_host {
  char host[256], port[8];
} mp_os_host;
bool mp_os_address_split(const char *address, mp_os_host *h);

/* resolve.c. Writes an address without a name to `to`, for listen and connect: 0: it is there; -errno; or a descriptor
 * that can be read once the name is known, for mp_os_resolved, which closes it. Who waits no longer closes it. */
int mp_os_resolve(const char *address, char to[MP_OS_ADDRESS]);
/* 0; -EADDRNOTAVAIL: the host has no address by its name. */
int mp_os_resolved(int fd, char to[MP_OS_ADDRESS]);

/* The next two take addresses without names. A path has mode 0600 before anyone can connect. */
int mp_os_socket_listen(const char *address, int backlog);
/* Begins to connect: mp_os_socket_wait for writing, then mp_os_socket_error. -EAGAIN: the listener is busy, try again. */
int mp_os_socket_connect(const char *address);
/* What became of a connect: 0 or -errno. */
int mp_os_socket_error(int fd);
/* -EAGAIN: nobody waits. */
int mp_os_socket_accept(int listener);
/* The address that it has, or that its other side has, as text; empty where there is none. */
void mp_os_socket_name(int fd, bool peer, char to[MP_OS_ADDRESS]);
/* Up to n bytes: how many; 0 at the end; -errno. */
int64_t mp_os_socket_receive(int fd, void *p, size_t n);
int64_t mp_os_socket_send(int fd, const struct iovec *iov, size_t n);
/* Until it can be read, or written, or either: 1; 0 at the deadline; -EINTR. */
enum { MP_OS_READ = 1, MP_OS_WRITE = 2 };
int mp_os_socket_wait(int fd, unsigned what, uint64_t deadline);
/* path.c. Removes a listener's path, if it still is that file's: identity as mp_os_path_identity gave it. */
uint64_t mp_os_path_identity(const char *path);
void mp_os_path_remove(const char *path, uint64_t identity);
/* Keeps it for mp_os_paths_leave, unless it is removed before: 0, -ENOMEM. */
int mp_os_path_keep(const char *path, uint64_t identity);
/* This process ends in order: removes what it has kept, and not removed. */
void mp_os_paths_leave(void);

#pragma GCC visibility pop
#endif
