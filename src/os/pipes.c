/* SPDX-License-Identifier: MIT */
/* The writing ends of pipes that a process has open, such as io.popen(command, "w") opens: while anybody has one, the reader
 * sees no end of its input. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/process.h"

/* The pipe's inode if fd is a writing end, and no more than that; else 0. */
static uint64_t written_by(int fd) {
  struct stat s;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY || fstat(fd, &s) != 0 || !S_ISFIFO(s.st_mode)) return 0;
  return s.st_ino;
}

int mp_os_pipe_writers(mp_os_pipe_writer *to, int most) {
  DIR *fds = opendir("/proc/self/fd");
  int n = 0;
  for (struct dirent *e; fds && n < most && (e = readdir(fds));) {
    int fd = (int)strtol(e->d_name, NULL, 10);
    uint64_t inode = fd > STDERR_FILENO ? written_by(fd) : 0;
    if (inode) to[n++] = (mp_os_pipe_writer){fd, inode};
  }
  if (fds) closedir(fds);
  return n;
}

/* The number stays taken: a file that has it closes it some day, and would close another file of that number. */
void mp_os_close_pipe_writer(const mp_os_pipe_writer *w) {
  if (written_by(w->fd) != w->inode) return;
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup3(null, w->fd, O_CLOEXEC) < 0) close(w->fd);
  if (null >= 0) close(null);
}
