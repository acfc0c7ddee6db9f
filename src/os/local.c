/* SPDX-License-Identifier: MIT */
/* Sockets of the abstract namespace, and descriptors that pass through them. */
#define _GNU_SOURCE
#include "os/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

static int open_socket(void) {
  return mp_os_descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/* A name begins with a zero, which keeps it out of the file system. */
static socklen_t address(struct sockaddr_un *a, const void *name, size_t n) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  memcpy(a->sun_path + 1, name, n);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
}

static int or_close(int fd, int failed) {
  int err = errno;
  if (!failed) return fd;
  close(fd);
  return -err;
}

int mp_os_local_listen(const void *name, size_t n) {
  struct sockaddr_un a;
  socklen_t size = address(&a, name, n);
  int fd = open_socket();
  if (fd < 0) return fd;
  return or_close(fd, bind(fd, (struct sockaddr *)&a, size) != 0 || listen(fd, BACKLOG) != 0);
}

int mp_os_local_connect(const void *name, size_t n) {
  struct sockaddr_un a;
  socklen_t size = address(&a, name, n);
  int fd = open_socket();
  if (fd < 0) return fd;
  return or_close(fd, connect(fd, (struct sockaddr *)&a, size) != 0);
}

int mp_os_local_accept(int listener) {
  return mp_os_descriptor(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

bool mp_os_local_is_own(int fd) {
  struct ucred c;
  socklen_t n = sizeof c;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) == 0 && c.uid == geteuid();
}

typedef union control {
  struct cmsghdr header;
  char room[CMSG_SPACE(sizeof(int))];
} control;

int mp_os_local_send(int fd, const void *p, size_t n, int passed) {
  struct iovec iov = {(void *)(uintptr_t)p, n};
  control c = {.room = {0}};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  if (passed >= 0) {
    m.msg_control = &c;
    m.msg_controllen = sizeof c;
    c.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&c.header), &passed, sizeof passed);
  }
  return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The one descriptor there is room for; the system closes what else was sent. */
static int take_passed(struct msghdr *m) {
  int fd = -1;
  const struct cmsghdr *c = CMSG_FIRSTHDR(m);
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd < 0 ? -1 : mp_os_descriptor(fd);
}

int mp_os_local_receive(int fd, void *p, size_t n, int *passed) {
  struct iovec iov = {p, n};
  control c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
  *passed = -1;
  ssize_t got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got <= 0) return got < 0 ? -errno : 0;
  *passed = take_passed(&m);
  bool whole = (size_t)got == n && !(m.msg_flags & MSG_TRUNC);
  if (whole && !(m.msg_flags & MSG_CTRUNC) && *passed >= -1) return 1;
  if (*passed >= 0) close(*passed);
  *passed = -1;
  return whole ? -EMFILE : -EBADMSG;
}

uint64_t mp_os_file_identity(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino << 16 ^ (uint64_t)st.st_dev : 0;
}

int mp_os_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  return copy < 0 ? -errno : copy;
}

int mp_os_descriptor_limit(void) {
  struct rlimit l;
  if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur > INT_MAX) return INT_MAX;
  return (int)l.rlim_cur;
}
