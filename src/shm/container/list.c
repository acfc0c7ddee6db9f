/* SPDX-License-Identifier: MIT */
/* A list: items by index. The words stand in list.h; copies of many items, and new orders, are in list_all.c. */
#include "shm/container/list.h"

#include <errno.h>

#include "shm/container/list_internal.h"

#define SHRINK_AT 8 /* a table of which that part is left is copied to a smaller one */
#define ORDER_LEAST 3

mp_shm_store mp_shm_list_store(mp_shm_list *l) {
  return (mp_shm_store){
      &l->stripe,         l->slot, 0, (mp_shm_table *)(void *)l->own, MP_PAGE - offsetof(mp_shm_list, own),
      &mp_shm_list_layout};
}

/* --- reading --- */

/* 1, 0, or -EAGAIN: a writer came between. */
static int look(mp_shm_list *l, uint64_t i, void *buf, mp_shm_item *v) {
  mp_shm_stripe *s = &l->stripe;
  uint64_t version = mp_shm_stripe_version(s), w = mp_shm_stripe_table(s);
  if (!w) return mp_shm_stripe_still(s, version) ? 0 : -EAGAIN;
  mp_shm_table *t = mp_shm_table_at(w);
  uint64_t shape = atomic_load_explicit(&t->shape, memory_order_acquire), n = mp_shm_list_n(shape);
  if (i == MP_LIST_LAST) i = n - 1;
  if (i >= n) return mp_shm_stripe_still(s, version) ? 0 : -EAGAIN;
  uint64_t at = mp_shm_list_first(shape) + i;
  if (at >= mp_shm_list_slots(w)) return -EAGAIN;
  uint64_t slot = atomic_load_explicit(&t->index[at], memory_order_acquire);
  if (!mp_shm_entry_read(t, 8 * slot, buf, v)) return -EAGAIN;
  uint64_t now = atomic_load_explicit(&t->shape, memory_order_acquire);
  bool in_place = mp_shm_list_first(now) == mp_shm_list_first(shape) && (i < mp_shm_list_n(now) || MP_MUTANT(SHAPE));
  return mp_shm_stripe_still(s, version) && in_place ? 1 : -EAGAIN;
}

/* Under the lock nothing changes. It is not waited for: who holds it and stands still changes nothing either. */
static int look_locked(mp_shm_list *l, uint64_t i, void *buf, mp_shm_item *v) {
  if (!mp_shm_stripe_trylock(&l->stripe)) return -EAGAIN;
  int found = look(l, i, buf, v);
  mp_shm_stripe_unlock(&l->stripe);
  return found;
}

int mp_shm_list_get(mp_shm_list *l, uint64_t i, void *buf, mp_shm_item *v) {
  int found = look(l, i, buf, v);
  for (unsigned tries = 1; found < 0; tries++)
    found = tries % MP_TRIES_FREE ? look(l, i, buf, v) : look_locked(l, i, buf, v);
  return found;
}

uint64_t mp_shm_list_count(mp_shm_list *l) {
  for (;;) {
    uint64_t version = mp_shm_stripe_version(&l->stripe), w = mp_shm_stripe_table(&l->stripe);
    uint64_t n = w ? mp_shm_list_n(atomic_load_explicit(&mp_shm_table_at(w)->shape, memory_order_acquire)) : 0;
    if (mp_shm_stripe_still(&l->stripe, version)) return n;
  }
}

/* --- tables --- */

typedef struct size {
  uint64_t bytes;
  unsigned order;
} size;

/* For so many slots and bytes in the log, at least; what the chunk has beyond is divided alike. */
static size size_for(const mp_shm_store *st, uint64_t slots, uint64_t bytes) {
  size z = {0, ORDER_LEAST};
  while (UINT64_C(1) << z.order < slots) z.order++;
  z.bytes = mp_shm_table_room(st, mp_shm_list_log(z.order) + bytes);
  uint64_t each = slots ? bytes / slots + 1 : 64;
  while (mp_shm_list_log(z.order + 1) + (each << z.order) < z.bytes) z.order++;
  return z;
}

mp_shm_table *mp_shm_list_table(mp_shm_list *l, uint64_t slots, uint64_t bytes, uint64_t *word, const mp_shm_wait *w,
                                int *err) {
  mp_shm_store st = mp_shm_list_store(l);
  size z = size_for(&st, slots + slots / 2, bytes + bytes / 2);
  mp_shm_table *t = mp_shm_table_new(&st, z.bytes, 0, w, err);
  if (t) *word = mp_shm_table_word(t, z.order);
  return t;
}

