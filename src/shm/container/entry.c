/* SPDX-License-Identifier: MIT */
/* Entries: written, read, compared, added to. The layout stands in entry.h. */
#include "shm/container/blob.h"
#include "shm/container/stripe.h"

static bool read_shape(mp_shm_table *t, uint64_t place, mp_shm_shape *s, uint64_t *word) {
  if (!mp_shm_inside(t, place + sizeof(mp_shm_entry))) return false;
  mp_shm_entry *e = mp_shm_entry_at(t, place);
  *s = mp_shm_entry_shape(e);
  *word = atomic_load_explicit(&e->word, memory_order_acquire);
  return s->keylen <= MP_KEY_MOST && mp_shm_value_bytes(s, *word) <= MP_INLINE_MOST &&
         mp_shm_inside(t, place + mp_shm_span(s, *word));
}

bool mp_shm_entry_has_key(mp_shm_table *t, uint64_t place, const mp_shm_key *k) {
  if (!mp_shm_inside(t, place + sizeof(mp_shm_entry))) return false;
  mp_shm_entry *e = mp_shm_entry_at(t, place);
  uint64_t head = atomic_load_explicit(&e->head, memory_order_relaxed), at = mp_shm_head_at_key(head);
  if (!mp_shm_head_has_key(head, k->type, k->n)) return false;
  return mp_shm_inside(t, place + sizeof *e + 8 * (at + mp_shm_words(k->n))) &&
         mp_shm_words_same(&e->more[at], k->p, k->n);
}

bool mp_shm_entry_read(mp_shm_table *t, uint64_t place, void *buf, mp_shm_item *v) {
  mp_shm_shape s;
  uint64_t word;
  if (!read_shape(t, place, &s, &word)) return false;
  mp_shm_entry *e = mp_shm_entry_at(t, place);
  uint64_t bytes = mp_shm_value_bytes(&s, word);
  *v = (mp_shm_item){.type = s.vtype, .n = (uint32_t)bytes, .word = word, .nhandles = s.nhandles};
  if (s.expires) v->deadline = atomic_load_explicit(&e->more[0], memory_order_relaxed);
  if (8 * (s.nhandles + mp_shm_words(bytes)) > MP_ITEM_ROOM) return false;
  mp_shm_words_out(buf, &e->more[mp_shm_at_handles(&s)], s.nhandles);
  v->handles = buf;
  v->p = (char *)buf + 8 * s.nhandles;
  mp_shm_words_out((char *)buf + 8 * s.nhandles, &e->more[mp_shm_at_value(&s)], mp_shm_words(bytes));
  return true;
}

int64_t mp_shm_entry_copy(mp_shm_table *t, uint64_t place, void *to, uint64_t room) {
  mp_shm_shape s;
  uint64_t word;
  if (!read_shape(t, place, &s, &word)) return -1;
  uint64_t span = mp_shm_span(&s, word), head = mp_shm_head(&s);
  if (span > room) return 0;
  memcpy(to, &head, 8);
  memcpy((char *)to + 8, &word, 8);
  mp_shm_words_out((char *)to + 16, mp_shm_entry_at(t, place)->more, span / 8 - 2);
  return (int64_t)span;
}

void mp_shm_entry_item(mp_shm_entry *copy, mp_shm_item *key, mp_shm_item *v) {
  mp_shm_shape s = mp_shm_entry_shape(copy);
  uint64_t word = copy->word;
  *v =
      (mp_shm_item){.type = s.vtype, .n = (uint32_t)mp_shm_value_bytes(&s, word), .word = word, .nhandles = s.nhandles};
  v->handles = (const mp_shm_handle *)(void *)&copy->more[mp_shm_at_handles(&s)];
  v->p = (const void *)&copy->more[mp_shm_at_value(&s)];
  if (s.expires) v->deadline = copy->more[0];
  if (!key) return;
  *key = (mp_shm_item){.type = s.ktype, .n = s.keylen, .p = (const void *)&copy->more[mp_shm_at_key(&s)]};
  if (s.ktype != MP_ITEM_STRING) key->word = copy->more[mp_shm_at_key(&s)];
}

