/* SPDX-License-Identifier: MIT */
/*
 * A buddy allocator over the arena's pages whose lists are caches: the table's words in use are the truth, and
 * mp_shm_chunk_rebuild makes the rest from them. Address space is plentiful, so objects' sizes round up to powers of two;
 * pages that are never touched cost nothing. What a process holds, as a large message, takes but the pages it needs,
 * wherever enough of them lie side by side: the buddies that are left over stay free.
 */
#include "shm/arena/chunk.h"

#include <errno.h>

#include "shm/arena/object.h"
#include "shm/arena/proc.h"

#define HOT_LIMIT (UINT64_C(64) << 20) /* free bytes kept resident in the whole tree */
#define HOT_MOST (HOT_LIMIT / 4)       /* larger chunks give their pages back at once */
#define HOT_STEP (HOT_LIMIT / 8)       /* how much is given back at once: what that takes, one call waits for */
#define RETIRED_MOST 8
#define CUT_SHIFT 5  /* the bits of a size below are its order */
#define RUN_TRIES 16 /* free blocks of one order that are looked at for a run */

static uint64_t pages(unsigned order) { return UINT64_C(1) << order; }

/* What a cut of 1 takes from 2^order pages. */
static uint64_t unit(unsigned order) { return order > 4 ? pages(order - 4) : 1; }

/* Pages of a size. */
static uint64_t span(unsigned size) {
  unsigned order = size & (MP_ORDERS - 1);
  return pages(order) - (size >> CUT_SHIFT) * unit(order);
}

static unsigned order_for(uint64_t bytes) {
  uint64_t n = (bytes + MP_PAGE - 1) / MP_PAGE;
  return n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);
}

/* More than half of 2^order pages are needed, so the cut is less than 8. */
static unsigned cut_size_for(uint64_t bytes) {
  unsigned order = order_for(bytes);
  uint64_t n = (bytes + MP_PAGE - 1) / MP_PAGE, spare = pages(order) - (n ? n : 1);
  return order | (unsigned)(spare / unit(order)) << CUT_SHIFT;
}

static uint64_t st_of(uint64_t i) { return atomic_load_explicit(&mp_shm_chunk_at(i)->st, memory_order_relaxed); }

static void set_st(uint64_t i, uint64_t st) {
  atomic_store_explicit(&mp_shm_chunk_at(i)->st, st, memory_order_release);
}

uint64_t mp_shm_chunk_bytes(uint64_t i) { return span(mp_shm_chunk_size(st_of(i))) * MP_PAGE; }

static uint32_t *list_of(unsigned state, unsigned size) {
  return state == MP_HOT ? &mp_shm_header->hot[size] : &mp_shm_header->cold[size];
}

static void push(uint64_t i, unsigned state, unsigned size) {
  uint32_t *head = list_of(state, size);
  mp_shm_chunk *c = mp_shm_chunk_at(i);
  c->next = *head;
  c->prev = 0;
  if (*head) mp_shm_chunk_at(*head - 1)->prev = (uint32_t)i + 1;
  *head = (uint32_t)i + 1;
  set_st(i, MP_ST(state, size, 0));
}

static void unlink_free(uint64_t i) {
  mp_shm_chunk *c = mp_shm_chunk_at(i);
  uint64_t st = st_of(i);
  if (c->prev)
    mp_shm_chunk_at(c->prev - 1)->next = c->next;
  else
    *list_of(mp_shm_chunk_state(st), mp_shm_chunk_size(st)) = c->next;
  if (c->next) mp_shm_chunk_at(c->next - 1)->prev = c->prev;
  set_st(i, 0);
}

/* Puts free pages into the buddy lists, joining with free buddies. */
static void give_cold(uint64_t i, unsigned order) {
  while (order + 1 < MP_ORDERS) {
    uint64_t buddy = i ^ pages(order);
    if (buddy + pages(order) > mp_shm_header->top_page || st_of(buddy) != MP_ST(MP_COLD, order, 0)) break;
    unlink_free(buddy);
    set_st(i, 0);
    i &= ~pages(order);
    order++;
  }
  push(i, MP_COLD, order);
}

/* Puts [from, to) into the lists as the largest aligned blocks. */
static void give_range(uint64_t from, uint64_t to) {
  while (from < to) {
    unsigned order = from ? (unsigned)__builtin_ctzll(from) : MP_ORDERS - 1;
    while (order >= MP_ORDERS || pages(order) > to - from) order--;
    give_cold(from, order);
    from += pages(order);
  }
}

static void cool(uint64_t i) {
  uint64_t n = span(mp_shm_chunk_size(st_of(i)));
  unlink_free(i);
  mp_shm_header->hot_bytes -= n * MP_PAGE;
  mp_os_release(mp_shm_chunk_data(i), n * MP_PAGE);
  give_range(i, i + n);
}

