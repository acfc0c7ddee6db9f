/* SPDX-License-Identifier: MIT */
/* What the store of descriptors does, in its own process. No Lua, no malloc, no lock. The protocol stands in store.h. */
#include "process/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/event.h"
#include "os/local.h"
#include "os/process.h"
#include "shm/arena/deadline.h"

enum { READY = 32, SPARE = 64 };
#define IDLE (1000 * MP_MS)

typedef struct kept { /* in the place of its object's slot */
  mp_shm_handle h;    /* 0: none */
  int fd;
} kept;

static kept *table;
static uint32_t top; /* places below it have been used */
static unsigned nkept;
static int set, listener;
static uint64_t epoch, seen, next_look;

static uint32_t place_of(mp_shm_handle h) { return ((uint32_t)h & MP_SLOT_MASK) - 1; }

static void let_go(uint32_t place) {
  if (!table[place].h) return;
  mp_os_close(table[place].fd);
  table[place].h = 0;
  nkept--;
}

/* What died between the load of the count and the walk is found now, and looked for once more. */
static void let_go_of_dead(void) {
  uint64_t died = mp_shm_header->fd_store.died;
  if (died == seen) return;
  seen = died;
  for (uint32_t i = 0; i < top; i++)
    if (table[i].h && !mp_shm_object_live(table[i].h)) let_go(i);
}

static void check_one(mp_shm_handle h) {
  uint32_t place = place_of(h);
  if (place < top && table[place].h && !mp_shm_object_live(table[place].h)) let_go(place);
}

/* Some descriptors stay free, for connections: those above a number, for the lowest one is given first. */
static bool has_room(int fd) {
  static int most;
  if (!most) most = mp_os_descriptor_limit();
  return fd < most - (SPARE < most / 4 ? SPARE : most / 4);
}

/* An object that has died meanwhile is none to keep a file for: its maker was killed. */
static int keep(mp_shm_handle h, int fd) {
  uint32_t place = place_of(h);
  if (fd < 0) return -EBADF;
  bool whole = !mp_shm_handle_part(h) && place < mp_shm_header->nobjects;
  int err = whole && mp_shm_object_type_of(h) == MP_TYPE_DESCRIPTOR ? 0 : -ENOENT;
  if (!err && !has_room(fd)) err = -EMFILE;
  if (err) {
    mp_os_close(fd);
    return err;
  }
  let_go(place);
  table[place] = (kept){h, fd};
  nkept++;
  if (place >= top) top = place + 1;
  return 0;
}

static int find_kept(mp_shm_handle h, int *fd) {
  uint32_t place = place_of(h);
  bool there = place < top && h && table[place].h == h;
  *fd = there ? table[place].fd : -1;
  return there ? 0 : -EOWNERDEAD;
}

static void hang_up(int fd) {
  mp_os_set_remove(set, fd);
  mp_os_close(fd);
}

static void answer(int to, int err, int fd) {
  mp_process_store_answer a = {err};
  if (mp_os_local_send(to, &a, sizeof a, fd) != 0) hang_up(to);
}

static bool is_ours(const mp_process_store_question *q) {
  return memcmp(q->secret, mp_shm_header->fd_store.secret, sizeof q->secret) == 0;
}

static void act(int from, const mp_process_store_question *q, int fd) {
  if (q->what == MP_STORE_KEEP) {
    answer(from, keep(q->h, fd), -1);
    return;
  }
  if (fd >= 0) mp_os_close(fd);
  if (q->what == MP_STORE_DIED) {
    if (q->n == 1)
      check_one(q->h);
    else
      let_go_of_dead();
    return;
  }
  int err = find_kept(q->h, &fd);
  answer(from, err, fd);
}

static void serve(int from) {
  mp_process_store_question q;
  int fd, got = mp_os_local_receive(from, &q, sizeof q, &fd);
  if (got == -EAGAIN || got == -EINTR) return;
  if (got == 1 && is_ours(&q)) {
    act(from, &q, fd);
    return;
  }
  if (fd >= 0) mp_os_close(fd);
  if (got == -EMFILE && is_ours(&q)) {
    answer(from, got, -1);
    return;
  }
  hang_up(from);
  next_look = 0;
}

/* Who comes when no descriptor is left waits: the next one that is closed lets him in. */
static void let_in(void) {
  int fd = mp_os_local_accept(listener);
  if (fd == -EMFILE || fd == -ENFILE) mp_os_sleep(mp_os_now() + MP_MS);
  if (fd >= 0 && (!mp_os_local_is_own(fd) || mp_os_set_add(set, fd) != 0)) mp_os_close(fd);
}

/* The lock first: see shm/descriptor/descriptor.h. */
static bool is_wanted(void) {
  bool starting = mp_os_mutex_held(&mp_shm_header->fd_store.starting);
  uint64_t now = atomic_load_explicit(&mp_shm_header->fd_store.epoch, memory_order_acquire);
  return (now == epoch || (now == 0 && starting)) && mp_shm_proc_any_but(0);
}

static void round_of(const int *ready, int n) {
  for (int i = 0; i < n; i++)
    if (ready[i] == listener)
      let_in();
    else
      serve(ready[i]);
}

static bool setup(void) {
  table = mp_os_pages_take(mp_os_pages_round(mp_shm_header->nobjects * sizeof *table), MP_PAGE);
  set = mp_os_set_open();
  return table && set >= 0 && mp_os_set_add(set, listener) == 0;
}

/* While it keeps nothing it looks once a second whether the tree lives; and whenever a process hangs up. */
void mp_process_store_run(int at, uint64_t number) {
  int ready[READY];
  listener = at;
  epoch = number;
  seen = mp_shm_header->fd_store.died;
  if (!setup()) _exit(EXIT_FAILURE);
  for (;;) {
    round_of(ready, mp_os_set_wait(set, ready, READY, mp_os_now() + (nkept ? MP_SLICE : IDLE)));
    if (mp_os_now() < next_look) continue;
    next_look = mp_os_now() + MP_SLICE;
    let_go_of_dead();
    if (!is_wanted()) _exit(EXIT_SUCCESS);
  }
}
