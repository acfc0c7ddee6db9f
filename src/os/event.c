/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that wait. A process has no descriptor of another's pipe; it opens one for the moment of the wake, through
 * /proc, which gives pipes (and not eventfds) to those who know their number.
 */
#define _GNU_SOURCE
#include "os/event.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
enum { PATH_BYTES = 64, DRAIN_BYTES = 4096, SET_MOST = 64 };

static int or_errno(int r) { return r < 0 ? -errno : r; }

static char *add_text(char *to, const char *text) {
  while (*text) *to++ = *text++;
  return to;
}

static char *add_number(char *to, unsigned n) {
  if (n > 9) to = add_number(to, n / 10);
  *to = (char)('0' + n % 10);
  return to + 1;
}

/* By hand: snprintf would take as long as the system calls. pid 0: this process. */
static void fd_path(char *to, pid_t pid, int fd) {
  to = add_text(to, "/proc/");
  to = pid ? add_number(to, (unsigned)pid) : add_text(to, "self");
  to = add_number(add_text(to, "/fd/"), (unsigned)fd);
  *to = 0;
}

/* A pipe's both directions by one descriptor: who holds that is a reader, so that writing raises no SIGPIPE. */
static int reopen(int fd) {
  char path[PATH_BYTES];
  fd_path(path, 0, fd);
  return mp_os_descriptor(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

static bool is_pipe(int fd, uint64_t *inode) {
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)) return false;
  *inode = st.st_ino;
  return true;
}

int mp_os_wake_open(uint64_t *inode) {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return -errno;
  int fd = reopen(ends[0]);
  close(ends[0]);
  close(ends[1]);
  if (fd < 0 || is_pipe(fd, inode)) return fd;
  close(fd);
  return -ENOENT;
}

/* A pipe that is full is readable already. */
static int write_byte(int fd) { return write(fd, "", 1) == 1 || errno == EAGAIN ? 0 : -errno; }

void mp_os_wake_self(int fd) { write_byte(fd); }

void mp_os_wake_drain(int fd) {
  char bytes[DRAIN_BYTES];
  while (read(fd, bytes, sizeof bytes) == sizeof bytes) {}
}

/* A path descriptor opens nothing: it only names what the number stands for, so that this can be looked at first. */
int mp_os_wake_other(pid_t pid, int fd, uint64_t inode) {
  char path[PATH_BYTES];
  uint64_t found = 0;
  fd_path(path, pid, fd);
  int name = mp_os_descriptor(open(path, O_PATH | O_CLOEXEC));
  if (name < 0) return name;
  int err = is_pipe(name, &found) && found == inode ? reopen(name) : -ESTALE;
  close(name);
  if (err < 0) return err;
  int pipe = err;
  err = write_byte(pipe);
  close(pipe);
  return err;
}

int mp_os_timer_open(void) { return mp_os_descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)); }

void mp_os_timer_set(int fd, uint64_t when) {
  struct itimerspec t = {{0, 0}, {0, 0}};
  if (when != MP_FOREVER) t.it_value = (struct timespec){(time_t)(when / NS_PER_S), (long)(when % NS_PER_S)};
  timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
}

int mp_os_set_open(void) { return mp_os_descriptor(epoll_create1(EPOLL_CLOEXEC)); }

int mp_os_set_add(int set, int fd) {
  struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};
  return or_errno(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
}

void mp_os_set_remove(int set, int fd) {
  struct epoll_event e = {.events = 0};
  epoll_ctl(set, EPOLL_CTL_DEL, fd, &e);
}

int mp_os_set_wait(int set, int *fds, int n, uint64_t deadline) {
  struct epoll_event events[SET_MOST];
  uint64_t now = mp_os_now(), left = deadline > now ? deadline - now : 0;
  int ms = deadline == MP_FOREVER ? -1 : (int)((left + MP_MS - 1) / MP_MS);
  int found = epoll_wait(set, events, n < SET_MOST ? n : SET_MOST, ms);
  for (int i = 0; i < found; i++) fds[i] = events[i].data.fd;
  return or_errno(found);
}

int mp_os_poll_many(mp_os_pollfd *fds, size_t n, uint64_t deadline) {
  uint64_t now = deadline && deadline != MP_FOREVER ? mp_os_now() : 0, left = deadline > now ? deadline - now : 0;
  struct timespec t = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
  return or_errno(ppoll(fds, (nfds_t)n, deadline == MP_FOREVER ? NULL : &t, NULL));
}
