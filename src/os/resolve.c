/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts. To ask for one may take as long as a server of names is silent, and nothing ends the C library's call: so
 * a process of its own makes it, and who waits for the answer waits for a pipe. The contracts stand in socket.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/local.h"
#include "os/process.h"
#include "os/socket.h"

enum { LIFE_MOST = 120 }; /* seconds, whatever the system's settings for servers of names are */

/* The first of IPv4, if it has one: so Python takes names, and most who listen at "localhost" listen there. */
static const struct addrinfo *preferred(const struct addrinfo *list) {
  for (const struct addrinfo *a = list; a; a = a->ai_next)
    if (a->ai_family == AF_INET) return a;
  return list;
}

/* The address as numbers: its length, or -EADDRNOTAVAIL. */
static int ask(const char *host, const char *port, int flags, char to[MP_OS_ADDRESS]) {
  char number[MP_OS_ADDRESS - 16];
  struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
  if (getaddrinfo(host, port, &hints, &list) != 0) return -EADDRNOTAVAIL;
  const struct addrinfo *a = preferred(list);
  int err = getnameinfo(a->ai_addr, a->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST);
  int n = snprintf(to, MP_OS_ADDRESS, a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", number, port);
  freeaddrinfo(list);
  return err ? -EADDRNOTAVAIL : n;
}

/* The process ends by SIGIO once nobody can read what it writes. */
static void end_with_reader(int fd) {
  struct pollfd p = {.fd = fd};
  signal(SIGIO, SIG_DFL);
  fcntl(fd, F_SETOWN, getpid());
  fcntl(fd, F_SETFL, O_ASYNC);
  if (poll(&p, 1, 0) == 1) _exit(1);
}

/* In the process of its own. */
static void answer(int fd, void *arg) {
  const mp_os_host *h = arg;
  char address[MP_OS_ADDRESS];
  signal(SIGALRM, SIG_DFL);
  alarm(LIFE_MOST);
  end_with_reader(fd);
  int n = ask(h->host, h->port, 0, address);
  if (n > 0 && write(fd, address, (size_t)n) != n) _exit(1);
}

/* What this machine knows by itself, without asking anybody. */
static bool is_near(const mp_os_host *h) { return strcmp(h->host, "localhost") == 0; }

int mp_os_resolve(const char *address, char to[MP_OS_ADDRESS]) {
  mp_os_host h;
  int ends[2];
  if (mp_os_address_is_tcp(address) != 1)
    return snprintf(to, MP_OS_ADDRESS, "%s", address) < MP_OS_ADDRESS ? 0 : -ENAMETOOLONG;
  mp_os_address_split(address, &h);
  int n = ask(h.host, h.port, AI_NUMERICHOST, to);
  if (n < 0 && is_near(&h)) n = ask(h.host, h.port, 0, to);
  if (n >= 0) return 0;
  if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
  pid_t pid = mp_os_detached_copy(ends[1], answer, &h);
  close(ends[1]);
  if (pid < 0) close(ends[0]);
  return pid < 0 ? (int)pid : mp_os_descriptor(ends[0]);
}

int mp_os_resolved(int fd, char to[MP_OS_ADDRESS]) {
  ssize_t n = read(fd, to, MP_OS_ADDRESS - 1);
  close(fd);
  to[n > 0 ? n : 0] = 0;
  return n > 0 ? 0 : -EADDRNOTAVAIL;
}
