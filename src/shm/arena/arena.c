/* SPDX-License-Identifier: MIT */
/* The arena: mapping, formatting, its lock. The layout and the lock order stand in arena.h. */
#include "shm/arena/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/process.h"
#include "shm/arena/chunk.h"
#include "shm/arena/monitor.h"
#include "shm/arena/object.h"
#include "shm/arena/proc.h"

/* By what addresses can name: with 32 bits, a program must find room beside it. */
#define DEFAULT_SIZE (UINT64_C(1) << (sizeof(void *) > 4 ? 40 : 30))
#define SMALLEST_SIZE (UINT64_C(4) << 20)
#define LARGEST_SIZE (DEFAULT_SIZE << (sizeof(void *) > 4 ? 3 : 1))
#define BYTES_PER_PROC (256u << 10) /* with the queue of its result */
#define BYTES_PER_OBJECT (16u << 10)
#define DATA_ALIGN (UINT64_C(2) << 20)

mp_shm_arena *mp_shm_header;
MP_PROCESS_LOCAL void (*mp_shm_unlocked)(void);

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

static uint64_t clamp(uint64_t n, uint64_t lo, uint64_t hi) { return n < lo ? lo : n > hi ? hi : n; }

/* "64M", "1T", "65536": the bytes; 0: it is no size. */
static uint64_t parse_size(const char *s) {
  static const char units[] = "kmgt";
  char *end;
  if (*s < '0' || *s > '9') return 0;
  errno = 0;
  uint64_t n = strtoull(s, &end, 10);
  const char *u = *end ? strchr(units, *end | 0x20) : NULL;
  unsigned shift = u ? 10 * (unsigned)(u - units + 1) : 0;
  if (errno || (*end && (!u || end[1])) || n > UINT64_MAX >> shift) return 0;
  return n << shift;
}

const char *mp_shm_arena_setting(bool *valid) {
  const char *s = getenv("MPROC_ARENA");
  *valid = !s || !*s || parse_size(s) != 0;
  return s;
}

static uint64_t wanted_size(void) {
  bool valid;
  const char *s = mp_shm_arena_setting(&valid);
  if (!s || !*s || !valid) return DEFAULT_SIZE;
  return round_up(clamp(parse_size(s), SMALLEST_SIZE, LARGEST_SIZE), MP_PAGE);
}

static uint64_t place(uint64_t *at, uint64_t bytes) {
  uint64_t here = *at;
  *at = round_up(here + bytes, MP_PAGE);
  return here;
}

static int format(mp_shm_arena *a, uint64_t size) {
  uint64_t at = round_up(sizeof *a, MP_PAGE);
  a->size = size;
  a->pid_namespace = mp_os_pid_namespace();
  a->nprocs = (uint32_t)clamp(size / BYTES_PER_PROC, 64, MP_PROC_MOST);
  a->nobjects = (uint32_t)clamp(size / BYTES_PER_OBJECT, 256, MP_OBJECT_MOST);
  a->row_words = a->nobjects / 64;
  a->procs = place(&at, a->nprocs * sizeof(mp_shm_proc));
  a->monitors = place(&at, a->nprocs * sizeof(mp_shm_monitor));
  a->objects = place(&at, a->nobjects * sizeof(mp_shm_object));
  a->references = place(&at, ((uint64_t)a->nprocs + 1) * a->row_words * 8);
  a->npages = (size - at) / MP_PAGE;
  a->chunks = place(&at, a->npages * sizeof(mp_shm_chunk));
  a->data = round_up(at, size > 16 * DATA_ALIGN ? DATA_ALIGN : 64u << 10);
  a->npages = (size - a->data) / MP_PAGE;
  int err = mp_shm_robust_init(&a->lock);
  if (!err) err = mp_shm_robust_init(&a->fd_store.starting);
  if (!err) err = mp_shm_robust_init(&a->fork_server.starting);
  if (err) return err;
  if (mp_os_random(a->key, sizeof a->key) != 0) return -ENOKEY;
  a->page = MP_PAGE;
  a->layout = MP_LAYOUT;
  a->magic = MP_MAGIC;
  return 0;
}

int mp_shm_arena_map(void) {
  int err = 0;
  size_t size = (size_t)wanted_size();
  mp_shm_arena *a = mp_os_map(&size, SMALLEST_SIZE, &err);
  if (!a) return err;
  err = format(a, size);
  if (err) return err;
  mp_shm_header = a;
  return 0;
}

static bool is_arena(const mp_shm_arena *a, size_t size) {
  return a->magic == MP_MAGIC && a->layout == MP_LAYOUT && a->page == MP_PAGE && a->size == size &&
         a->pid_namespace == mp_os_pid_namespace();
}

int mp_shm_arena_join(int fd) {
  int err = 0;
  size_t size;
  mp_shm_arena *a = mp_os_map_given(fd, &size, &err);
  if (!a) return err;
  if (size < SMALLEST_SIZE || !is_arena(a, size)) return -EPROTO;
  mp_shm_header = a;
  return 0;
}

static void recover(void) {
  mp_shm_transit_recover();
  if (!MP_MUTANT(LISTS)) mp_shm_chunk_rebuild();
  if (!MP_MUTANT(LISTS)) mp_shm_object_rebuild();
  mp_os_mutex_consistent(&mp_shm_header->lock);
}

int mp_shm_arena_lock(const mp_shm_wait *w) {
  static const mp_shm_wait for_ever = {MP_FOREVER, NULL, NULL};
  int r = mp_shm_lock_word(&mp_shm_header->lock, w ? w : &for_ever);
  if (r == MP_ABANDONED) recover();
  return r < 0 ? r : 0;
}

bool mp_shm_arena_trylock(void) {
  int r = mp_os_mutex_try(&mp_shm_header->lock);
  if (r == MP_ABANDONED) recover();
  return r >= 0;
}

/* What is dying and was left by another is gone on with, a little, by whoever comes by. */
void mp_shm_arena_unlock(void) {
  bool dying = mp_shm_header->dying != 0;
  mp_os_mutex_unlock(&mp_shm_header->lock);
  if (mp_shm_chunk_retired) mp_shm_chunk_finish();
  if (dying) mp_shm_object_finish(mp_shm_object_unfinished);
  if (mp_shm_unlocked) mp_shm_unlocked();
}
