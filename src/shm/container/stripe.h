/* SPDX-License-Identifier: MIT */
/*
 * Stripes (layer 1): a lock, and a table under it that readers use without. For dict.c and list.c, which say what a table's
 * index means.
 *
 *   table = bytes 64 | shape 64 | index | log of entries
 *
 * An entry is written where nobody looks; then one store, to the index or to `shape`, commits it. Log space is never used
 * twice within one `version`: a full table is copied, without what is dead, into a new one. So nothing is ever undone.
 *
 * word       written by (under the lock), order             what a survivor, or a reader beside, sees
 * index      dict, list: release, THE COMMIT                before or after. The entry that it names never changes, but for
 * entry.word release, THE COMMIT of a number that keeps     before or after
 *            its type
 * end        after the entry is whole, before its commit    behind all whole entries; what no index names is dead
 * table      release, THE COMMIT of a new table             old or new: the same contents, or one operation more
 *            (order 8 | offset 56; 0: none)
 * version    +1 after table, then a full fence, before the  a reader for whom it stayed the same read only what was the
 *            old chunk is freed; +1 first of all by recovery  container's
 * fresh      the claim, before its own commit; 0 after      not the table: freed
 *            table
 * old        before table; 0 in the arena section that      not the table: freed, once version has grown
 *            frees it
 * retired    arena lock; before the store that leaves an    its entry is in the index still: nothing happened, cleared;
 *            entry with handles; 0: THE COMMIT of their     else its handles come off transit
 *            coming off transit
 * dirty      who finds the lock abandoned, before it makes  recovery is due; cleared by recovery
 *            it consistent
 * reused     (a dict's) +1 before a deleted slot gets        a copy of all is one of each key if it stayed the same
 *            another key
 * live used dead outside       caches and counts; outside:  recovery counts all but the last two
 * busy copies                  bytes of blobs in it
 *
 * Rules: chunks name their stripe (`part`), so that recovery frees none that another stripe has claimed since. Readers store
 * nothing, follow no pointer, hold every place against the arena's end, and check a length before they use it. No Lua call
 * under a stripe's lock. Lock order: user's lock -> stripes, ascending -> arena.
 *
 * Orders: version's release store does not order the stores that free the chunk, hence the fence behind it (a dmb on arm64);
 * a reader pairs with it by its loads, an acquire fence, and a relaxed load of version (ldar or dmb ishld there).
 */
#ifndef MP_SHM_CONTAINER_STRIPE_H
#define MP_SHM_CONTAINER_STRIPE_H

#include "shm/arena/chunk.h"
#include "shm/arena/mutants.h"
#include "shm/container/entry.h"

#pragma GCC visibility push(hidden)

#define MP_TRIES_FREE 100 /* a reader that writers outrun so often tries the lock once; it does not wait for it */

typedef struct mp_shm_stripe {
  _Alignas(MP_LINE) mp_os_mutex lock;
  _Atomic uint64_t version, table;
  _Atomic uint64_t retired; /* the entry's offset in the arena; 0: none */
  uint64_t end;             /* where the next entry goes */
  _Atomic uint64_t dead;    /* bytes of dead entries before it */
  uint64_t outside;         /* bytes of a dict's values that lie in blobs */
  _Atomic uint32_t live;
  uint32_t used;                               /* entries in the index; slots that were ever filled */
  _Atomic uint32_t fresh, old, needs_recovery; /* chunk index + 1; 0: none */
  uint32_t busy;
  _Atomic uint32_t copies, reused;
} mp_shm_stripe;
_Static_assert(sizeof(mp_shm_stripe) == MP_LINE, "a stripe is a line");

/* Under the lock: a word that others read without. */
static inline void mp_shm_stripe_died(mp_shm_stripe *s, uint64_t bytes) {
  atomic_store_explicit(&s->dead, atomic_load_explicit(&s->dead, memory_order_relaxed) + bytes, memory_order_relaxed);
}