static mp_shm_shape shape_for(const mp_shm_key *k, const mp_shm_item *v) {
  return (mp_shm_shape){k ? k->type : MP_ITEM_NONE, v->type, v->deadline != 0, v->nhandles + v->nextra, k ? k->n : 0};
}

uint64_t mp_shm_item_span(const mp_shm_key *k, const mp_shm_item *v) {
  mp_shm_shape s = shape_for(k, v);
  return mp_shm_span(&s, v->n);
}

static uint64_t outside(uint8_t type, uint64_t word) {
  const mp_shm_blob *b = mp_shm_is_blob(type) ? mp_shm_object_block(word, MP_TYPE_BLOB) : NULL;
  return b ? b->n : 0;
}

uint64_t mp_shm_item_outside(const mp_shm_item *v) { return outside(v->type, v->word); }

uint64_t mp_shm_entry_outside(mp_shm_entry *e) { return outside(mp_shm_entry_shape(e).vtype, e->word); }

void mp_shm_entry_write(mp_shm_entry *e, const mp_shm_key *k, const mp_shm_item *v) {
  mp_shm_shape shape = shape_for(k, v);
  _Atomic uint64_t *handles = &e->more[mp_shm_at_handles(&shape)];
  atomic_store_explicit(&e->head, mp_shm_head(&shape), memory_order_relaxed);
  atomic_store_explicit(&e->word, mp_shm_is_bytes(v->type) ? v->n : v->word, memory_order_relaxed);
  if (shape.expires) atomic_store_explicit(&e->more[0], v->deadline, memory_order_relaxed);
  mp_shm_words_in(handles, v->handles, 8 * (uint64_t)v->nhandles);
  mp_shm_words_in(handles + v->nhandles, v->extra, 8 * (uint64_t)v->nextra);
  if (k) mp_shm_words_in(&e->more[mp_shm_at_key(&shape)], k->p, k->n);
  mp_shm_words_in(&e->more[mp_shm_at_value(&shape)], v->p, v->n);
}

uint64_t mp_shm_stripe_append(mp_shm_stripe *s, const mp_shm_key *k, const mp_shm_item *v) {
  uint64_t place = s->end;
  mp_shm_entry_write(mp_shm_entry_at(mp_shm_table_at(s->table), place), k, v);
  s->end = place + mp_shm_item_span(k, v);
  return place;
}

/* --- what they say --- */

static bool same_number(uint8_t type, uint64_t word, uint8_t other, uint64_t its) {
  double a, b;
  if (type == other && word == its) return true;
  memcpy(&a, &word, 8);
  memcpy(&b, &its, 8);
  if (type == MP_ITEM_FLOAT && other == MP_ITEM_FLOAT) return a == b;
  if (type == other) return false;
  double x = type == MP_ITEM_FLOAT ? a : b;
  return x >= -0x1p63 && x < 0x1p63 && (double)(int64_t)x == x &&
         (int64_t)x == (int64_t)(type == MP_ITEM_FLOAT ? its : word);
}

bool mp_shm_entry_is(mp_shm_entry *e, const mp_shm_item *x) {
  mp_shm_shape s = mp_shm_entry_shape(e);
  if (mp_shm_is_number(s.vtype) && mp_shm_is_number(x->type)) return same_number(s.vtype, e->word, x->type, x->word);
  if (s.vtype != x->type) return false;
  if (!mp_shm_is_bytes(s.vtype)) return !mp_shm_is_blob(s.vtype) || e->word == x->word;
  return e->word == x->n && mp_shm_words_same(&e->more[mp_shm_at_value(&s)], x->p, x->n);
}

static double real(const mp_shm_item *x) {
  double d;
  memcpy(&d, &x->word, 8);
  return x->type == MP_ITEM_INTEGER ? (double)(int64_t)x->word : d;
}

void mp_shm_item_add(const mp_shm_item *a, const mp_shm_item *b, mp_shm_item *sum) {
  if (a->type == MP_ITEM_INTEGER && b->type == MP_ITEM_INTEGER) {
    sum->type = MP_ITEM_INTEGER;
    sum->word = a->word + b->word;
    return;
  }
  double x = real(a) + real(b);
  sum->type = MP_ITEM_FLOAT;
  memcpy(&sum->word, &x, 8);
}
