/* SPDX-License-Identifier: MIT */
/* The system's randomness. */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

static int from_device(void *p, size_t n) {
  ssize_t got;
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  do got = read(fd, p, n);
  while (got < 0 && errno == EINTR);
  int err = got < 0 ? -errno : 0;
  close(fd);
  return err ? err : (size_t)got == n ? 0 : -EIO;
}

MP_HOT_AFTER_FORK int mp_os_random(void *p, size_t n) {
  ssize_t got;
  do got = getrandom(p, n, 0);
  while (got < 0 && errno == EINTR);
  return got == (ssize_t)n ? 0 : from_device(p, n);
}