/* Largest first: they free most for one system call and are the least likely to fit what comes next. */
static void cool_down_to(uint64_t bytes) {
  for (unsigned k = MP_SIZES; k-- > 0 && mp_shm_header->hot_bytes > bytes;) {
    unsigned order = k >> 3, cut = 7 - (k & 7), size = order | cut << CUT_SHIFT;
    while (mp_shm_header->hot[size] && mp_shm_header->hot_bytes > bytes) cool(mp_shm_header->hot[size] - 1);
  }
}

static int64_t take_hot(unsigned size) {
  if (!mp_shm_header->hot[size]) return -ENOMEM;
  uint64_t i = mp_shm_header->hot[size] - 1;
  unlink_free(i);
  mp_shm_header->hot_bytes -= span(size) * MP_PAGE;
  return (int64_t)i;
}

/* Pages above top_page were never used and are in no list: recovery's work is bounded by what was used. n pages at a
 * multiple of `align`. */
static int64_t take_virgin(uint64_t n, uint64_t align) {
  uint64_t top = mp_shm_header->top_page, i = (top + align - 1) & ~(align - 1);
  if (i + n > mp_shm_header->npages) return -ENOMEM;
  mp_shm_header->top_page = i + n;
  give_range(top, i);
  return (int64_t)i;
}

static int64_t take_cold(unsigned order) {
  unsigned from = order;
  while (from < MP_ORDERS && !mp_shm_header->cold[from]) from++;
  if (from == MP_ORDERS) return take_virgin(pages(order), pages(order));
  uint64_t i = mp_shm_header->cold[from] - 1;
  unlink_free(i);
  while (from > order) {
    from--;
    push(i + pages(from), MP_COLD, from);
  }
  return (int64_t)i;
}

/* --- runs: free blocks side by side --- */

static bool is_cold(uint64_t i) { return mp_shm_chunk_state(st_of(i)) == MP_COLD; }

/* Where the free block that ends at page `end` begins; `end` when there is none. */
static uint64_t before(uint64_t end) {
  for (unsigned order = 0; order < MP_ORDERS && end >= pages(order) && !(end & (pages(order) - 1)); order++)
    if (st_of(end - pages(order)) == MP_ST(MP_COLD, order, 0)) return end - pages(order);
  return end;
}

static uint64_t run_begin(uint64_t i) {
  for (uint64_t b = before(i); b != i; b = before(i)) i = b;
  return i;
}

/* Whether n pages from the free block at i on are free. */
static bool has_run(uint64_t i, uint64_t n) {
  uint64_t end = i;
  while (end - i < n && end < mp_shm_header->top_page && is_cold(end)) end += pages(mp_shm_chunk_size(st_of(end)));
  return end - i >= n;
}

/* Takes n pages from the free block at i on; gives the rest of the last block back. */
static void cut_run(uint64_t i, uint64_t n) {
  uint64_t end = i;
  while (end < i + n) {
    uint64_t block = pages(mp_shm_chunk_size(st_of(end)));
    unlink_free(end);
    end += block;
  }
  give_range(i + n, end);
}

static int64_t run_of_order(unsigned order, uint64_t n) {
  uint32_t c = mp_shm_header->cold[order];
  for (int tries = 0; c && tries < RUN_TRIES; tries++, c = mp_shm_chunk_at(c - 1)->next) {
    uint64_t i = run_begin(c - 1);
    if (has_run(i, n)) return (int64_t)i;
  }
  return -ENOMEM;
}

/* More than half of 2^order pages side by side have a free block of a quarter of it among them. */
static int64_t take_run(unsigned size) {
  uint64_t n = span(size);
  unsigned order = size & (MP_ORDERS - 1);
  int64_t i = -ENOMEM;
  for (unsigned o = order > 2 ? order - 2 : 0; i < 0 && o < MP_ORDERS; o++) i = run_of_order(o, n);
  if (i < 0) return take_virgin(n, 1);
  cut_run((uint64_t)i, n);
  return i;
}

static int64_t take_free(unsigned size) { return size < MP_ORDERS ? take_cold(size) : take_run(size); }

int64_t mp_shm_chunk_claim(uint64_t bytes, unsigned state, uint32_t tag, uint32_t object, _Atomic uint32_t *where) {
  if (bytes > mp_shm_header->size) return -ENOMEM;
  unsigned size = state == MP_HELD ? cut_size_for(bytes) : order_for(bytes);
  int64_t i = take_hot(size);
  if (i < 0) i = take_free(size);
  if (i < 0) {
    cool_down_to(0);
    i = take_free(size);
  }
  if (i < 0) return i;
  mp_shm_chunk_at((uint64_t)i)->object = object;
  if (where) atomic_store_explicit(where, (uint32_t)i + 1, memory_order_release);
  set_st((uint64_t)i, MP_ST(state, size, tag));
  return i;
}

