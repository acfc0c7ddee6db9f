/* SPDX-License-Identifier: MIT */
/* The registry of processes. The states of each word stand in registry.h. */
#include "shm/arena/registry.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/process.h"
#include "shm/arena/chunk.h"
#include "shm/arena/monitor.h"
#include "shm/arena/object.h"
#include "shm/arena/proc.h"

#define MP_START_GRACE (60000 * MP_MS)
#define MP_BRIEF (2000 * MP_MS)
#define MP_LOOK (500 * MP_MS)
#define LOST_SLOT_TEXT "mproc: this process came up too long after its fork and lost its place; it ends\n"

MP_PROCESS_LOCAL uint32_t mp_shm_my_slot;
MP_PROCESS_LOCAL mp_shm_proc_ref mp_shm_my_ref;
static MP_PROCESS_LOCAL mp_shm_proc_ref reserved; /* reserved: for the next fork of this thread */
static MP_PROCESS_LOCAL bool silent;              /* a child that finds it gone says nothing */
MP_OS_THREAD_LOCAL bool mp_shm_is_usable;

static unsigned state_of(uint32_t slot) { return (unsigned)mp_shm_proc_state(slot) & 0xff; }
static mp_shm_proc_ref ref_of(uint32_t slot) { return (mp_shm_proc_state(slot) & ~UINT64_C(0xffffffff)) | slot; }

static mp_shm_proc_ref parent_of(uint32_t slot) {
  return atomic_load_explicit(&mp_shm_proc_at(slot)->parent, memory_order_relaxed);
}
static uint64_t since_of(uint32_t slot) {
  return atomic_load_explicit(&mp_shm_proc_at(slot)->since, memory_order_relaxed);
}

static void set_state(uint32_t slot, unsigned s) {
  uint64_t gen = mp_shm_proc_state(slot) & ~UINT64_C(0xffffffff);
  atomic_store_explicit(&mp_shm_proc_at(slot)->state, gen | s, memory_order_release);
}

/* Whether it still names what has the slot. It may be any number that claims to be one. */
bool mp_shm_proc_is_current(mp_shm_proc_ref ref) {
  uint32_t slot = mp_shm_ref_slot(ref);
  return ref && slot < mp_shm_header->nprocs && ref_of(slot) == ref;
}

bool mp_shm_proc_dead(mp_shm_proc_ref ref) {
  uint32_t slot = mp_shm_ref_slot(ref);
  if (!mp_shm_proc_is_current(ref)) return true;
  unsigned s = state_of(slot);
  return s == MP_PROC_STARTING ? false : s != MP_PROC_LIVE || mp_shm_proc_slot_dead(slot);
}

bool mp_shm_proc_lives(mp_shm_proc_ref ref) {
  uint32_t slot = mp_shm_ref_slot(ref);
  return mp_shm_proc_is_current(ref) && state_of(slot) == MP_PROC_LIVE && !mp_shm_proc_slot_dead(slot);
}

uint32_t mp_shm_proc_room(void) { return mp_shm_header->nprocs; }

/* A reservation nobody can be coming up in: its maker is gone or never knew of it, and its time is over. */
static bool expired(uint32_t slot) {
  return state_of(slot) == MP_PROC_STARTING && mp_os_now() - since_of(slot) > MP_START_GRACE &&
         mp_shm_proc_dead(parent_of(slot));
}

void mp_shm_proc_free_starting(uint32_t slot) {
  uint64_t old = mp_shm_proc_state(slot);
  if ((old & 0xff) != MP_PROC_STARTING) return;
  uint64_t new = (old & ~UINT64_C(0xff)) | MP_PROC_FREE;
  if (atomic_compare_exchange_strong(&mp_shm_proc_at(slot)->state, &old, new)) mp_shm_references_clear(slot);
}

/* The slot, or -EUSERS. With the arena lock. */
static int64_t find_free(void) {
  for (uint32_t i = 0; i < mp_shm_header->nprocs; i++) {
    if (expired(i)) mp_shm_proc_free_starting(i);
    if (state_of(i) == MP_PROC_FREE) return i;
  }
  return -EUSERS;
}

