/* SPDX-License-Identifier: MIT */
/* What takes all items of a list: insert, remove, new orders, copies, its birth and end. The words stand in list.h. */
#include <errno.h>

#include "shm/container/list_internal.h"

uint64_t mp_shm_list_move(mp_shm_table *from, uint64_t slot, mp_shm_table *to, uint64_t i, uint64_t end) {
  mp_shm_entry *e = mp_shm_entry_at(from, 8 * slot);
  uint64_t words = mp_shm_entry_span(e) / 8;
  const _Atomic uint64_t *p = &e->head;
  _Atomic uint64_t *q = &mp_shm_entry_at(to, end)->head;
  for (uint64_t k = 0; k < words; k++)
    atomic_store_explicit(&q[k], atomic_load_explicit(&p[k], memory_order_relaxed), memory_order_relaxed);
  atomic_store_explicit(&to->index[i], end / 8, memory_order_relaxed);
  return end + 8 * words;
}

static void changes(mp_shm_list *l) { atomic_store_explicit(&l->changes, l->changes + 1, memory_order_release); }

/* --- insert, remove, permute: a new table --- */

/* THE COMMIT of table `word`, with n items. leaves: an entry or NULL; comes: an entry of the new one, or NULL. */
static int put_in_place(mp_shm_list *l, uint64_t word, uint64_t end, uint64_t n, mp_shm_entry *leaves,
                        mp_shm_entry *comes, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  uint32_t leaving = 0, coming = 0;
  uint64_t record = comes ? mp_shm_entry_handles(comes, &coming) : 0;
  if (leaves) mp_shm_entry_handles(leaves, &leaving);
  atomic_store_explicit(&mp_shm_table_at(word)->shape, mp_shm_list_shape(0, n), memory_order_relaxed);
  changes(l);
  if (coming) atomic_store_explicit(&l->carried, 1, memory_order_release);
  if (leaving || coming)
    return mp_shm_stripe_replace_with(&st, word, end, (uint32_t)n, leaving ? mp_shm_offset(leaves) : 0, record, coming,
                                      w);
  mp_shm_stripe_replace(&st, word, end, (uint32_t)n, w);
  return 0;
}

int mp_shm_list_remove_inside(mp_shm_list *l, uint64_t i, const mp_shm_wait *w) {
  mp_shm_items all = mp_shm_list_items(l);
  uint64_t word;
  int err;
  mp_shm_table *t = mp_shm_list_table(l, all.n, mp_shm_list_live_bytes(l), &word, w, &err);
  if (!t) return err;
  uint64_t end = mp_shm_list_log(mp_shm_table_order(word));
  for (uint64_t k = 0; k < all.n; k++)
    if (k != i) end = mp_shm_list_move(all.t, all.index[k], t, k - (k > i), end);
  return put_in_place(l, word, end, all.n - 1, mp_shm_list_entry(&all, i), NULL, w);
}

/* Writes an entry where a table's log ends, as item i: its end. */
static uint64_t write_entry(mp_shm_table *t, uint64_t i, uint64_t end, const mp_shm_item *v) {
  mp_shm_entry_write(mp_shm_entry_at(t, end), NULL, v);
  atomic_store_explicit(&t->index[i], end / 8, memory_order_relaxed);
  return end + mp_shm_item_span(NULL, v);
}

static int insert(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_wait *w) {
  mp_shm_items all = mp_shm_list_items(l);
  uint64_t word, bytes = mp_shm_list_live_bytes(l) + mp_shm_item_span(NULL, v);
  int err;
  if (i > all.n) return -ERANGE;
  if (all.n == MP_LIST_MOST) return -E2BIG;
  mp_shm_table *t = mp_shm_list_table(l, all.n + 1, bytes, &word, w, &err);
  if (!t) return err;
  uint64_t end = mp_shm_list_log(mp_shm_table_order(word));
  for (uint64_t k = 0; k < all.n; k++) end = mp_shm_list_move(all.t, all.index[k], t, k + (k >= i), end);
  mp_shm_entry *e = mp_shm_entry_at(t, end);
  end = write_entry(t, i, end, v);
  return put_in_place(l, word, end, all.n + 1, NULL, e, w);
}

