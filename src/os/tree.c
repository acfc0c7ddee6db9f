/* SPDX-License-Identifier: MIT */
/*
 * A process and all that descends from it, found by the parent's pid in /proc/PID/stat. A process that is found is
 * stopped before its children are looked for: it can neither fork unseen nor reap, so their pids stay theirs.
 */
#define _GNU_SOURCE
#include "os/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The parent's pid follows the name, which is in brackets and may contain any, and the state. 0 when unknown. */
static pid_t parent_of(const char *pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  const char *end = strrchr(text, ')');
  return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

static bool listed(pid_t pid, const pid_t *pids, int n) {
  while (n > 0)
    if (pids[--n] == pid) return true;
  return false;
}

/* One pass over /proc; the new length of the list. */
static int add_children(DIR *proc, pid_t *pids, int n, int max) {
  rewinddir(proc);
  for (struct dirent *e; n < max && (e = readdir(proc));) {
    pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
    if (pid <= 0 || listed(pid, pids, n) || !listed(parent_of(e->d_name), pids, n)) continue;
    kill(pid, SIGSTOP);
    pids[n++] = pid;
  }
  return n;
}

int mp_os_tree_stop(pid_t root, pid_t *pids, int max) {
  if (max < 1 || kill(root, SIGSTOP) != 0) return 0;
  pids[0] = root;
  int n = 1, before;
  DIR *proc = opendir("/proc");
  if (!proc) return n;
  do {
    before = n;
    n = add_children(proc, pids, n, max);
  } while (n > before);
  closedir(proc);
  return n;
}

void mp_os_tree_signal(const pid_t *pids, int n, int sig) {
  for (int i = 0; i < n; i++) kill(pids[i], sig);
  for (int i = 0; i < n; i++) kill(pids[i], SIGCONT);
}