typedef struct mp_shm_table {
  _Atomic uint64_t bytes, shape; /* shape: a list's; a dict's is 0 */
  _Atomic uint64_t index[];
} mp_shm_table;

typedef struct mp_shm_store mp_shm_store;
typedef struct mp_shm_layout { /* what dict.c and list.c each know of their index */
  /* Whether the index has the entry at that place of the table. */
  bool (*has)(const mp_shm_store *st, uint64_t place);
  /* Sets end, dead, live and used from the index. */
  void (*count)(const mp_shm_store *st);
} mp_shm_layout;

struct mp_shm_store { /* private: a stripe and whose it is */
  mp_shm_stripe *s;
  uint32_t object, part; /* the container's slot; which stripe of it */
  mp_shm_table *own;     /* a table inside the container's block, or NULL */
  uint64_t own_bytes;
  const mp_shm_layout *layout;
};

static inline mp_shm_table *mp_shm_table_at(uint64_t w) { return mp_shm_at(w & ((UINT64_C(1) << 56) - 1)); }
static inline unsigned mp_shm_table_order(uint64_t w) { return (unsigned)(w >> 56); }
static inline uint64_t mp_shm_table_word(const mp_shm_table *t, unsigned order) {
  return (uint64_t)order << 56 | mp_shm_offset(t);
}
static inline uint64_t mp_shm_table_bytes(mp_shm_table *t) {
  return atomic_load_explicit(&t->bytes, memory_order_relaxed);
}
static inline mp_shm_entry *mp_shm_entry_at(mp_shm_table *t, uint64_t place) {
  return (mp_shm_entry *)(void *)((char *)t + place);
}
/* A table's place is in the arena as far as `upto`, whatever it is: for readers. */
static inline bool mp_shm_inside(const mp_shm_table *t, uint64_t upto) {
  return mp_shm_offset(t) + upto <= mp_shm_header->size;
}
static inline uint64_t mp_shm_stripe_table(mp_shm_stripe *s) {
  return atomic_load_explicit(&s->table, memory_order_acquire);
}

/* Readers: version first, and still the same after all else was read. */
static inline uint64_t mp_shm_stripe_version(mp_shm_stripe *s) {
  return atomic_load_explicit(&s->version, memory_order_acquire);
}
static inline bool mp_shm_stripe_still(mp_shm_stripe *s, uint64_t version) {
  atomic_thread_fence(memory_order_acquire);
  return atomic_load_explicit(&s->version, memory_order_relaxed) == version || MP_MUTANT(STILL);
}
/* Reads the entry into buf, MP_ITEM_ROOM bytes, and says what it has; false: it cannot be one, or that is not all there. */
#define MP_ITEM_ROOM (MP_INLINE_MOST + 8 * MP_ITEM_EXTRA + 8)
bool mp_shm_entry_read(mp_shm_table *t, uint64_t place, void *buf, mp_shm_item *v);
/* Whether the entry has that key. */
bool mp_shm_entry_has_key(mp_shm_table *t, uint64_t place, const mp_shm_key *k);
/* Copies the entry to `to`, `room` bytes: how many; 0: no room; -1: that cannot be one. */
int64_t mp_shm_entry_copy(mp_shm_table *t, uint64_t place, void *to, uint64_t room);
/* What a copied entry has; key: may be NULL. */
void mp_shm_entry_item(mp_shm_entry *copy, mp_shm_item *key, mp_shm_item *v);

/* Writes an entry. k NULL: it has no key. */
void mp_shm_entry_write(mp_shm_entry *e, const mp_shm_key *k, const mp_shm_item *v);
/* Whether the entry has that value, by content. */
bool mp_shm_entry_is(mp_shm_entry *e, const mp_shm_item *x);
/* Bytes of the value that lie in a blob, not in the entry. The blob is alive. */
uint64_t mp_shm_item_outside(const mp_shm_item *v);
uint64_t mp_shm_entry_outside(mp_shm_entry *e);
/* The sum of two numbers, as Lua adds: type and word. */
void mp_shm_item_add(const mp_shm_item *a, const mp_shm_item *b, mp_shm_item *sum);

