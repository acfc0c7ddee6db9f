/* SPDX-License-Identifier: MIT */
/* Stream sockets by their addresses. */
#define _GNU_SOURCE
#include "os/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOCAL_BUFFER = 4 << 20 };

typedef struct place {
  socklen_t n;
  union {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } a;
} place;

static int local_place(const char *address, place *to) {
  size_t n = strlen(address);
  if (n < 2 || n >= sizeof to->a.local.sun_path) return n < 2 ? -EINVAL : -ENAMETOOLONG;
  memset(&to->a, 0, sizeof to->a);
  to->a.local.sun_family = AF_UNIX;
  memcpy(to->a.local.sun_path, address, n);
  bool is_abstract = *address == '@';
  if (is_abstract) to->a.local.sun_path[0] = 0;
  to->n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (is_abstract ? 0 : 1));
  return 0;
}

bool mp_os_address_split(const char *address, mp_os_host *h) {
  const char *colon = strrchr(address, ':');
  if (!colon || strlen(colon + 1) >= sizeof h->port || !colon[1] ||
      strspn(colon + 1, "0123456789") != strlen(colon + 1))
    return false;
  bool v6 = *address == '[';
  const char *from = address + v6, *to = colon - v6;
  if (to <= from || to - from >= (ptrdiff_t)sizeof h->host || (v6 && *to != ']') ||
      (!v6 && memchr(from, ':', (size_t)(to - from))))
    return false;
  memcpy(h->host, from, (size_t)(to - from));
  h->host[to - from] = 0;
  strcpy(h->port, colon + 1);
  return true;
}

static bool is_local(const char *address) { return *address == '@' || strchr(address, '/'); }

int mp_os_address_is_tcp(const char *address) {
  mp_os_host h;
  if (is_local(address)) return 0;
  return mp_os_address_split(address, &h) && atoi(h.port) <= UINT16_MAX ? 1 : -EINVAL;
}

static int find(const char *address, place *to) {
  mp_os_host h;
  if (is_local(address)) return local_place(address, to);
  if (!mp_os_address_split(address, &h)) return -EINVAL;
  struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
  if (getaddrinfo(h.host, h.port, &hints, &list) != 0) return -EADDRNOTAVAIL;
  to->n = list->ai_addrlen;
  memcpy(&to->a, list->ai_addr, list->ai_addrlen);
  freeaddrinfo(list);
  return 0;
}

/* As much as the system allows, so that a large message takes fewer turns. TCP finds out by itself. */
static void widen(int fd, int family) {
  int bytes = LOCAL_BUFFER;
  if (family == AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int open_for(const place *p) {
  int one = 1, fd = mp_os_descriptor(socket(p->a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd >= 0) widen(fd, p->a.any.sa_family);
  if (fd >= 0 && p->a.any.sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (fd >= 0 && p->a.any.sa_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  return fd;
}

static int close_with(int fd, int err) {
  close(fd);
  return -err;
}

/* Nobody can connect before it listens, so a path's mode comes in time. */
int mp_os_socket_listen(const char *address, int backlog) {
  place p;
  int one = 1, err = find(address, &p), fd = err ? err : open_for(&p);
  if (fd < 0) return fd;
  bool path = p.a.any.sa_family == AF_UNIX && *address != '@';
  if (p.a.any.sa_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, &p.a.any, p.n) != 0) return close_with(fd, errno);
  if ((path && chmod(address, S_IRUSR | S_IWUSR) != 0) || listen(fd, backlog) != 0) {
    err = errno;
    if (path) unlink(address);
    return close_with(fd, err);
  }
  return fd;
}

int mp_os_socket_connect(const char *address) {
  place p;
  int err = find(address, &p), fd = err ? err : open_for(&p);
  if (fd < 0) return fd;
  if (connect(fd, &p.a.any, p.n) == 0 || errno == EINPROGRESS) return fd;
  return close_with(fd, errno);
}

int mp_os_socket_error(int fd) {
  int err = 0;
  socklen_t n = sizeof err;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) == 0 ? -err : -errno;
}

int mp_os_socket_accept(int listener) {
  struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
  socklen_t n = sizeof from;
  int one = 1, fd = mp_os_descriptor(accept4(listener, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd == -ECONNABORTED || fd == -EINTR) return -EAGAIN;
  if (fd >= 0) widen(fd, from.ss_family);
  if (fd >= 0 && from.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (fd >= 0 && from.ss_family != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  return fd;
}

static void local_name(const place *p, char *to) {
  size_t n = p->n - offsetof(struct sockaddr_un, sun_path);
  const char *path = p->a.local.sun_path;
  to[0] = 0;
  if (p->n > offsetof(struct sockaddr_un, sun_path))
    snprintf(to, MP_OS_ADDRESS, "%s%.*s", *path ? "" : "@", (int)(*path ? n : n - 1), *path ? path : path + 1);
}

void mp_os_socket_name(int fd, bool peer, char to[MP_OS_ADDRESS]) {
  char host[INET6_ADDRSTRLEN];
  place p = {.n = sizeof p.a};
  to[0] = 0;
  if ((peer ? getpeername : getsockname)(fd, &p.a.any, &p.n) != 0) return;
  if (p.a.any.sa_family == AF_UNIX)
    local_name(&p, to);
  else if (p.a.any.sa_family == AF_INET && inet_ntop(AF_INET, &p.a.v4.sin_addr, host, sizeof host))
    snprintf(to, MP_OS_ADDRESS, "%s:%d", host, ntohs(p.a.v4.sin_port));
  else if (p.a.any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &p.a.v6.sin6_addr, host, sizeof host))
    snprintf(to, MP_OS_ADDRESS, "[%s]:%d", host, ntohs(p.a.v6.sin6_port));
}

int64_t mp_os_socket_receive(int fd, void *p, size_t n) {
  ssize_t got = recv(fd, p, n, MSG_DONTWAIT);
  return got < 0 ? -errno : got;
}

int64_t mp_os_socket_send(int fd, const struct iovec *iov, size_t n) {
  struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov};
  m.msg_iovlen = (__typeof__(m.msg_iovlen))(n < IOV_MAX ? n : IOV_MAX);
  ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

int mp_os_socket_wait(int fd, unsigned what, uint64_t deadline) {
  struct pollfd p = {fd, (short)((what & MP_OS_READ ? POLLIN : 0) | (what & MP_OS_WRITE ? POLLOUT : 0)), 0};
  uint64_t now = mp_os_now(), left = deadline > now ? deadline - now : 0;
  struct timespec t = {(time_t)(left / (1000 * MP_MS)), (long)(left % (1000 * MP_MS))};
  int r = ppoll(&p, 1, deadline == MP_FOREVER ? NULL : &t, NULL);
  return r < 0 ? -errno : r;
}
