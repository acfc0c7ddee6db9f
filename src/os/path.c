/* SPDX-License-Identifier: MIT */
/* Paths of listeners, which go with their process: a list of those that are to be removed at its orderly end. The contracts
 * stand in socket.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/socket.h"

typedef struct kept {
  struct kept *next;
  uint64_t identity;
  pid_t owner; /* a fork has a copy of the list */
  char path[];
} kept;

static kept *all;

uint64_t mp_os_path_identity(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 ? (uint64_t)st.st_ino << 16 ^ (uint64_t)st.st_dev : 0;
}

int mp_os_path_keep(const char *path, uint64_t identity) {
  size_t n = strlen(path) + 1;
  kept *k = malloc(sizeof *k + n);
  if (!k) return -ENOMEM;
  *k = (kept){all, identity, getpid()};
  memcpy(k->path, path, n);
  all = k;
  return 0;
}

static void forget(uint64_t identity) {
  for (kept **at = &all; *at;) {
    kept *k = *at;
    if (k->identity != identity || k->owner != getpid()) {
      at = &k->next;
      continue;
    }
    *at = k->next;
    free(k);
  }
}

void mp_os_path_remove(const char *path, uint64_t identity) {
  if (identity && mp_os_path_identity(path) == identity) unlink(path);
  forget(identity);
}

MP_HOT_AFTER_FORK void mp_os_paths_leave(void) {
  for (const kept *k = all; k; k = k->next)
    if (k->owner == getpid() && mp_os_path_identity(k->path) == k->identity) unlink(k->path);
}