int mp_shm_proc_claim_slot(mp_shm_proc_ref parent, mp_shm_proc_ref *out) {
  int64_t i = find_free();
  if (i < 0) return (int)i;
  uint32_t slot = (uint32_t)i;
  mp_shm_proc *p = mp_shm_proc_at(slot);
  mp_shm_references_clear(slot); /* what a killed free_starting left */
  uint64_t gen = (mp_shm_proc_state(slot) >> 32) + 1;
  if (gen == 1) mp_shm_robust_init(&p->life);
  if (slot >= mp_shm_header->top_proc) mp_shm_header->top_proc = slot + 1;
  atomic_store_explicit(&p->parent, parent, memory_order_relaxed);
  atomic_store_explicit(&p->since, mp_os_now(), memory_order_relaxed);
  p->pid = 0;
  p->exit = MP_EXIT_NONE;
  p->status = 0;
  p->nclaimed = p->asleep = 0;
  p->wait_set = 0;
  p->private_wait = MP_WORD_IDLE;
  p->name[0] = 0;
  memset((void *)mp_shm_monitor_at(slot), 0, sizeof(mp_shm_monitor));
  atomic_store_explicit(&p->state, gen << 32 | MP_PROC_STARTING, memory_order_release);
  *out = gen << 32 | slot;
  return 0;
}

/* The arena lock for calls without a deadline of their own: only a stopped process can make them fail. */
int mp_shm_proc_lock_briefly(void) {
  mp_shm_wait w = {mp_os_now() + MP_BRIEF, NULL, NULL};
  return mp_shm_arena_lock(&w) ? -EAGAIN : 0;
}

static int reserve(mp_shm_proc_ref parent, mp_shm_proc_ref *out) {
  int err = mp_shm_proc_lock_briefly();
  if (err) return err;
  if (mp_shm_is_usable) mp_shm_references_flush();
  err = mp_shm_proc_claim_slot(parent, out);
  if (!err) mp_shm_references_copy(mp_shm_my_slot, mp_shm_ref_slot(*out));
  mp_shm_arena_unlock();
  return err;
}

int mp_shm_proc_reserve(mp_shm_proc_ref *child) {
  int err = reserve(mp_shm_my_ref, child);
  if (err) {
    mp_shm_sweep();
    err = reserve(mp_shm_my_ref, child);
  }
  if (!err) reserved = *child;
  return err;
}

/* The slot is still that child's: only its parent, who is here, lets it go. */
void mp_shm_proc_forked(mp_shm_proc_ref child, pid_t pid) {
  mp_shm_proc_at(mp_shm_ref_slot(child))->pid = (int32_t)pid;
}

void mp_shm_proc_adopt(mp_shm_proc_ref child) {
  reserved = child;
  silent = true;
}

void mp_shm_proc_unreserve(mp_shm_proc_ref child) {
  reserved = 0;
  mp_shm_proc_release(child, true);
}

/* Takes this process's place. False when it came too late. */
MP_HOT_AFTER_FORK bool mp_shm_proc_enter(mp_shm_proc_ref ref) {
  uint32_t slot = mp_shm_ref_slot(ref);
  mp_shm_proc *p = mp_shm_proc_at(slot);
  uint64_t starting = (ref & ~UINT64_C(0xffffffff)) | MP_PROC_STARTING;
  int r = mp_os_mutex_try(&p->life);
  while (r < 0) { /* the last owner's cleaner has not let go yet */
    if (p->state != starting) return false;
    r = mp_os_mutex_until(&p->life, mp_os_now() + MP_SLICE);
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&p->life);
  if (p->state == starting) p->pid = (int32_t)getpid();
  if (!atomic_compare_exchange_strong(&p->state, &starting, (starting & ~UINT64_C(0xff)) | MP_PROC_LIVE)) {
    mp_os_mutex_unlock(&p->life);
    return false;
  }
  mp_os_pending_attach(&p->life);
  atomic_fetch_add_explicit(&mp_shm_header->awake, 1, memory_order_relaxed);
  mp_shm_my_slot = slot;
  mp_shm_my_ref = ref;
  mp_shm_is_usable = true;
  return true;
}

/* fork() by anyone: luaposix, a C library, ourselves. Nothing here can fail the fork; without a slot the child
 * merely cannot use mproc. */
static void before_fork(void) {
  mp_os_pending_before_fork();
  if (!reserved && mp_shm_my_ref && reserve(0, &reserved) != 0) reserved = 0;
}

static void after_fork_parent(void) { reserved = 0; }

MP_HOT_AFTER_FORK static void after_fork_child(void) {
  mp_shm_proc_ref mine = reserved;
  mp_os_pending_forked();
  if (mp_shm_hook.forked) mp_shm_hook.forked();
  reserved = 0;
  mp_shm_is_usable = false;
  mp_shm_my_ref = 0;
  if (mine && !mp_shm_proc_enter(mine)) {
    ssize_t n = silent ? 0 : write(STDERR_FILENO, LOST_SLOT_TEXT, sizeof LOST_SLOT_TEXT - 1);
    _exit(n < 0 ? 2 : 1);
  }
  silent = false;
}

