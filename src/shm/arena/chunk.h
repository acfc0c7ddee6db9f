/* SPDX-License-Identifier: MIT */
/*
 * Chunks (layer 1): ranges of pages of the arena's data. For shm only; all calls want the arena lock
 * except the inline ones. One table entry per page; the entry of a chunk's first page is the truth about it:
 *
 *   st = state << 56 | size << 48 | tag       (one word: one store commits)
 *   size = cut << 5 | order: 2^order pages but for `cut` sixteenths of them (pages, where there are fewer than 16). COLD
 *          and USED chunks are not cut, and lie at a multiple of their size; others may begin at any page
 *   NONE      inside a chunk, or never used
 *   COLD HOT  free; in the list of its order (lists are caches). HOT pages are resident, kept for the next claim
 *   USED      tag = object slot; reachable from that object's own words
 *   HELD      tag = process slot; being filled by it, in no queue yet; or a dead object's, whose pages it gives back
 *   QUEUED    tag = object slot of its queue; in a record between head and tail
 *   READING   tag = process slot; taken from `object`, being decoded
 *   RETURNED  tag = object slot; a dead reader's, to be taken again before anything else
 *   ORPHANED  tag = object slot; a dead lessee's, in a queue that reports them
 *
 * Who writes st: claim and free, and USED->HELD (retire), under the arena lock; HELD->QUEUED by its holder under the queue's producers' lock;
 * QUEUED/RETURNED/ORPHANED->READING by the taker under the consumers' lock, a lease of a short message HELD->READING;
 * READING->RETURNED by its reader or, the reader being dead, by a cleaner (who may also make it ORPHANED), under the
 * consumers' lock; READING->ORPHANED also by one who had taken it from there;
 * READING->HELD by its reader: THE COMMIT of delivery, before it is freed.
 * Recovery keeps every chunk in the states USED..ORPHANED whose owner still exists; all else is free.
 */
#ifndef MP_SHM_ARENA_CHUNK_H
#define MP_SHM_ARENA_CHUNK_H

#include "shm/arena/arena.h"

#pragma GCC visibility push(hidden)

enum { MP_NONE, MP_COLD, MP_HOT, MP_USED, MP_HELD, MP_QUEUED, MP_READING, MP_RETURNED, MP_ORPHANED };

typedef struct mp_shm_chunk {
  _Atomic uint64_t st;
  uint64_t seq;        /* large messages: the message's number, for RETURNED order */
  uint32_t object;     /* slot of the queue it is for; USED by a container: which part of it; written before st */
  uint32_t next, prev; /* index + 1 in the list of a free size; next: in the list of what its holder has deferred */
  uint32_t lessee;     /* pid of the process that leased it; 0: it is only being read. Written before READING */
} mp_shm_chunk;
_Static_assert(sizeof(mp_shm_chunk) == 32, "the chunk table's stride is part of the layout");

#define MP_ST(state, size, tag) ((uint64_t)(state) << 56 | (uint64_t)(size) << 48 | (uint32_t)(tag))
static inline unsigned mp_shm_chunk_state(uint64_t st) { return (unsigned)(st >> 56); }
static inline unsigned mp_shm_chunk_size(uint64_t st) { return (unsigned)(st >> 48) & 0xff; }
static inline uint32_t mp_shm_chunk_tag(uint64_t st) { return (uint32_t)st; }

static inline mp_shm_chunk *mp_shm_chunk_at(uint64_t i) { return (mp_shm_chunk *)mp_shm_at(mp_shm_header->chunks) + i; }
static inline uint64_t mp_shm_chunk_offset(uint64_t i) { return mp_shm_header->data + i * MP_PAGE; }
static inline void *mp_shm_chunk_data(uint64_t i) { return mp_shm_at(mp_shm_chunk_offset(i)); }
static inline uint64_t mp_shm_chunk_index(uint64_t offset) { return (offset - mp_shm_header->data) / MP_PAGE; }
/* Changes state and tag, keeps the size. */
static inline void mp_shm_chunk_set(uint64_t i, unsigned state, uint32_t tag) {
  mp_shm_chunk *c = mp_shm_chunk_at(i);
  uint64_t st = atomic_load_explicit(&c->st, memory_order_relaxed);
  atomic_store_explicit(&c->st, MP_ST(state, mp_shm_chunk_size(st), tag), memory_order_release);
}

/* Claims at least `bytes` bytes for `object` in the given state (USED: tag is object, the size a power of two; HELD: this
 * process, an eighth more at most and less than a page).
 * where: if not NULL, receives the chunk's index + 1 before the claim commits, so that a survivor can find it.
 * The index, or -ENOMEM. Contents are arbitrary. */
int64_t mp_shm_chunk_claim(uint64_t bytes, unsigned state, uint32_t tag, uint32_t object, _Atomic uint32_t *where);
/* Frees it, whatever its state. */
void mp_shm_chunk_free(uint64_t i);
/* Frees a USED chunk; or, when that would keep the arena lock for long, takes it into this process's hands until
 * mp_shm_arena_unlock has given up the lock: that calls mp_shm_chunk_finish. */
void mp_shm_chunk_retire(uint64_t i);
extern MP_PROCESS_LOCAL unsigned mp_shm_chunk_retired; /* how many wait for that */
/* Without the arena lock. Does not wait for it either: what cannot be freed now is when it is called next. */
void mp_shm_chunk_finish(void);
/* Without the arena lock, before mp_shm_chunk_free, by the one in whose hands (HELD) the chunk is: what would take long. */
void mp_shm_chunk_unload(uint64_t i);
/* Rebuilds the lists, for recovery. */
void mp_shm_chunk_rebuild(void);
/* The first chunk in use at or after an index, and the next one after a chunk; -1 at the end.
 * Without the arena lock they still find every chunk that stays in use meanwhile. */
int64_t mp_shm_chunk_next(uint64_t from);
int64_t mp_shm_chunk_after(uint64_t i);
uint64_t mp_shm_chunk_bytes(uint64_t i);

#pragma GCC visibility pop
#endif
