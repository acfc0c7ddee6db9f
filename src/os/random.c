/* SPDX-License-Identifier: MIT */
/* The system's randomness. */
#include "os/process.h"

#include <errno.h>
#include <sys/random.h>

MP_HOT_AFTER_FORK int mp_os_random(void *p, size_t n) {
  ssize_t got;
  do got = getrandom(p, n, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  return (size_t)got == n ? 0 : -EIO;
}