/* For one that was not forked by a process of the tree. */
static int register_self(const char *name) {
  mp_shm_proc_ref ref;
  int err = mp_shm_proc_lock_briefly();
  if (err) return err;
  err = mp_shm_proc_claim_slot(0, &ref);
  mp_shm_arena_unlock();
  if (err) return err;
  if (!mp_shm_proc_enter(ref)) return -EAGAIN;
  mp_shm_proc_set_name(ref, name);
  return 0;
}

int mp_shm_proc_watch_forks(void) { return -pthread_atfork(before_fork, after_fork_parent, after_fork_child); }

static int register_first(void) {
  int err = register_self("MainProcess");
  return err ? err : mp_shm_proc_watch_forks();
}

int mp_shm_attach(void) {
  if (mp_shm_header && !mp_shm_my_ref && MP_OS_THREADS) return register_self("thread");
  if (mp_shm_header) return mp_shm_my_ref ? 0 : -EAGAIN;
  int err = mp_shm_arena_map();
  return err ? err : register_first();
}

MP_HOT_AFTER_FORK void mp_shm_proc_set_exit(int code) { mp_shm_proc_at(mp_shm_my_slot)->exit = code; }

int mp_shm_proc_exit(mp_shm_proc_ref ref) {
  if (!mp_shm_proc_is_current(ref)) return MP_EXIT_NONE;
  int code = mp_shm_proc_at(mp_shm_ref_slot(ref))->exit;
  return mp_shm_proc_is_current(ref) ? code : MP_EXIT_NONE;
}

pid_t mp_shm_proc_pid(mp_shm_proc_ref ref) {
  if (!mp_shm_proc_is_current(ref)) return 0;
  pid_t pid = mp_shm_proc_at(mp_shm_ref_slot(ref))->pid;
  return mp_shm_proc_is_current(ref) ? pid : 0;
}

void mp_shm_proc_set_name(mp_shm_proc_ref ref, const char *name) {
  strncpy(mp_shm_proc_at(mp_shm_ref_slot(ref))->name, name, MP_PROC_NAME - 1);
}

void mp_shm_proc_name(mp_shm_proc_ref ref, char *to) {
  to[0] = 0;
  if (!mp_shm_proc_is_current(ref)) return;
  memcpy(to, mp_shm_proc_at(mp_shm_ref_slot(ref))->name, MP_PROC_NAME);
  atomic_thread_fence(memory_order_acquire);
  if (!mp_shm_proc_is_current(ref)) to[0] = 0;
  to[MP_PROC_NAME - 1] = 0;
}

static void count_awake(void) {
  int32_t n = 0;
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++)
    if (state_of(i) == MP_PROC_LIVE && !mp_shm_proc_slot_dead(i) && !mp_shm_proc_at(i)->asleep) n++;
  mp_shm_header->awake = n;
}

/* A dead process's, and nobody is at it. */
static bool to_clean(uint32_t slot) {
  unsigned s = state_of(slot);
  return (s == MP_PROC_LIVE || s == MP_PROC_CLEANED) && !mp_os_mutex_held(&mp_shm_proc_at(slot)->life);
}

/* Who takes a dead process's life must not make it look alive. */
static void begin_cleaning(uint32_t slot) {
  uint64_t live = mp_shm_proc_state(slot);
  if ((live & 0xff) != MP_PROC_LIVE || mp_os_mutex_held(&mp_shm_proc_at(slot)->life)) return;
  atomic_compare_exchange_strong(&mp_shm_proc_at(slot)->state, &live, (live & ~UINT64_C(0xff)) | MP_PROC_CLEANED);
  atomic_thread_fence(memory_order_seq_cst);
}

/* Elects one cleaner of a dead process by its life; a cleaner that dies hands the task on by its own death. */
static void clean(uint32_t slot) {
  mp_shm_proc *p = mp_shm_proc_at(slot);
  begin_cleaning(slot);
  int r = mp_os_mutex_try(&p->life);
  if (r < 0) return;
  if (state_of(slot) == MP_PROC_CLEANED && mp_shm_proc_reap(slot) == 0) {
    set_state(slot, mp_shm_proc_dead(parent_of(slot)) ? MP_PROC_FREE : MP_PROC_DEAD);
    count_awake();
  }
  if (r == MP_ABANDONED) mp_os_mutex_consistent(&p->life);
  mp_os_mutex_unlock(&p->life);
}