void mp_shm_stripe_init(mp_shm_stripe *s);
/* Locks, and recovers what a dead owner left: 0, -EINTR, -ETIMEDOUT. */
int mp_shm_stripe_lock(const mp_shm_store *st, const mp_shm_wait *w);
static inline void mp_shm_stripe_unlock(mp_shm_stripe *s) { mp_os_mutex_unlock(&s->lock); }
/* For readers: true when the lock was free. It says nothing of recovery. */
bool mp_shm_stripe_trylock(mp_shm_stripe *s);

/* All below: with the stripe's lock. */

/* Appends an entry to the table, which has room: its place. k NULL: it has no key. */
uint64_t mp_shm_stripe_append(mp_shm_stripe *s, const mp_shm_key *k, const mp_shm_item *v);
uint64_t mp_shm_item_span(const mp_shm_key *k, const mp_shm_item *v);
/* A new table of at least `bytes`, whose index of `slots` is zeroes: noted in `fresh`. NULL and *err. */
mp_shm_table *mp_shm_table_new(const mp_shm_store *st, uint64_t bytes, uint64_t slots, const mp_shm_wait *w, int *err);
/* Bytes that a table asked for with that many gets. */
uint64_t mp_shm_table_room(const mp_shm_store *st, uint64_t bytes);
/* Puts table word w (0: none) in place and frees the table before it. n: entries in it. */
void mp_shm_stripe_replace(const mp_shm_store *st, uint64_t word, uint64_t end, uint32_t n, const mp_shm_wait *w);
/* The same with the handles of an entry that leaves, or of n at `record` that come: as mp_shm_stripe_commit. */
int mp_shm_stripe_replace_with(const mp_shm_store *st, uint64_t word, uint64_t end, uint32_t n, uint64_t leaves,
                               uint64_t record, uint32_t nhandles, const mp_shm_wait *w);
/* Frees the chunk that `which` names if it is the stripe's, and not its table. */
int mp_shm_stripe_drop(const mp_shm_store *st, _Atomic uint32_t *which, const mp_shm_wait *w);
/* Stores value to *word: THE COMMIT, with the handles of the entry that leaves (its offset; 0: none) and those that come: n at
 * offset `record`. An error: nothing has happened. */
int mp_shm_stripe_commit(const mp_shm_store *st, _Atomic uint64_t *word, uint64_t value, uint64_t leaves,
                         uint64_t record, uint32_t n, const mp_shm_wait *w);
/* Where an entry's handles are, for the above. */
static inline uint64_t mp_shm_entry_handles(mp_shm_entry *e, uint32_t *n) {
  mp_shm_shape s = mp_shm_entry_shape(e);
  *n = s.nhandles;
  return mp_shm_offset(&e->more[mp_shm_at_handles(&s)]);
}

/* For destroy, with the arena lock. */
void mp_shm_stripe_finish_retired(const mp_shm_store *st);
uint32_t mp_shm_entry_drop_handles(mp_shm_entry *e); /* how many there were */
/* The bytes that it freed. */
uint64_t mp_shm_stripe_free_chunks(const mp_shm_store *st);
/* Whether that chunk, index + 1, is in use as that part of the object. */
bool mp_shm_chunk_is_part(uint32_t object, uint32_t part, uint32_t chunk);
/* Frees every chunk of the object but its block; false: mp_shm_object_spend has said no. */
bool mp_shm_container_free_chunks(uint32_t object);
/* What it takes to free so many bytes, in units of mp_shm_object_spend. */
static inline uint64_t mp_shm_container_units(uint64_t bytes) { return bytes / MP_PAGE * 4; }

#pragma GCC visibility pop
#endif
