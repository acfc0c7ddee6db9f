/* SPDX-License-Identifier: MIT */
/* What the C library's malloc has free: before a fork, and in a process that takes and frees much again and again. */
#include "os/process.h"

#include <limits.h>
#include <stdlib.h>

#if defined(__GLIBC__)
#include <malloc.h>

/* So many chunks glibc sorts in one call; in 10,000 steps, as its source says. */
enum { SORTED_AT_ONCE = 10000, LARGE = 1 << 16 };
enum { HOLE_MOST = 4096, HOLE_STEP = 16 };

#if __GLIBC_PREREQ(2, 33)
static size_t free_chunks(void) { return mallinfo2().ordblks; }
#else
static size_t free_chunks(void) { return (unsigned)mallinfo().ordblks; }
#endif

/* What has been freed lies unsorted until a large block is asked for: the first child that does so would write into all
 * of it, a page for each chunk. */
static void sort_free(void) {
  for (size_t n = free_chunks() / SORTED_AT_ONCE + 2; n; n--) {
    void *volatile p = malloc(LARGE);
    free(p);
  }
}

void mp_os_malloc_trim(void) {
  malloc_trim(0);
  sort_free();
}

/* Large ones first; each size until malloc has to take from behind all that there was. */
void mp_os_malloc_fill(void) {
  static void *filled; /* a list, so that the compiler keeps what nobody uses */
  malloc_trim(0);
  const char *end = malloc(LARGE);
  for (size_t n = HOLE_MOST; n >= HOLE_STEP; n -= HOLE_STEP)
    for (void **p = malloc(n); p; p = malloc(n)) {
      *p = filled;
      filled = (void *)p;
      if ((const char *)p > end) break;
    }
}

void mp_os_malloc_keep(size_t n) {
  int most = n < INT_MAX ? (int)n : INT_MAX;
  mallopt(M_TRIM_THRESHOLD, most);
  mallopt(M_MMAP_THRESHOLD, most);
}
#else
void mp_os_malloc_trim(void) {}
void mp_os_malloc_fill(void) {}
void mp_os_malloc_keep(size_t n) { (void)n; }
#endif
