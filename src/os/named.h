/* SPDX-License-Identifier: MIT */
/*
 * Shared memory with a name (layer 0): files in /dev/shm, the same that shm_open and Python's multiprocessing.shared_memory
 * know. Called by L3. A mapping keeps the memory alive, a name keeps it findable; nobody counts who has it.
 * Invariant: a name appears in one step, when all of the memory is there (where the system can do that): whoever dies while
 * he makes one leaves no name, and nobody attaches to half of it. A name that stands goes by an unlink alone.
 */
#ifndef MP_OS_NAMED_H
#define MP_OS_NAMED_H

#include "os/os.h"

#pragma GCC visibility push(hidden)

enum { MP_NAME_MOST = 250 };

typedef struct mp_os_named {
  void *p;
  size_t size;
  uint64_t device, inode; /* tell it from another of the same name */
} mp_os_named;

typedef struct mp_os_named_wish {
  const char *name; /* 1 to MP_NAME_MOST bytes, no slash */
  uint64_t size;    /* at least 1 */
  bool sparse; /* pages are found when they are touched, and SIGBUS when there are none; else all are taken at once */
  int (*interrupted)(void *arg); /* asked now and then: not 0 ends it with -EINTR */
  void *arg;
} mp_os_named_wish;

/* 0; -EEXIST; -ENOSPC: /dev/shm has no room; -EINTR; -errno. What is new reads as zero. */
int mp_os_named_create(const mp_os_named_wish *wish, mp_os_named *out);
/* 0; -ENOENT; -ENODATA: nothing is in it; -EINVAL: it is no file; -errno. */
int mp_os_named_attach(const char *name, mp_os_named *out);
void mp_os_named_detach(const mp_os_named *m);
/* 0; -ENOENT: nothing, or something else, has that name by now. */
int mp_os_named_look(const char *name, const mp_os_named *m);
int mp_os_named_unlink(const char *name, const mp_os_named *m);

/* Names that this process unlinks at its end, if that is an orderly one. A fork inherits none. -ENOMEM. */
int mp_os_named_own(const char *name, const mp_os_named *m);
/* Unlinks it now, if this process owns it. */
void mp_os_named_disown(const char *name, const mp_os_named *m);
void mp_os_named_leave(void);

#pragma GCC visibility pop
#endif
