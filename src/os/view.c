/* SPDX-License-Identifier: MIT */
/* The shared areas of other processes: found by their descriptors below /proc, and mapped for reading. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/process.h"

#define AREA_LINK "/memfd:mproc (deleted)"
enum { PATH = 64 };

const void *mp_os_map_view(int fd, uint64_t *size, int *err) {
  struct stat s;
  int seals = fcntl(fd, F_GET_SEALS);
  *err = seals < 0 || !(seals & F_SEAL_SHRINK) ? -EPERM : fstat(fd, &s) ? -errno : 0;
  if (!*err && (uint64_t)s.st_size > SIZE_MAX) *err = -ENOMEM;
  if (*err) return NULL;
  *size = (uint64_t)s.st_size;
  void *p = mmap(NULL, (size_t)*size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
  *err = p == MAP_FAILED ? -errno : 0;
  if (*err) return NULL;
  madvise(p, (size_t)*size, MADV_DONTDUMP);
  return p;
}

void mp_os_unmap_view(const void *p, uint64_t size) { munmap((void *)p, (size_t)size); }

int mp_os_identity(int fd, mp_os_area *to) {
  struct stat s;
  if (fstat(fd, &s) != 0) return -errno;
  *to = (mp_os_area){0, fd, s.st_dev, s.st_ino};
  return 0;
}

uint64_t mp_os_file_memory(int fd) {
  enum { BLOCK = 512 };
  struct stat s;
  return fstat(fd, &s) ? 0 : (uint64_t)s.st_blocks * BLOCK;
}

int mp_os_open_area(pid_t pid, int fd) {
  char path[PATH];
  snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
  return mp_os_descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

/* Whether a descriptor below a process's folder is one of an area. */
static bool is_area(int folder, const char *name) {
  char target[sizeof AREA_LINK + 1];
  ssize_t n = readlinkat(folder, name, target, sizeof target);
  return n == sizeof AREA_LINK - 1 && memcmp(target, AREA_LINK, sizeof AREA_LINK - 1) == 0;
}

static bool find_in(pid_t pid, mp_os_area *to) {
  char path[PATH];
  struct stat s;
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  DIR *fds = opendir(path);
  bool found = false;
  for (struct dirent *e; fds && !found && (e = readdir(fds));) {
    found = is_area(dirfd(fds), e->d_name) && fstatat(dirfd(fds), e->d_name, &s, 0) == 0;
    if (found) *to = (mp_os_area){pid, (int)strtol(e->d_name, NULL, 10), s.st_dev, s.st_ino};
  }
  if (fds) closedir(fds);
  return found;
}

int mp_os_areas(mp_os_area *to, int most) {
  int n = 0;
  DIR *proc = opendir("/proc");
  if (!proc) return -errno;
  for (struct dirent *e; n < most && (e = readdir(proc));) {
    pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
    if (pid > 0 && find_in(pid, to + n)) n++;
  }
  closedir(proc);
  return n;
}

bool mp_os_area_of(pid_t pid, mp_os_area *to) { return find_in(pid, to); }