int mp_shm_list_insert(mp_shm_list *l, uint64_t i, const mp_shm_item *v, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = mp_shm_stripe_lock(&st, w);
  if (err) return err;
  err = insert(l, i, v, w);
  mp_shm_stripe_unlock(&l->stripe);
  return err;
}

static int permute(mp_shm_list *l, const uint32_t *order, const mp_shm_wait *w) {
  mp_shm_items all = mp_shm_list_items(l);
  uint64_t word;
  int err;
  mp_shm_table *t = mp_shm_list_table(l, all.n, mp_shm_list_live_bytes(l), &word, w, &err);
  if (!t) return err;
  uint64_t end = mp_shm_list_log(mp_shm_table_order(word));
  for (uint64_t k = 0; k < all.n; k++) end = mp_shm_list_move(all.t, all.index[order[k]], t, k, end);
  return put_in_place(l, word, end, all.n, NULL, NULL, w);
}

int mp_shm_list_permute(mp_shm_list *l, const uint32_t *order, uint64_t n, uint64_t changed, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int r = mp_shm_stripe_lock(&st, w);
  if (r) return r;
  if (l->changes != changed || mp_shm_list_items(l).n != n)
    r = 0;
  else
    r = (r = n > 1 ? permute(l, order, w) : 0) ? r : 1;
  mp_shm_stripe_unlock(&l->stripe);
  return r;
}

/* --- copies --- */

static int64_t copy_items(const mp_shm_items *all, uint64_t from, uint64_t to, char *buf, uint64_t room,
                          uint64_t *need) {
  uint64_t used = 0;
  *need = 0;
  for (uint64_t i = from; i < to; i++) *need += mp_shm_entry_span(mp_shm_list_entry(all, i));
  if (*need > room) return -ENOSPC;
  for (uint64_t i = from; i < to; i++) {
    int64_t n = mp_shm_entry_copy(all->t, 8 * all->index[i], buf + used, room - used);
    if (n <= 0) return -EIO;
    used += (uint64_t)n;
  }
  return (int64_t)used;
}

#define RETAIN_MOST 4096 /* items in one section of the arena lock */

/* With the stripe's lock, so what it has is alive. */
static int retain_items(mp_shm_list *l, const mp_shm_items *all, uint64_t from, uint64_t to, const mp_shm_wait *w) {
  if (!l->carried) return 0;
  for (uint64_t i = from; i < to;) {
    uint64_t upto = to - i < RETAIN_MOST ? to : i + RETAIN_MOST;
    int err = mp_shm_arena_lock(i == from ? w : NULL); /* once some are retained there is no way back */
    if (err) return err;
    for (; i < upto; i++) {
      uint32_t n;
      uint64_t record = mp_shm_entry_handles(mp_shm_list_entry(all, i), &n);
      mp_shm_transit_retain(record, n);
    }
    mp_shm_arena_unlock();
  }
  return 0;
}

int64_t mp_shm_list_copy(mp_shm_list *l, mp_shm_list_part *part, void *buf, uint64_t room, uint64_t *need,
                         const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = mp_shm_stripe_lock(&st, w);
  if (err) return err;
  mp_shm_items all = mp_shm_list_items(l);
  uint64_t from = part->from < all.n ? part->from : all.n;
  uint64_t to = part->n < all.n - from ? from + part->n : all.n;
  part->changes = l->changes;
  int64_t used = copy_items(&all, from, to, buf, room, need);
  if (used >= 0 && (err = retain_items(l, &all, from, to, w))) used = err;
  mp_shm_stripe_unlock(&l->stripe);
  return used;
}

/* --- all at once --- */