void mp_shm_chunk_unload(uint64_t i) {
  if (mp_shm_chunk_bytes(i) > HOT_MOST) mp_os_release(mp_shm_chunk_data(i), mp_shm_chunk_bytes(i));
}

void mp_shm_chunk_free(uint64_t i) {
  unsigned size = mp_shm_chunk_size(st_of(i));
  uint64_t bytes = span(size) * MP_PAGE;
  if (bytes > HOT_MOST) {
    set_st(i, 0);
    mp_os_release(mp_shm_chunk_data(i), bytes);
    give_range(i, i + span(size));
    return;
  }
  push(i, MP_HOT, size);
  mp_shm_header->hot_bytes += bytes;
  if (mp_shm_header->hot_bytes > HOT_LIMIT) cool_down_to(HOT_LIMIT - HOT_STEP);
}

static bool in_use(uint64_t st) { return mp_shm_chunk_state(st) >= MP_USED; }

int64_t mp_shm_chunk_next(uint64_t from) {
  for (uint64_t i = from; i < mp_shm_header->top_page;) {
    uint64_t st = st_of(i);
    if (in_use(st)) return (int64_t)i;
    i += mp_shm_chunk_state(st) == MP_NONE ? 1 : span(mp_shm_chunk_size(st));
  }
  return -1;
}

int64_t mp_shm_chunk_after(uint64_t i) { return mp_shm_chunk_next(i + span(mp_shm_chunk_size(st_of(i)))); }

/* --- what takes long --- */

MP_PROCESS_LOCAL unsigned mp_shm_chunk_retired;
static MP_PROCESS_LOCAL uint32_t retired[RETIRED_MOST];
static MP_PROCESS_LOCAL mp_shm_proc_ref retirer;

/* What a fork inherits is its parent's. */
static void own_retired(void) {
  if (mp_shm_inherited(retirer)) mp_shm_chunk_retired = 0;
  retirer = mp_shm_proc_self();
}

void mp_shm_chunk_retire(uint64_t i) {
  own_retired();
  if (mp_shm_chunk_bytes(i) <= HOT_MOST || mp_shm_chunk_retired == RETIRED_MOST) {
    mp_shm_chunk_free(i);
    return;
  }
  mp_shm_proc_add_claimed(1);
  mp_shm_chunk_set(i, MP_HELD, mp_shm_my_slot);
  retired[mp_shm_chunk_retired++] = (uint32_t)i;
}

void mp_shm_chunk_finish(void) {
  own_retired();
  while (mp_shm_chunk_retired) {
    uint64_t i = retired[--mp_shm_chunk_retired];
    mp_shm_chunk_unload(i);
    if (!mp_shm_arena_trylock()) {
      retired[mp_shm_chunk_retired++] = (uint32_t)i;
      return;
    }
    mp_shm_chunk_free(i);
    mp_shm_proc_add_claimed(-1);
    mp_os_mutex_unlock(&mp_shm_header->lock);
  }
}

/* Chunks that belong to an object stay while the object is more than FREE; those in a process's hands stay for
 * the cleaner of that process. */
static bool stays(uint64_t st) {
  unsigned state = mp_shm_chunk_state(st);
  if (state < MP_USED) return false;
  if (state == MP_HELD || state == MP_READING) return true;
  return mp_shm_object_state(mp_shm_chunk_tag(st)) != MP_OBJECT_FREE;
}

/* Forgets every free mark in [from, to) and gives the range, its pages gone back to the system. */
static void reclaim(uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++)
    if (st_of(i)) set_st(i, 0);
  if (to > from) mp_os_release(mp_shm_chunk_data(from), (to - from) * MP_PAGE);
  give_range(from, to);
}

void mp_shm_chunk_rebuild(void) {
  for (unsigned k = 0; k < MP_SIZES; k++) mp_shm_header->hot[k] = 0;
  for (unsigned k = 0; k < MP_ORDERS; k++) mp_shm_header->cold[k] = 0;
  mp_shm_header->hot_bytes = 0;
  uint64_t free_from = 0, i = 0;
  while (i < mp_shm_header->top_page) {
    uint64_t st = st_of(i);
    if (!stays(st)) {
      i++;
      continue;
    }
    reclaim(free_from, i);
    i += span(mp_shm_chunk_size(st));
    free_from = i;
  }
  reclaim(free_from, mp_shm_header->top_page);
}
