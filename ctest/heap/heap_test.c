/* SPDX-License-Identifier: MIT */
/*
 * The private heap, asked for blocks of all sizes in any order by a process, its child and its grandchild: no two blocks
 * lie in each other, contents stay, a process sees nothing of what its child did, making smaller never fails, and memory
 * goes back to the system.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "heap/heap.h"
#include "os/process.h"

enum { SLOTS = 3000, FOREIGN = 500, STEPS = 60000, SPARE = 64 << 20 };
#define MOST_AT_ONCE ((size_t)192 << 20)

typedef struct slot {
  unsigned char *p;
  size_t size;
  unsigned char mark;
} slot;

static slot slots[SLOTS];
static size_t total;
static uint64_t seed = 1;

static uint64_t draw(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}

/* Each power of two is as likely as the others, up to 8 MiB. */
static size_t draw_size(void) {
  size_t power = (size_t)1 << draw() % 23;
  return power + (size_t)(draw() % power);
}

static void touch_at(slot *s, size_t i, bool write) {
  if (write) s->p[i] = (unsigned char)(s->mark + i);
  CHECK(s->p[i] == (unsigned char)(s->mark + i));
}

/* The ends and a sample of what lies between: enough to see that another block has been there. */
static void touch(slot *s, bool write) {
  for (size_t i = 0; i < s->size; i += s->size / 61 + 1) touch_at(s, i, write);
  touch_at(s, s->size - 1, write);
}

static void fill(slot *s) {
  s->mark = (unsigned char)draw();
  touch(s, true);
}

static void drop(slot *s) {
  if (s->p) touch(s, false);
  CHECK(mp_heap_of_lua(NULL, s->p, s->size, 0) == NULL);
  total -= s->size;
  *s = (slot){NULL, 0, 0};
}

/* What lies in the part that stays is compared byte by byte. */
static void resize(slot *s, size_t size) {
  size_t least = s->size < size ? s->size : size, seen = least < 4096 ? least : 4096;
  unsigned char head[4096], tail[4096];
  if (s->p) memcpy(head, s->p, seen), memcpy(tail, s->p + least - seen, seen);
  unsigned char *p = mp_heap_of_lua(NULL, s->p, s->size, size);
  CHECK(p && (uintptr_t)p % 16 == 0);
  if (s->p) CHECK(memcmp(head, p, seen) == 0 && memcmp(tail, p + least - seen, seen) == 0);
  total += size - s->size;
  s->p = p;
  s->size = size;
  fill(s);
}

static void churn(long steps) {
  while (steps--) {
    slot *s = &slots[draw() % SLOTS];
    size_t size = draw_size();
    if (s->p) touch(s, false);
    if (draw() % 3 == 0 || total - s->size + size > MOST_AT_ONCE)
      drop(s);
    else
      resize(s, size);
  }
  for (slot *s = slots; s < slots + SLOTS; s++)
    if (s->p) touch(s, false);
}

static void drop_all(void) {
  for (slot *s = slots; s < slots + SLOTS; s++) drop(s);
}

static size_t mapped(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  CHECK(f && fscanf(f, "%lu", &pages) == 1);
  fclose(f);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void *original(void *ud, void *p, size_t old, size_t size) {
  (void)ud, (void)old;
  if (size) return realloc(p, size);
  free(p);
  return NULL;
}

static void begin(void) {
  for (slot *s = slots; s < slots + FOREIGN; s++) {
    s->size = draw_size() >> 4 | 1;
    s->p = malloc(s->size);
    total += s->size;
    fill(s);
  }
  CHECK(mp_heap_begin(original, NULL) == 0 && mp_heap_begin(original, NULL) == 0);
  mp_os_malloc_trim();
}

static void in_child(void (*f)(int), int depth) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    f(depth);
    _exit(0);
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Each generation works on what it inherited, before, while and after its child does. */
static void generation(int depth) {
  t_what = depth ? "a child" : "the first process";
  seed += (unsigned)depth;
  churn(STEPS / 2);
  if (depth < 2) in_child(generation, depth + 1);
  churn(STEPS / 2);
  drop_all();
}

static void give_back(void) {
  t_what = "giving back";
  size_t before = mapped();
  for (int i = 0; i < SLOTS; i++) resize(&slots[i], 60000);
  CHECK(mapped() >= before + (size_t)SLOTS * 60000 - SPARE);
  drop_all();
  CHECK(mapped() <= before + SPARE + (8 << 20));
}

static void limit(size_t more) {
  struct rlimit r = {mapped() + more, RLIM_INFINITY};
  CHECK(setrlimit(RLIMIT_AS, &r) == 0);
}

/* Without memory: NULL, and the block is as it was; smaller always works, from blocks of this process and of others. */
static void starve(int depth) {
  (void)depth;
  t_what = "without memory";
  limit(0);
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &slots[i];
    if (!s->p) continue;
    CHECK(mp_heap_of_lua(NULL, s->p, s->size, (size_t)1 << 40) == NULL);
    touch(s, false);
    unsigned char first = s->p[0];
    size_t size = (size_t)(draw() % s->size) + 1;
    unsigned char *p = mp_heap_of_lua(NULL, s->p, s->size, size);
    CHECK(p && p[0] == first);
    total -= s->size - size;
    s->p = p;
    s->size = size;
    fill(s);
  }
  CHECK(mp_heap_of_lua(NULL, NULL, 0, SIZE_MAX - 5) == NULL && mp_heap_of_lua(NULL, NULL, 0, (size_t)1 << 30) == NULL);
  drop_all();
}

int main(void) {
  t_start();
  t_deadline(240);
  begin();
  generation(0);
  give_back();
  churn(STEPS / 4);
  in_child(starve, 1);
  starve(0);
  puts("ok 4"); /* churned, in children, given back, out of memory */
  return 0;
}