/* Whether it is a process of the tree's that is known: one in the registry, or the store of descriptors. */
static bool is_registered(pid_t pid) {
  if (pid == mp_shm_header->fd_store.pid) return true;
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++)
    if (mp_shm_proc_at(i)->pid == pid && state_of(i) == MP_PROC_LIVE && !mp_shm_proc_slot_dead(i)) return true;
  return false;
}

/* The reserver was killed before it could tell a pid: is there no child? A look costs some milliseconds, so the next is
 * made when the reservation is twice as old, or MP_LOOK later. */
static bool never_forked(uint32_t slot, uint64_t age) {
  static MP_PROCESS_LOCAL uint64_t next;
  uint64_t now = mp_os_now();
  mp_shm_proc_ref parent = parent_of(slot);
  if (!parent || !mp_shm_proc_dead(parent) || now < next) return false;
  bool perhaps = mp_os_mapped_elsewhere(mp_shm_header, since_of(slot), is_registered);
  next = perhaps ? now + (age < MP_LOOK ? age : MP_LOOK) : 0;
  return !perhaps;
}

/* Its child was killed before it could come up and is not reaped yet, or there is none. The state is looked at last:
 * what is gone cannot change it any more. */
static bool stillborn(uint32_t slot) {
  pid_t pid = mp_shm_proc_at(slot)->pid;
  uint64_t age = mp_os_now() - since_of(slot);
  if (age < MP_SLICE || !(pid ? mp_os_gone(pid) : never_forked(slot, age))) return false;
  return state_of(slot) == MP_PROC_STARTING;
}

/* A child that has not come up counts while its fork is young: its parent may be dead, and nobody left to say so. */
bool mp_shm_proc_any_but(mp_shm_proc_ref one) {
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++) {
    unsigned s = state_of(i);
    if (one && i == mp_shm_ref_slot(one)) continue;
    if (s == MP_PROC_LIVE && !mp_shm_proc_slot_dead(i)) return true;
    if (s == MP_PROC_STARTING && mp_os_now() - since_of(i) < MP_BRIEF) return true;
  }
  return false;
}

void mp_shm_sweep(void) {
  mp_shm_references_flush_if_free();
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++) {
    mp_shm_proc_ref ref = ref_of(i);
    unsigned s = state_of(i);
    if (to_clean(i)) clean(i);
    bool late = s == MP_PROC_STARTING && (expired(i) || stillborn(i));
    if (late || (s == MP_PROC_DEAD && mp_shm_proc_dead(parent_of(i)))) mp_shm_proc_release(ref, late);
  }
}

void mp_shm_sweep_now_and_then(void) {
  static MP_PROCESS_LOCAL uint64_t next;
  uint64_t now = mp_os_coarse_now();
  if (now < next) return;
  next = now + MP_SLICE;
  mp_shm_sweep();
}

void mp_shm_proc_release(mp_shm_proc_ref ref, bool never_came) {
  uint32_t slot = mp_shm_ref_slot(ref);
  if (!mp_shm_proc_is_current(ref)) return;
  /* Ours stays ours until we let it go. Whatever cannot be done below, a sweep may do later. */
  if (mp_shm_my_ref && parent_of(slot) == mp_shm_my_ref)
    atomic_store_explicit(&mp_shm_proc_at(slot)->parent, 0, memory_order_relaxed);
  if (to_clean(slot)) clean(slot);
  if (mp_shm_proc_lock_briefly() != 0) return;
  if (ref_of(slot) == ref) {
    if (state_of(slot) == MP_PROC_DEAD) set_state(slot, MP_PROC_FREE);
    if (never_came) mp_shm_proc_free_starting(slot);
  }
  mp_shm_object_destroy_dead(false);
  mp_shm_arena_unlock();
}

void mp_shm_stats_get(mp_shm_stats *s) {
  memset(s, 0, sizeof *s);
  if (mp_shm_proc_lock_briefly() != 0) return;
  mp_shm_references_flush();
  s->objects = mp_shm_object_count();
  for (uint32_t i = 0; i < mp_shm_header->top_proc; i++) s->processes += state_of(i) != MP_PROC_FREE;
  for (int64_t i = mp_shm_chunk_next(0); i >= 0; i = mp_shm_chunk_after((uint64_t)i)) {
    s->chunks++;
    s->used += mp_shm_chunk_bytes((uint64_t)i);
  }
  s->hot = mp_shm_header->hot_bytes;
  s->size = mp_shm_header->size;
  mp_shm_arena_unlock();
}