/* Makes room for n more slots and `bytes` more bytes. */
static int remake(mp_shm_list *l, uint64_t slots, uint64_t bytes, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  mp_shm_items all = mp_shm_list_items(l);
  uint64_t word;
  int err;
  mp_shm_table *t = mp_shm_list_table(l, all.n + slots, mp_shm_list_live_bytes(l) + bytes, &word, w, &err);
  if (!t) return err;
  uint64_t end = mp_shm_list_log(mp_shm_table_order(word));
  for (uint64_t i = 0; i < all.n; i++) end = mp_shm_list_move(all.t, all.index[i], t, i, end);
  atomic_store_explicit(&t->shape, mp_shm_list_shape(0, all.n), memory_order_relaxed);
  mp_shm_stripe_replace(&st, word, end, (uint32_t)all.n, w);
  return 0;
}

static int need_room(mp_shm_list *l, uint64_t slots, uint64_t bytes, const mp_shm_wait *w) {
  uint64_t word = l->stripe.table;
  mp_shm_items all = mp_shm_list_items(l);
  if (all.n + slots > MP_LIST_MOST) return -E2BIG;
  if (word && l->stripe.end + bytes <= mp_shm_table_bytes(all.t) &&
      all.first + all.n + slots <= mp_shm_list_slots(word))
    return 0;
  return remake(l, slots, bytes, w);
}

static void shrink(mp_shm_list *l, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  mp_shm_items all = mp_shm_list_items(l);
  if (!all.n) {
    mp_shm_stripe_replace(&st, 0, 0, 0, w);
    return;
  }
  uint64_t bytes = mp_shm_table_bytes(all.t);
  if (bytes > MP_PAGE && SHRINK_AT * mp_shm_list_live_bytes(l) < bytes) remake(l, 0, 0, w);
}

/* --- one item --- */

static void changes(mp_shm_list *l) { atomic_store_explicit(&l->changes, l->changes + 1, memory_order_release); }

/* THE COMMIT of an operation that stores one word. leaves: an entry or NULL. */
static int commit(mp_shm_list *l, _Atomic uint64_t *word, uint64_t value, mp_shm_entry *leaves, uint64_t record,
                  uint32_t n, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  uint32_t leaving = 0;
  if (leaves) mp_shm_entry_handles(leaves, &leaving);
  changes(l);
  if (n || leaving) {
    atomic_store_explicit(&l->carried, 1, memory_order_release);
    return mp_shm_stripe_commit(&st, word, value, leaving ? mp_shm_offset(leaves) : 0, record, n, w);
  }
  atomic_store_explicit(word, value, memory_order_release);
  return 0;
}

static bool keeps_type(mp_shm_entry *e, const mp_shm_item *v) {
  return mp_shm_is_number(v->type) && mp_shm_entry_shape(e).vtype == v->type;
}

static int put(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_wait *w) {
  uint64_t span = mp_shm_item_span(NULL, v);
  mp_shm_items all = mp_shm_list_items(l);
  if (keeps_type(mp_shm_list_entry(&all, i), v)) {
    changes(l);
    atomic_store_explicit(&mp_shm_list_entry(&all, i)->word, v->word, memory_order_release);
    return 0;
  }
  int err = need_room(l, 0, span, w);
  if (err) return err;
  all = mp_shm_list_items(l);
  mp_shm_entry *old = mp_shm_list_entry(&all, i);
  uint64_t place = l->stripe.end, was = mp_shm_entry_span(old);
  uint32_t n;
  if (MP_MUTANT(SLOT)) atomic_store(&all.index[i], place / 8);
  mp_shm_stripe_append(&l->stripe, NULL, v);
  uint64_t record = mp_shm_entry_handles(mp_shm_entry_at(all.t, place), &n);
  err = commit(l, &all.index[i], place / 8, old, record, n, w);
  mp_shm_stripe_died(&l->stripe, err ? span : was);
  return err;
}

/* Locks, and finds item *i: 1 with the lock; 0: it is not as expected; -ERANGE; -errno. */
static int find(mp_shm_list *l, uint64_t *i, const mp_shm_item *expected, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = mp_shm_stripe_lock(&st, w);
  if (err) return err;
  mp_shm_items all = mp_shm_list_items(l);
  if (*i == MP_LIST_LAST) *i = all.n - 1;
  int r = *i >= all.n ? -ERANGE : !expected || mp_shm_entry_is(mp_shm_list_entry(&all, *i), expected);
  if (r <= 0) mp_shm_stripe_unlock(&l->stripe);
  return r;
}

int mp_shm_list_set(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_item *expected,
                    const mp_shm_wait *w) {
  int r = find(l, &i, expected, w);
  if (r <= 0) return r;
  int err = put(l, i, v, w);
  mp_shm_stripe_unlock(&l->stripe);
  return err ? err : 1;
}

