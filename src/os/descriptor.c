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

/* Above what programs count on, and below the 64 for which a process has room without a table of its own. */
enum { KEPT_FROM = 40, KEPT_MOST = 4 };
static int kept[KEPT_MOST], nkept; /* in ascending order */

int mp_os_descriptor_keep(int fd) {
  int high = nkept < KEPT_MOST ? fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FROM) : -1;
  if (high < 0) return mp_os_descriptor(fd);
  close(fd);
  int i = nkept++;
  for (; i > 0 && kept[i - 1] > high; i--) kept[i] = kept[i - 1];
  kept[i] = high;
  return high;
}

int mp_os_descriptor_kept(int i) { return i < nkept ? kept[i] : -1; }

void mp_os_close(int fd) { close(fd); }
