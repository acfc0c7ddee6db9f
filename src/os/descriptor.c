/* SPDX-License-Identifier: MIT */
/* Descriptors 0, 1 and 2 are the program's, also where it was started without them. */
#define _GNU_SOURCE
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int mp_os_descriptor(int fd) {
  if (fd < 0) return -errno;
  if (fd > STDERR_FILENO) return fd;
  int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), err = errno;
  close(fd);
  return above < 0 ? -err : above;
}

void mp_os_close(int fd) { close(fd); }
