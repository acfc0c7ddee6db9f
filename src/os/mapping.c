/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of mappings: who else has a shared area, and what a copy of a process need not keep. The first is for
 * a fork of which nobody knows whether it has happened: where nobody else has the area, there is no child. No malloc: a
 * wait runs it.
 */
#define _GNU_SOURCE
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE = 256, BLOCK = 4096, FORGET_LEAST = 1 << 20 };

typedef struct lines { /* of a file under /proc, one after the other */
  int fd;
  size_t at, n;
  char block[BLOCK];
} lines;

static int next_byte(lines *l) {
  if (l->at == l->n) {
    ssize_t n = read(l->fd, l->block, sizeof l->block);
    if (n <= 0) return -1;
    l->n = (size_t)n;
    l->at = 0;
  }
  return (unsigned char)l->block[l->at++];
}

/* The next line, cut when it is long; false at the end. */
static bool next_line(lines *l, char *to) {
  size_t n = 0;
  int c;
  while ((c = next_byte(l)) >= 0 && c != '\n')
    if (n < LINE - 1) to[n++] = (char)c;
  to[n] = 0;
  return c >= 0;
}

typedef struct mapping {
  unsigned long from;
  char device[16], inode[32];
} mapping;

/* The mapping of that process ("self" or a pid) that begins at `from`, or else that is of the same file as *m. False when it
 * has none, or may not be asked. */
static bool find_mapping(const char *pid, unsigned long from, mapping *m) {
  char path[64], line[LINE];
  mapping here;
  lines l = {.n = 0};
  snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
  l.fd = open(path, O_RDONLY | O_CLOEXEC);
  bool found = false;
  while (l.fd >= 0 && !found && next_line(&l, line)) {
    if (sscanf(line, "%lx-%*x %*s %*s %15s %31s", &here.from, here.device, here.inode) != 3) continue;
    found = from ? here.from == from : strcmp(here.inode, m->inode) == 0 && strcmp(here.device, m->device) == 0;
  }
  if (l.fd >= 0) close(l.fd);
  if (found) *m = here;
  return found;
}

typedef struct search {
  mapping own;
  uint64_t since;
  bool (*known)(pid_t pid);
} search;

static bool is_other(const search *s, const char *name) {
  mapping m = s->own;
  pid_t pid = (pid_t)strtol(name, NULL, 10);
  return pid > 0 && !s->known(pid) && mp_os_started_since(pid, s->since) && find_mapping(name, 0, &m);
}

typedef struct record { /* of getdents64, as the system lays it out */
  uint64_t inode, next;
  unsigned short length;
  unsigned char type;
  char name[];
} record;

static bool any_other(const search *s, int proc) {
  _Alignas(record) char block[BLOCK];
  long n;
  while ((n = syscall(SYS_getdents64, proc, block, sizeof block)) > 0)
    for (long at = 0; at < n;) {
      const record *r = (const record *)(const void *)(block + at);
      if (is_other(s, r->name)) return true;
      at += r->length;
    }
  return n < 0;
}

bool mp_os_mapped_elsewhere(const void *start, uint64_t since, bool (*known)(pid_t pid)) {
  search s = {.since = since, .known = known};
  if (prctl(PR_GET_DUMPABLE) != 1 || !find_mapping("self", (unsigned long)start, &s.own)) return true;
  int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return true;
  bool found = any_other(&s, proc);
  close(proc);
  return found;
}

typedef struct range {
  unsigned long from, to, inode;
  char mode[8], name[LINE];
} range;

static bool read_range(lines *l, range *r) {
  char line[LINE];
  if (!next_line(l, line)) return false;
  r->name[0] = r->mode[0] = 0;
  return sscanf(line, "%lx-%lx %7s %*s %*s %lu %255s", &r->from, &r->to, r->mode, &r->inode, r->name) >= 4;
}

static bool lies_in(const range *r, const void *p) { return (unsigned long)p >= r->from && (unsigned long)p < r->to; }

/* A range that begins where a file's ends is a library's variables. The thread's block of variables has errno and itself. */
static bool is_forgettable(const range *r, const range *before) {
  bool heap = strcmp(r->name, "[heap]") == 0;
  if (strcmp(r->mode, "rw-p") != 0 || r->inode || (r->name[0] && !heap)) return false;
  if (!heap && r->to - r->from < FORGET_LEAST) return false;
  if (before->to == r->from && before->inode) return false;
  return !lies_in(r, r) && !lies_in(r, &errno) && !lies_in(r, (const void *)pthread_self());
}

void mp_os_forget_memory(void) {
  lines l = {.n = 0};
  range r, before = {.to = 0};
  l.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  while (l.fd >= 0 && read_range(&l, &r)) {
    if (is_forgettable(&r, &before)) madvise((void *)r.from, r.to - r.from, MADV_DONTNEED);
    before = r;
  }
  if (l.fd >= 0) close(l.fd);
}
