/* SPDX-License-Identifier: MIT */
/* Finding the store of descriptors, and starting it. The words stand in shm/descriptor/descriptor.h. */
#include <errno.h>
#include <string.h>

#include "os/local.h"
#include "os/process.h"
#include "process/store.h"
#include "shm/arena/deadline.h"

#define LOOK MP_MS
#define DYING (100 * MP_MS) /* from the end of a process's sockets to that of the process, on a busy machine */

typedef struct facts { /* of one store */
  uint64_t epoch, since;
  pid_t pid;
  uint8_t name[MP_STORE_NAME], secret[MP_STORE_NAME];
} facts;

static uint64_t epoch_now(void) { return atomic_load_explicit(&mp_shm_header->fd_store.epoch, memory_order_acquire); }

/* False when there is none, or the words are being written. */
static bool read_facts(facts *f) {
  const mp_shm_fd_store *s = &mp_shm_header->fd_store;
  f->epoch = epoch_now();
  f->since = s->since;
  f->pid = s->pid;
  memcpy(f->name, s->name, sizeof f->name);
  memcpy(f->secret, s->secret, sizeof f->secret);
  atomic_thread_fence(memory_order_acquire);
  return f->epoch && f->epoch == epoch_now();
}

/* Another user who has taken the name of a dead one is not believed. */
static int connect_to(const facts *f) {
  int fd = mp_os_local_connect(f->name, sizeof f->name);
  if (fd < 0) return fd;
  if (mp_os_local_is_own(fd)) return fd;
  mp_os_close(fd);
  return -ECONNREFUSED;
}

static bool is_dead(const facts *f) {
  for (uint64_t until = mp_os_now() + DYING; mp_os_now() < until; mp_os_sleep(mp_os_now() + LOOK))
    if (mp_os_gone(f->pid) || mp_os_started_after(f->pid, f->since)) return true;
  return false;
}

/* A connection; -EOWNERDEAD: it is dead; -ECONNREFUSED: it lives, and cannot be reached from this network namespace. */
static int reach(const facts *f, const mp_shm_wait *w) {
  int err, fd;
  while ((fd = connect_to(f)) == -EAGAIN) {
    mp_os_sleep(mp_os_now() + LOOK);
    if ((err = mp_shm_wait_check(w)) != 0) return err;
  }
  if (fd != -ECONNREFUSED) return fd;
  return is_dead(f) ? -EOWNERDEAD : fd;
}

static void run(int listener, void *number) { mp_process_store_run(listener, *(uint64_t *)number); }

/* With `starting`. */
static int start(void) {
  mp_shm_fd_store *s = &mp_shm_header->fd_store;
  atomic_store_explicit(&s->epoch, 0, memory_order_relaxed);
  atomic_thread_fence(memory_order_release); /* before any of the words: who reads a new one reads the 0, too */
  uint64_t number = ++s->number;
  int err = mp_os_random(s->name, sizeof s->name);
  if (!err) err = mp_os_random(s->secret, sizeof s->secret);
  if (err) return err;
  int listener = mp_os_local_listen(s->name, sizeof s->name);
  if (listener < 0) return listener;
  s->since = mp_os_now();
  pid_t pid = mp_os_detached(listener, run, &number);
  mp_os_close(listener);
  if (pid < 0) return (int)pid;
  s->pid = pid;
  atomic_store_explicit(&s->epoch, number, memory_order_release);
  return 0;
}

/* Under the lock another may have started one meanwhile. */
static int ensure(const mp_shm_wait *w) {
  mp_os_mutex *lock = &mp_shm_header->fd_store.starting;
  facts f;
  int r = mp_shm_lock_word(lock, w);
  if (r < 0) return r;
  if (r == MP_ABANDONED) mp_os_mutex_consistent(lock);
  int fd = read_facts(&f) ? reach(&f, w) : -EOWNERDEAD;
  if (fd >= 0) mp_os_close(fd);
  int err = fd == -EOWNERDEAD ? start() : fd < 0 ? fd : 0;
  mp_os_mutex_unlock(lock);
  return err;
}

int mp_process_store_connect(uint64_t *epoch, uint8_t *secret, bool may_start, const mp_shm_wait *w) {
  facts f;
  for (int err = 0;;) {
    int fd = read_facts(&f) ? reach(&f, w) : -EOWNERDEAD;
    *epoch = f.epoch;
    memcpy(secret, f.secret, sizeof f.secret);
    if (fd != -EOWNERDEAD || !may_start) return fd;
    if ((err = ensure(w)) != 0) return err;
  }
}