static int clear(mp_shm_list *l, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = 0;
  for (mp_shm_items all = mp_shm_list_items(l); l->carried && all.n && !err; all = mp_shm_list_items(l)) {
    uint32_t n;
    mp_shm_entry *e = mp_shm_list_entry(&all, all.n - 1);
    mp_shm_entry_handles(e, &n);
    changes(l);
    if (n)
      err =
          mp_shm_stripe_commit(&st, &all.t->shape, mp_shm_list_shape(all.first, all.n - 1), mp_shm_offset(e), 0, 0, w);
    else
      atomic_store_explicit(&all.t->shape, mp_shm_list_shape(all.first, all.n - 1), memory_order_release);
    mp_shm_stripe_died(&l->stripe, err ? 0 : mp_shm_entry_span(e));
  }
  if (err) return err;
  changes(l);
  if (l->stripe.table) mp_shm_stripe_replace(&st, 0, 0, 0, w);
  return 0;
}

int mp_shm_list_clear(mp_shm_list *l, const mp_shm_wait *w) {
  mp_shm_store st = mp_shm_list_store(l);
  int err = mp_shm_stripe_lock(&st, w);
  if (err) return err;
  err = clear(l, w);
  mp_shm_stripe_unlock(&l->stripe);
  return err;
}

/* --- what recovery asks --- */

static bool has(const mp_shm_store *st, uint64_t place) {
  mp_shm_items all = mp_shm_list_items(mp_shm_list_of(st));
  for (uint64_t i = 0; i < all.n; i++)
    if (8 * all.index[i] == place) return true;
  return false;
}

static void count(const mp_shm_store *st) {
  mp_shm_stripe *s = st->s;
  mp_shm_items all = mp_shm_list_items(mp_shm_list_of(st));
  uint64_t begin = s->table ? mp_shm_list_log(mp_shm_table_order(s->table)) : 0, end = begin, sum = 0;
  for (uint64_t i = 0; i < all.n; i++) {
    uint64_t span = mp_shm_entry_span(mp_shm_list_entry(&all, i)), upto = 8 * all.index[i] + span;
    sum += span;
    if (upto > end) end = upto;
  }
  s->end = end;
  atomic_store_explicit(&s->dead, end - begin - sum, memory_order_relaxed);
  atomic_store_explicit(&s->live, (uint32_t)all.n, memory_order_relaxed);
}

const mp_shm_layout mp_shm_list_layout = {has, count};

/* --- birth and end --- */

static void init(uint32_t slot, void *block, const void *arg) {
  mp_shm_list *l = block;
  (void)arg;
  memset(block, 0, sizeof *l);
  mp_shm_mutex_init(&l->user, MP_MUTEX_PLAIN);
  mp_shm_stripe_init(&l->stripe);
  l->slot = slot;
}

int mp_shm_list_new(const mp_shm_wait *w, mp_shm_handle *out) {
  return mp_shm_object_new(MP_TYPE_LIST, MP_PAGE, init, NULL, w, out);
}

/* From the last item on, which leave by it: a portion goes on where the one before ended. */
static bool drop_all_handles(mp_shm_list *l) {
  mp_shm_store st = mp_shm_list_store(l);
  mp_shm_stripe_finish_retired(&st);
  mp_shm_items all = mp_shm_list_items(l);
  for (uint64_t i = all.n; i-- > 0;) {
    uint32_t n = mp_shm_entry_drop_handles(mp_shm_list_entry(&all, i));
    atomic_store_explicit(&all.t->shape, mp_shm_list_shape(all.first, i), memory_order_release);
    if (!mp_shm_object_spend(n + 1)) return false;
  }
  atomic_store_explicit(&l->carried, 0, memory_order_release);
  return true;
}

/* Handles before any table is freed. What is cut short finds entries without handles. */
static void destroy(uint32_t slot, void *block, bool thorough) {
  mp_shm_list *l = block;
  mp_shm_store st = mp_shm_list_store(l);
  if (l->carried && !drop_all_handles(l)) return;
  if (thorough || l->stripe.needs_recovery || mp_os_mutex_abandoned(&l->stripe.lock)) {
    l->stripe.needs_recovery = 1; /* for the next portion */
    mp_shm_container_free_chunks(slot);
  } else {
    mp_shm_stripe_free_chunks(&st);
  }
}

const mp_shm_object_type_info mp_shm_list_type = {.use_is_no_claim = true, .destroy = destroy};
