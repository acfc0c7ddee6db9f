/* SPDX-License-Identifier: MIT */
/* Shared and private address space. The shared area has no name: it dies with its last process. One descriptor of it stays
 * open, for reading only: through /proc/PID/fd a viewer, or a process that is no fork of ours, opens the area by it. */
#define _GNU_SOURCE
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA_NAME "mproc"
#define SELF_FD "/proc/self/fd/%d"

enum { OPEN_TRIES = 1000 };
#define HOLE_LEAST (UINT64_C(1) << 20) /* clearing less is faster than touching its pages anew */

/* ftruncate beyond `ulimit -f` raises SIGXFSZ, which would end the process: ignored while it is tried. */
static int set_size(int fd, size_t size) {
  struct sigaction ign = {.sa_handler = SIG_IGN}, old;
  sigaction(SIGXFSZ, &ign, &old);
  int err = ftruncate(fd, (off_t)size) ? -errno : 0;
  sigaction(SIGXFSZ, &old, NULL);
  return err;
}

/* fd -1: without a file, which is as good but for the seals. */
static void *map_file(int fd, size_t size, int *err) {
  *err = fd < 0 ? 0 : set_size(fd, size);
  if (*err) return NULL;
  int kind = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, kind, fd, 0);
  if (p == MAP_FAILED) {
    *err = -errno;
    return NULL;
  }
  return p;
}

static int kept = -1;
static struct stat area; /* what kept is of */

int mp_os_map_descriptor(void) { return kept; }

/* Without /proc, or without a descriptor left, there is none; nothing else depends on it. */
static void keep_descriptor(int fd) {
  char path[sizeof SELF_FD + 12];
  snprintf(path, sizeof path, SELF_FD, fd);
  int low = open(path, O_RDONLY | O_CLOEXEC);
  if (low >= 0 && fstat(low, &area) == 0) kept = mp_os_descriptor_keep(low);
}

void *mp_os_map(size_t *size, size_t floor, int *err) {
  int fd =
      memfd_create(AREA_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING); /* -1 where that is denied, or no descriptor is left */
  void *p = map_file(fd, *size, err);
  while (!p && *size / 2 >= floor && (*err == -ENOMEM || *err == -EFBIG || *err == -EINVAL)) {
    *size /= 2;
    p = map_file(fd, *size, err);
  }
  if (p) madvise(p, *size, MADV_DONTDUMP);
  if (fd < 0) return p;
  if (p) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  if (p) keep_descriptor(fd);
  fchmod(fd, S_IRUSR); /* against mistakes: its owner could change that */
  close(fd);
  return p;
}

static bool still_kept(void) {
  struct stat now;
  return kept >= 0 && fstat(kept, &now) == 0 && now.st_dev == area.st_dev && now.st_ino == area.st_ino;
}

/* The mode is for as long as the file is opened; who is killed meanwhile leaves it. Another process that does the same may
 * take it back between the two: then again. */
int mp_os_map_writable(void) {
  char path[sizeof SELF_FD + 12];
  int fd = -1, err = 0;
  if (!still_kept()) return -EBADF;
  snprintf(path, sizeof path, SELF_FD, kept);
  for (int i = 0; i < OPEN_TRIES && fd < 0; i++) {
    fchmod(kept, S_IRUSR | S_IWUSR);
    fd = open(path, O_RDWR | O_CLOEXEC);
    err = errno;
    if (fd < 0 && err != EACCES) break;
  }
  fchmod(kept, S_IRUSR);
  return fd < 0 ? -err : mp_os_descriptor(fd);
}

void *mp_os_map_given(int fd, size_t *size, int *err) {
  struct stat s;
  void *p = MAP_FAILED;
  if (fstat(fd, &s) == 0 && s.st_size > 0)
    p = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (p == MAP_FAILED) {
    *err = s.st_size > 0 ? -errno : -EINVAL;
    return NULL;
  }
  *size = (size_t)s.st_size;
  madvise(p, *size, MADV_DONTDUMP);
  keep_descriptor(fd);
  return p;
}

void mp_os_release(void *p, size_t n) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1), to = ((uintptr_t)p + n) & ~(page - 1);
  if (to > from) madvise((void *)from, to - from, MADV_REMOVE);
}

void mp_os_zero(void *p, size_t n) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)p;
  uintptr_t from = (at + page - 1) & ~(page - 1), to = (at + n) & ~(page - 1);
  if (n < HOLE_LEAST || madvise((void *)from, to - from, MADV_REMOVE) != 0) {
    memset(p, 0, n);
    return;
  }
  memset(p, 0, from - at);
  memset((void *)to, 0, at + n - to);
}
