/* SPDX-License-Identifier: MIT */
/*
 * A view of bytes that claim to be an arena: a copy of a real one, damaged at random places again and again, before it is
 * opened and while it is looked at. Whatever a look says of it, it ends, and touches nothing outside the mapping.
 * MP_LOOKS=n: so many damaged arenas; 400.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "os/process.h"
#include "shm/arena/arena.h"
#include "shm/sync/mutex.h"
#include "shm/sync/rwlock.h"
#include "shm/view/view.h"

enum { AREA = 8 << 20, LOOKS = 400, DAMAGES = 24 };

static char *copy; /* what the view is of, writable here */
static int fd;
static uint64_t seed = 88172645463325252u;

static uint64_t random_number(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static void make_area(void) {
  fd = memfd_create("mproc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0 && ftruncate(fd, AREA) == 0);
  copy = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(copy != MAP_FAILED);
}

/* A real arena with something of everything in it. */
static void fill_arena(void) {
  mp_shm_handle h;
  mp_shm_queue *q = t_queue(0, &h);
  t_put_number(q, 1, 64);
  CHECK(mp_shm_mutex_new(MP_MUTEX_PLAIN, &t_soon, &h) == 0);
  CHECK(mp_shm_mutex_acquire(mp_shm_object_block(h, MP_TYPE_MUTEX), h, &t_soon) == 0);
  CHECK(mp_shm_rwlock_new(&t_soon, &h) == 0);
  CHECK(mp_shm_rwlock_read(mp_shm_object_block(h, MP_TYPE_RWLOCK), &t_soon) == 0);
}

static uint64_t some_value(void) {
  static const uint64_t edges[] = {0, 1, 2, 255, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7, AREA, AREA - 8, INT64_MAX};
  uint64_t r = random_number();
  return r % 3 == 0 ? edges[r / 3 % (sizeof edges / sizeof *edges)] : r % 3 == 1 ? random_number() % AREA & ~7u : r;
}

/* A place in the header, the slots, the monitor page, the directory, the chunk table, or anywhere. */
static uint64_t some_place(void) {
  const mp_shm_arena *a = mp_shm_header;
  const uint64_t from[] = {0, a->procs, a->monitors, a->objects, a->chunks, a->data, 0};
  const uint64_t room[] = {sizeof *a, 1024, 512, 512, 4096, 3 * MP_SEGMENT, AREA};
  unsigned i = (unsigned)(random_number() % (sizeof from / sizeof *from));
  return (from[i] + random_number() % room[i]) % AREA & ~UINT64_C(7);
}

static void damage(unsigned n) {
  for (; n > 0; n--) {
    uint64_t value = some_value();
    memcpy(copy + some_place(), &value, sizeof value);
  }
}

static void look_at_objects(const mp_shm_view *v) {
  mp_shm_view_queue q;
  for (uint32_t i = 0; i < mp_shm_view_objects(v); i++) {
    uint32_t at = (uint32_t)(random_number() % 2);
    mp_shm_view_queue_at(v, i, &q);
    mp_shm_view_holder(v, i);
    while (mp_shm_view_reader(v, i, &at)) {}
  }
}

static unsigned look(const mp_shm_view *v) {
  mp_shm_view_proc p;
  unsigned found = 0;
  for (uint32_t i = 0; i < mp_shm_view_procs(v) + 2; i++) {
    bool there = mp_shm_view_proc_at(v, i, &p);
    CHECK(!there || p.name[MP_PROC_NAME - 1] == 0);
    CHECK(!there || !p.waits_for.slot || p.waits_for.part);
    found += there;
  }
  look_at_objects(v);
  return found;
}

static void look_at_damaged(void) {
  mp_shm_view v;
  memcpy(copy, mp_shm_header, AREA);
  damage((unsigned)(random_number() % 4));
  if (mp_shm_view_open(&v, fd) != 0) return;
  for (int i = 0; i < 4; i++) {
    look(&v);
    damage(DAMAGES);
  }
  mp_shm_view_close(&v);
}

static void refuses_what_is_none(void) {
  mp_shm_view v;
  memcpy(copy, mp_shm_header, AREA);
  CHECK(mp_shm_view_open(&v, fd) == -EPERM); /* its end could be cut off */
  CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  CHECK(mp_shm_view_open(&v, fd) == 0);
  CHECK(look(&v) == 1);
  mp_shm_view_close(&v);
  ((mp_shm_arena *)(void *)copy)->layout = MP_LAYOUT + 1;
  CHECK(mp_shm_view_open(&v, fd) == -EPROTO && v.layout == MP_LAYOUT + 1);
  memset(copy, 0, AREA);
  CHECK(mp_shm_view_open(&v, fd) == -EPROTO);
}

int main(void) {
  const char *looks = getenv("MP_LOOKS");
  t_what = "a view of hostile bytes";
  setenv("MPROC_ARENA", "8M", 1);
  t_start();
  make_area();
  fill_arena();
  refuses_what_is_none();
  long n = looks ? atol(looks) : LOOKS;
  for (long i = 0; i < n; i++) {
    if (i % 1000 == 0) t_deadline(60);
    look_at_damaged();
  }
  printf("ok %ld\n", n);
  return 0;
}
