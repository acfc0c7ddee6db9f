/* SPDX-License-Identifier: MIT */
/* Memory of this process's own, by pages. */
#define _GNU_SOURCE
#include "os/os.h"

#include <sys/mman.h>
#include <unistd.h>

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static char *map(size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static size_t beyond(const char *p, size_t align) { return (uintptr_t)p & (align - 1); }

/* Takes more, and gives back what lies before and behind the aligned part. */
static void *map_aligned(size_t n, size_t align) {
  size_t all = n + align - page_size();
  char *p = all > n ? map(all) : NULL;
  if (!p) return NULL;
  size_t before = (align - beyond(p, align)) & (align - 1);
  if (before) munmap(p, before);
  if (all > before + n) munmap(p + before + n, all - before - n);
  return p + before;
}

/* Mappings mostly lie side by side: what follows an aligned one is aligned. */
void *mp_os_pages_take(size_t n, size_t align) {
  char *p = map(n);
  if (!p || !beyond(p, align)) return p;
  munmap(p, n);
  return map_aligned(n, align);
}

void *mp_os_pages_take_shared(size_t n) {
  void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

void mp_os_pages_give(void *p, size_t n) { munmap(p, n); }

size_t mp_os_pages_round(size_t n) { return (n + page_size() - 1) & ~(page_size() - 1); }

bool mp_os_pages_resize(void *p, size_t old, size_t n) { return mremap(p, old, n, 0) != MAP_FAILED; }

bool mp_os_pages_move(void *p, size_t old, void *to, size_t n) {
  return mremap(p, old, n, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED;
}
