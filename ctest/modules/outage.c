/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded: what a specs' program asks of the system does not come. The host slow.test is asked for in vain for a
 * minute, quick.test is 127.0.0.1, and none.test is nobody. With MPROC_OUTAGE=epoll no set takes a second descriptor.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))
enum { SILENCE = 60 };

SHOWN int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                      struct addrinfo **restrict list);
SHOWN int epoll_ctl(int set, int what, int fd, struct epoll_event *event);

typedef int asks(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
typedef int controls(int set, int what, int fd, struct epoll_event *event);

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list) {
  void *found = next("getaddrinfo");
  asks *ask;
  memcpy(&ask, &found, sizeof ask);
  if (host && strcmp(host, "none.test") == 0) return EAI_NONAME;
  if (host && (hints->ai_flags & AI_NUMERICHOST) == 0) {
    if (strcmp(host, "slow.test") == 0) sleep(SILENCE);
    if (strcmp(host, "quick.test") == 0) host = "127.0.0.1";
  }
  return ask(host, port, hints, list);
}

int epoll_ctl(int set, int what, int fd, struct epoll_event *event) {
  static int added;
  void *found = next("epoll_ctl");
  controls *control;
  memcpy(&control, &found, sizeof control);
  const char *outage = getenv("MPROC_OUTAGE");
  if (outage && strcmp(outage, "epoll") == 0 && what == EPOLL_CTL_ADD && added++ > 0) {
    errno = ENOSPC;
    return -1;
  }
  return control(set, what, fd, event);
}