int mp_shm_list_add(mp_shm_list *l, uint64_t i, const mp_shm_item *n, mp_shm_item *sum, const mp_shm_wait *w) {
  int r = find(l, &i, NULL, w);
  if (r < 0) return r;
  mp_shm_items all = mp_shm_list_items(l);
  mp_shm_entry *e = mp_shm_list_entry(&all, i);
  const mp_shm_item was = {.type = mp_shm_entry_shape(e).vtype, .word = e->word};
  *sum = (mp_shm_item){.type = was.type};
  if (mp_shm_is_number(was.type)) {
    mp_shm_item_add(&was, n, sum);
    r = put(l, i, sum, w);
  } else {
    r = -EINVAL;
  }
  mp_shm_stripe_unlock(&l->stripe);
  return r;
}

/* --- at the ends --- */

/* Removes the first or the last one by a new shape. */
static int take_off(mp_shm_list *l, bool first, const mp_shm_wait *w) {
  mp_shm_items all = mp_shm_list_items(l);
  mp_shm_entry *e = mp_shm_list_entry(&all, first ? 0 : all.n - 1);
  uint64_t span = mp_shm_entry_span(e);
  int err = commit(l, &all.t->shape, mp_shm_list_shape(all.first + first, all.n - 1), e, 0, 0, w);
  if (err) return err;
  mp_shm_stripe_died(&l->stripe, span);
  atomic_store_explicit(&l->stripe.live, (uint32_t)all.n - 1, memory_order_relaxed);
  shrink(l, w);
  return 0;
}

int mp_shm_list_remove(mp_shm_list *l, uint64_t i, const mp_shm_item *expected, const mp_shm_wait *w) {
  int r = find(l, &i, expected, w);
  if (r <= 0) return r;
  mp_shm_items all = mp_shm_list_items(l);
  int err = i && i + 1 < all.n ? mp_shm_list_remove_inside(l, i, w) : take_off(l, i == 0, w);
  mp_shm_stripe_unlock(&l->stripe);
  return err ? err : 1;
}

/* The handles of all of them in one list, in an entry that no index names: one commit for all. */
static uint64_t gather(mp_shm_list *l, const mp_shm_item *items, uint64_t n, uint32_t count) {
  mp_shm_stripe *s = &l->stripe;
  mp_shm_shape shape = {.vtype = MP_ITEM_FALSE, .nhandles = count};
  mp_shm_entry *e = mp_shm_entry_at(mp_shm_table_at(s->table), s->end);
  _Atomic uint64_t *to = e->more;
  atomic_store_explicit(&e->head, mp_shm_head(&shape), memory_order_relaxed);
  atomic_store_explicit(&e->word, 0, memory_order_relaxed);
  for (uint64_t i = 0; i < n; i++) {
    mp_shm_words_in(to, items[i].handles, 8 * (uint64_t)items[i].nhandles);
    mp_shm_words_in(to + items[i].nhandles, items[i].extra, 8 * (uint64_t)items[i].nextra);
    to += items[i].nhandles + items[i].nextra;
  }
  s->end += mp_shm_span(&shape, 0);
  mp_shm_stripe_died(s, mp_shm_span(&shape, 0));
  return mp_shm_offset(e->more);
}

static int append(mp_shm_list *l, const mp_shm_item *items, uint64_t n, const mp_shm_wait *w) {
  uint64_t bytes = 0, handles = 0, live = 0;
  for (uint64_t i = 0; i < n; i++) {
    live += mp_shm_item_span(NULL, &items[i]);
    handles += items[i].nhandles + items[i].nextra;
  }
  if (handles) bytes = sizeof(mp_shm_entry) + 8 * handles;
  if (handles > UINT16_MAX) return -E2BIG;
  int err = need_room(l, n, bytes + live, w);
  if (err) return err;
  mp_shm_items all = mp_shm_list_items(l);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t place = mp_shm_stripe_append(&l->stripe, NULL, &items[i]);
    atomic_store_explicit(&all.index[all.n + i], place / 8, memory_order_release);
  }
  uint64_t record = handles ? gather(l, items, n, (uint32_t)handles) : 0;
  err = commit(l, &all.t->shape, mp_shm_list_shape(all.first, all.n + n), NULL, record, (uint32_t)handles, w);
  if (err) {
    mp_shm_stripe_died(&l->stripe, live);
    l->stripe.needs_recovery = 1; /* slots are used again in another version: a reader may have seen these */
    return err;
  }
  atomic_store_explicit(&l->stripe.live, (uint32_t)(all.n + n), memory_order_relaxed);
  return 0;
}

int mp_shm_list_append(mp_shm_list *l, const mp_shm_item *items, uint64_t n, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = n ? mp_shm_stripe_lock(&st, w) : 0;
  if (err || !n) return err;
  err = append(l, items, n, w);
  mp_shm_stripe_unlock(&l->stripe);
  return err;
}
