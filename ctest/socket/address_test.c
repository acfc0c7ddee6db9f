/* SPDX-License-Identifier: MIT */
/* Which of a name's addresses a socket gets: with the resolver of a host whose "localhost" is ::1 first. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/socket.h"

static struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
static struct sockaddr_in four = {.sin_family = AF_INET};
static struct addrinfo second = {.ai_family = AF_INET, .ai_addrlen = sizeof four, .ai_addr = (void *)&four};
static struct addrinfo first = {.ai_family = AF_INET6, .ai_addrlen = sizeof six, .ai_addr = (void *)&six};

/* These stand before the C library's. "both" has two addresses, 127.0.0.1 is itself, any other name the IPv6 one. */
int getaddrinfo(const char *restrict host, const char *restrict port, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list) {
  (void)hints;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  four.sin_port = six.sin6_port = htons((uint16_t)atoi(port));
  first.ai_next = strcmp(host, "both") == 0 ? &second : NULL;
  *list = strchr(host, '.') ? &second : &first;
  return 0;
}

void freeaddrinfo(struct addrinfo *list) { (void)list; }

static int checks;

/* A host without IPv6 has one check less. */
static void expect(const char *address, const char *begin) {
  char name[MP_OS_ADDRESS], found[MP_OS_ADDRESS];
  int fd = mp_os_resolve(address, found);
  if (fd == 0) fd = mp_os_socket_listen(found, 1);
  if (fd < 0) {
    fprintf(stderr, "%s: %s\n", address, strerror(-fd));
    if (*begin != '[') exit(1);
    return;
  }
  mp_os_socket_name(fd, false, name);
  if (strncmp(name, begin, strlen(begin)) != 0) {
    fprintf(stderr, "%s became %s\n", address, name);
    exit(1);
  }
  mp_os_close(fd);
  checks++;
}

int main(void) {
  expect("both:0", "127.0.0.1:");
  expect("six:0", "[::1]:");
  printf("ok %d\n", checks);
  return 0;
}
