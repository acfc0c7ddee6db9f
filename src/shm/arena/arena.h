/* SPDX-License-Identifier: MIT */
/*
 * The arena (layer 1): one sparse shared area per process tree. It is mapped before the first fork; a process that was not
 * forked has it elsewhere (newcomer.h), so everything in it is known by offset. (What the C library and the kernel keep in
 * a mutex besides its word, the owner's list of what it holds, only the owner follows.) For shm only; L3 uses registry.h
 * and queue.h.
 *
 * Layout, in this order: header | registry slots | monitor page | object slots | reference bitmaps | chunk table | data.
 * The header's first words declare it: a process that finds another layout, page size or pid namespace refuses it.
 *
 * `lock` is the arena lock, the innermost of all. Under it: chunks are claimed and freed, objects are born and die,
 * handles move. Its next owner after a death runs mp_arena_recover, which finishes or undoes the one interrupted
 * operation from `log` and rebuilds every list from the chunk and object tables.
 *
 * Lock order: sleeper lock -> a dead process's life -> queue's producers -> queue's consumers -> arena.
 */
#ifndef MP_SHM_ARENA_ARENA_H
#define MP_SHM_ARENA_ARENA_H

#include <stdatomic.h>

#include "os/os.h"
#include "shm/arena/deadline.h"
#include "shm/arena/robust.h"

#pragma GCC visibility push(hidden)

#define MP_MAGIC UINT64_C(0x3130636f72706d1b)
#define MP_LAYOUT (8u | MP_OS_MUTEX_LAYOUT << 8) /* the first byte changes when something below does */
#define MP_PAGE 4096u
#define MP_ORDERS 32
#define MP_SIZES 256 /* of chunks: see chunk.h */
#define MP_OBJECT_MOST (1u << 20)
#define MP_LINE 128 /* what two cores must not share: a pair of cache lines */

/* The interrupted operation on handles in transit: see object.c. */
typedef struct mp_shm_transit_log {
  _Atomic uint64_t
      record; /* address (offset) of the record's handle list; 0: nothing under way. Written last, cleared last */
  _Atomic uint64_t step; /* index << 32 | count before that step: one word, so that a step is redone exactly */
  uint64_t commit_word;  /* offset of the word that commits, and the value that says it did */
  uint64_t commit_value;
  uint32_t count; /* handles in the list */
  uint32_t delta; /* +1 or -1 */
} mp_shm_transit_log;

/* The process that keeps descriptors: see shm/descriptor/descriptor.h. */
enum { MP_STORE_NAME = 16 };
typedef struct mp_shm_fd_store {
  mp_os_mutex starting;
  _Atomic uint64_t epoch;
  uint64_t number, since;
  _Atomic uint64_t died;
  _Atomic int32_t pid;
  uint8_t name[MP_STORE_NAME], secret[MP_STORE_NAME];
} mp_shm_fd_store;

/* The process that others are forked from: see process/fork_server.h. */
typedef struct mp_shm_fork_server {
  mp_os_mutex starting;
  _Atomic uint64_t claimed, ref, requests;
} mp_shm_fork_server;

enum { MP_TREE_KEY = 32 };

typedef struct mp_shm_arena {
  uint64_t magic;
  uint32_t layout, page;
  uint64_t size, pid_namespace;
  uint32_t nprocs, nobjects;
  uint64_t npages;
  uint64_t procs, objects, references, chunks, data; /* offsets */
  uint64_t row_words;                                /* 64-bit words in a reference bitmap of holds */
  uint64_t monitors;                                 /* offset */

  _Alignas(MP_LINE) mp_os_mutex lock;
  mp_shm_transit_log log;
  /* caches, rebuilt by recovery; all under lock */
  uint32_t free_object, dying; /* heads of lists through mp_shm_object.next, slot + 1 */
  uint64_t hot_bytes;
  uint32_t hot[MP_SIZES], cold[MP_ORDERS]; /* heads of lists through mp_shm_chunk.next, index + 1 */
  /* high-water marks: raised before the first use of what lies below them, never lowered */
  uint32_t top_object;
  uint64_t top_page;
  _Atomic uint32_t top_proc;
  _Alignas(MP_LINE) mp_shm_fd_store fd_store;
  mp_shm_fork_server fork_server;
  uint8_t key[MP_TREE_KEY]; /* random; written before the first fork, and never after */
  /* a hint for spinning: processes awake; wrong after a kill until the next sweep */
  _Alignas(MP_LINE) _Atomic int32_t awake;
} mp_shm_arena;

extern mp_shm_arena *mp_shm_header; /* NULL until mp_shm_arena_map */
/* What all processes of the tree know, and nobody else. */
static inline const uint8_t *mp_shm_tree_key(void) { return mp_shm_header->key; }

/* MPROC_ARENA, NULL where there is none, and whether it is empty or a size. */
const char *mp_shm_arena_setting(bool *valid);

static inline void *mp_shm_at(uint64_t offset) { return (char *)mp_shm_header + offset; }
static inline uint64_t mp_shm_offset(const void *p) {
  return (uint64_t)((const char *)p - (const char *)mp_shm_header);
}

/* Maps and formats the arena; size from MPROC_ARENA ("64M", "1T"), else 1 TiB. 0 or -errno. */
int mp_shm_arena_map(void);
/* Maps the arena that fd is of, at whatever address. 0; -EPROTO: it is none, or of another layout; -errno. */
int mp_shm_arena_join(int fd);

/* The arena lock, recovered if need be: 0, -EINTR, -ETIMEDOUT. w NULL: waits for ever. */
int mp_shm_arena_lock(const mp_shm_wait *w);
bool mp_shm_arena_trylock(void); /* for finalizers, which never wait */
void mp_shm_arena_unlock(void);  /* and then mp_shm_chunk_finish, and: */
/* What this process has to do that takes a system call, once it has given up the arena lock; NULL: nothing. It sets this to
 * NULL itself. */
extern MP_PROCESS_LOCAL void (*mp_shm_unlocked)(void);

#pragma GCC visibility pop
#endif
