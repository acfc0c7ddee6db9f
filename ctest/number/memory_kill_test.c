/* SPDX-License-Identifier: MIT */
/*
 * A process is killed at every instruction of making and ending shared memory, with a name and without. A name is there
 * with all of its memory behind it, or not at all; nothing nameless is left.
 * MP_STRIDE=n tries every nth instruction only, MP_OFFSET=m begins at the m modulo nth.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"
#include "os/named.h"
#include "shm/number/memory.h"

#define SIZE ((size_t)5 << 12)
#define FEW ((size_t)64) /* clearing is stepped byte by byte on some machines */

#define THINNER 5

static char name[64];
static mp_os_named m;
static mp_shm_handle h;

static mp_os_named_wish wish(bool sparse) { return (mp_os_named_wish){name, SIZE, sparse, NULL, NULL}; }

/* --- with a name --- */

static void nothing(void) { snprintf(name, sizeof name, "mproc_kill_%d", (int)getpid()); }

static void created(void) {
  const mp_os_named_wish w = wish(false);
  nothing();
  CHECK(mp_os_named_create(&w, &m) == 0);
}

static void create(void *arg) {
  const mp_os_named_wish w = wish(arg != NULL);
  CHECK(mp_os_named_create(&w, &m) == 0);
}

static void create_sparse(void *arg) {
  (void)arg;
  create(name);
}

static void create_in_vain(void *arg) {
  const mp_os_named_wish w = wish(false);
  (void)arg;
  CHECK(mp_os_named_create(&w, &m) == -EEXIST);
}

static void own_and_disown(void *arg) {
  create(arg);
  CHECK(mp_os_named_own(name, &m) == 0);
  mp_os_named_disown(name, &m);
  mp_os_named_detach(&m);
}

static void unlink_it(void *arg) {
  (void)arg;
  CHECK(mp_os_named_unlink(name, &m) == 0);
}

static void attach(void *arg) {
  mp_os_named other;
  (void)arg;
  CHECK(mp_os_named_attach(name, &other) == 0 && other.size == SIZE);
  mp_os_named_detach(&other);
}

/* Whole, and reads as zero, or not there. */
static void whole_or_gone(void) {
  mp_os_named found;
  int err = mp_os_named_attach(name, &found);
  CHECK(err == 0 || err == -ENOENT);
  if (err) return;
  CHECK(found.size == SIZE);
  for (size_t i = 0; i < SIZE; i += 512) CHECK(((char *)found.p)[i] == 0);
  CHECK(mp_os_named_unlink(name, &found) == 0);
  mp_os_named_detach(&found);
}

static void whole_or_gone_here(void) {
  whole_or_gone();
  mp_os_named_detach(&m);
}

static void still_whole(void) {
  CHECK(mp_os_named_look(name, &m) == 0);
  whole_or_gone_here();
}

/* --- without a name --- */

static void make_and_drop(void *arg) {
  (void)arg;
  CHECK(mp_shm_memory_new(FEW, &t_soon, &h) == 0);
  mp_shm_memory *block = mp_shm_object_block(h, MP_TYPE_MEMORY);
  CHECK(block->n == FEW && block->data[0] == 0 && block->data[block->n - 1] == 0);
  block->data[0] = block->data[block->n - 1] = 1;
  mp_shm_object_unuse(h);
}

static void nothing_left(void) {
  mp_shm_sweep();
  make_and_drop(NULL);
  t_nothing_left();
}

static const t_op ops[] = {
    {"create", nothing, create, whole_or_gone, NULL, NULL},
    {"create a sparse one", nothing, create_sparse, whole_or_gone, NULL, NULL},
    {"create in vain", created, create_in_vain, still_whole, NULL, NULL},
    {"create, own, and let go", nothing, own_and_disown, whole_or_gone, NULL, NULL},
    {"attach", created, attach, still_whole, NULL, NULL},
    {"unlink", created, unlink_it, whole_or_gone_here, NULL, NULL},
    {"make and drop a nameless one", nothing, make_and_drop, nothing_left, NULL, NULL},
};

/* Most instructions are those of the C library that makes paths: the sample is THINNER. */
static void thin(void) {
  char text[32];
  snprintf(text, sizeof text, "%ld", THINNER * t_stride());
  if (t_stride() > 1) setenv("MP_STRIDE", text, 1);
}

int main(int argc, char **argv) {
  long n = 0;
  t_start();
  thin();
  const long points = t_run_ops(ops, sizeof ops / sizeof *ops, argc > 1 ? argv[1] : "", &n);
  printf("%ld kill points\nok %ld\n", points, n);
  return 0;
}
