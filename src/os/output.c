/* SPDX-License-Identifier: MIT */
/*
 * Whole texts to a descriptor that other processes write to as well. A regular file or a terminal takes a write
 * whole; a pipe only up to PIPE_BUF, and a socket as it likes. There a record lock keeps the writers apart: it belongs
 * to the process, works on any file, and the system releases it at the holder's death.
 */
#define _GNU_SOURCE
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

/* Waits until fd takes more. False when the error is a real one. */
static bool can_go_on(int fd, int err) {
  if (err == EINTR) return true;
  if (err != EAGAIN) return false;
  struct pollfd p = {fd, POLLOUT, 0};
  poll(&p, 1, -1);
  return true;
}

/* The stream that was opened last, in glibc. The first is stderr, which then is the last. Elsewhere it does not exist. */
extern FILE *_IO_list_all __attribute__((weak));

static bool has_standard_streams_only(void) { return &_IO_list_all && _IO_list_all == stderr; }

static void flush_free(FILE *f) {
  if (ftrylockfile(f) != 0) return;
  fflush(f);
  funlockfile(f);
}

void mp_os_flush_standard(void) {
  flush_free(stdout);
  flush_free(stderr);
}

void mp_os_flush(void) {
  if (!has_standard_streams_only())
    fflush(NULL);
  else if (__fpending(stdout) || __fpending(stderr))
    fflush(NULL);
}

int mp_os_write(int fd, const char *s, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, s, n);
    if (done < 0) {
      int err = errno;
      if (!can_go_on(fd, err)) return -err;
      continue;
    }
    s += done;
    n -= (size_t)done;
  }
  return 0;
}

static bool takes_parts(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

/* Where locks are not to be had, lines up to PIPE_BUF are still whole. */
static void lock(int fd, short type) {
  struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
  while (fcntl(fd, F_SETLKW, &whole) != 0 && errno == EINTR) {}
}

int mp_os_write_line(int fd, const char *s, size_t n) {
  if (!takes_parts(fd)) return mp_os_write(fd, s, n);
  lock(fd, F_WRLCK);
  int err = mp_os_write(fd, s, n);
  lock(fd, F_UNLCK);
  return err;
}

int mp_os_kind_of_file(int fd) {
  struct stat st;
  if (isatty(fd)) return MP_TERMINAL;
  return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) ? MP_PIPE : MP_FILE;
}

int mp_os_kind_of_path(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return -errno;
  return S_ISREG(st.st_mode) ? MP_FILE : S_ISDIR(st.st_mode) ? MP_FOLDER : MP_PIPE;
}

bool mp_os_reader_gone(int fd) {
  struct pollfd p = {fd, 0, 0};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

void mp_os_sigpipe_default(void) { signal(SIGPIPE, SIG_DFL); }
