/* SPDX-License-Identifier: MIT */
/*
 * Encoding of plain values: nil, booleans, numbers, strings, tables. What else
 * there is stands in encode_object.c. Nothing here raises.
 */
#include <stdlib.h>

#include "encoder.h"
#include "names.h"
#include "run.h"

/* Strings shorter than this are repeated rather than referred to. */
#define MP_REF_MIN 3

/* The least array with runs. */
#define MP_RUN_MIN 32

#define MP_TEXT(x) #x
#define MP_LIMIT_TEXT(x) MP_TEXT(x)
#define MP_TOO_DEEP "it lies deeper than " MP_LIMIT_TEXT(MP_CODEC_MAX_DEPTH) " nested values; send a flat list"

int mp_codec_make_room(mp_codec_encoder *e, size_t n) {
  if (n > SIZE_MAX / 4) return MP_ENC_NOMEM;
  mp_heap_block *b = mp_codec_scratch_grow(e->block, e->len, e->len + n);
  if (!b) return MP_ENC_NOMEM;
  e->block = b;
  e->buf = b->bytes + b->used;
  e->cap = b->cap - b->used;
  return MP_ENC_OK;
}

static int put_integer(mp_codec_encoder *e, lua_Integer v) {
  unsigned char *p = mp_codec_room(e, 1 + sizeof v);
  if (!p) return MP_ENC_NOMEM;
  if (v >= MP_SMALL_MIN && v <= MP_SMALL_MAX) {
    *p = (unsigned char)(MP_TAG_SMALL + (v - MP_SMALL_MIN));
    e->len++;
    return MP_ENC_OK;
  }
  unsigned log2 = v == (int8_t)v ? 0 : v == (int16_t)v ? 1 : v == (int32_t)v ? 2 : 3;
  *p = (unsigned char)(MP_INT8 + log2);
  mp_codec_store(p + 1, (uint64_t)v, 1u << log2);
  e->len += 1 + ((size_t)1 << log2);
  return MP_ENC_OK;
}

static int put_float(mp_codec_encoder *e, lua_Number v) {
  unsigned char *p = mp_codec_room(e, 1 + sizeof v);
  if (!p) return MP_ENC_NOMEM;
  *p = MP_FLOAT;
  mp_codec_store64(p + 1, mp_codec_float_bits(v));
  e->len += 1 + sizeof v;
  return MP_ENC_OK;
}

int mp_codec_put_ref(mp_codec_encoder *e, const mp_codec_seen_entry *entry, enum mp_codec_tag tag) {
  unsigned char *p = mp_codec_room(e, 1 + MP_VARINT_MAX);
  if (!p) return MP_ENC_NOMEM;
  e->buf[entry->at] |= MP_SHARED;
  *p = (unsigned char)tag;
  e->len = (size_t)(mp_codec_put_varint(p + 1, entry->offset) - e->buf);
  return MP_ENC_OK;
}

int mp_codec_put_reference(mp_codec_encoder *e, int idx, const void *ptr, mp_codec_seen_entry **entry) {
  int found;
  *entry = mp_codec_seen_put(&e->seen, (uint64_t)(uintptr_t)ptr, MP_KIND_VALUE, &found);
  if (!*entry) return -MP_ENC_NOMEM;
  if (!found) {
    if (e->mode & MP_MODE_ANCHORED) mp_codec_anchor(e, idx);
    return 0;
  }
  if ((*entry)->offset == MP_SEEN_UNFINISHED)
    return -mp_codec_refuse(e, "what its __mproc_encode gives leads back to it; leave that out");
  int status = mp_codec_put_ref(e, *entry, MP_REF);
  return status ? -status : 1;
}

/* Records a piece of len bytes that stay where they are. */
static int add_iovec(mp_codec_encoder *e, const char *s, size_t len) {
  if (e->niovecs == e->iovecs_cap) {
    size_t cap = e->iovecs_cap ? 2 * e->iovecs_cap : 8;
    mp_shm_iovec *more = realloc(e->iovecs, cap * sizeof *more);
    if (!more) return MP_ENC_NOMEM;
    e->iovecs = more;
    e->iovecs_cap = cap;
  }
  e->iovecs[e->niovecs++] = (mp_shm_iovec){e->len, s, len};
  e->gathered += len;
  return MP_ENC_OK;
}

/* A long string: its bytes are not copied. */
static int put_gathered(mp_codec_encoder *e, int idx, const char *s, size_t len) {
  if (mp_codec_put_byte(e, MP_STRING) || mp_codec_put_number(e, len)) return MP_ENC_NOMEM;
  if (e->niovecs) e->used |= MP_MODE_PROTECTED;
  if (e->mode & MP_MODE_PROTECTED) {
    if (!(e->mode & MP_MODE_ANCHORED)) mp_codec_anchor(e, idx);
  } else if (e->anchored++) {
    return mp_codec_retry(e, MP_MODE_PROTECTED);
  } else {
    lua_copy(e->L, idx, e->anchor);
  }
  return add_iovec(e, s, len);
}

static int put_bytes(mp_codec_encoder *e, const char *s, size_t len) {
  unsigned char *p = mp_codec_room(e, 1 + MP_VARINT_MAX + len);
  if (!p) return MP_ENC_NOMEM;
  if (len < MP_SHORT) {
    *p++ = (unsigned char)(MP_TAG_SHORT + len);
  } else {
    *p++ = MP_STRING;
    p = mp_codec_put_varint(p, len);
  }
  memcpy(p, s, len);
  e->len = (size_t)(p - e->buf) + len;
  return MP_ENC_OK;
}

__attribute__((noinline)) static int put_string(mp_codec_encoder *e, int idx) {
  size_t len;
  const char *s = lua_tolstring(e->L, idx, &len);
  if (len >= MP_REF_MIN) {
    int found;
    mp_codec_seen_entry *entry = len >= MP_STRING_CACHE_MIN && len <= MP_STRING_CACHE_MAX
                                     ? mp_codec_string_cache_put(&e->string_cache, s, len, &found)
                                     : mp_codec_seen_put(&e->seen, (uint64_t)(uintptr_t)s, MP_KIND_VALUE, &found);
    if (!entry) return MP_ENC_NOMEM;
    if (found) return mp_codec_put_ref(e, entry, MP_REF);
    mp_codec_entry_here(e, entry);
    if (e->mode & MP_MODE_ANCHORED) mp_codec_anchor(e, idx);
  }
  if (len >= MP_CODEC_GATHER) return put_gathered(e, idx, s, len);
  return put_bytes(e, s, len);
}

static int put_typed(mp_codec_encoder *e, int idx, int type);

/* Encodes the n values from stack index `base` on, one by one. */
static int put_batch(mp_codec_encoder *e, mp_codec_frame *f, int base, int n, lua_Integer first, const int *types) {
  f->kind = MP_FRAME_ITEM;
  for (int i = 0; i < n; i++) {
    f->i = first + i;
    int status = put_typed(e, base + i, types[i]);
    if (status) return status;
  }
  return MP_ENC_OK;
}

/* The n items from `first` on, through Lua's API. */
static int put_fetched(mp_codec_encoder *e, mp_codec_frame *f, mp_codec_run *r, int idx, int top, lua_Integer first,
                       int n, int runs) {
  lua_State *L = e->L;
  int types[MP_BATCH];
  int numbers = runs;
  for (int j = 0; j < n; j++) {
    types[j] = lua_rawgeti(L, idx, first + j);
    numbers &= types[j] == LUA_TNUMBER;
  }
  int added = numbers ? mp_codec_run_add(e, r, top + 1, n) : 0;
  if (added < 0) return -added;
  if (!added) {
    mp_codec_run_close(e, r);
    int status = put_batch(e, f, top + 1, n, first, types);
    if (status) return status;
  }
  lua_settop(L, top);
  return MP_ENC_OK;
}

/* The items 1 to n of the table at idx, whose address is ptr and of which `ref_cache` lie in its array part. */
static int put_items(mp_codec_encoder *e, mp_codec_frame *f, int idx, int top, const void *ptr, lua_Integer n,
                     lua_Integer ref_cache) {
  mp_codec_run r = {0, 0, 0, 0, 0};
  int runs = n >= MP_RUN_MIN;
  for (lua_Integer i = 1; i <= n; i += MP_BATCH) {
    int k = n - i < MP_BATCH ? (int)(n - i) + 1 : MP_BATCH;
    int added = runs && i + k - 1 <= ref_cache ? mp_codec_run_add_near(e, &r, ptr, i, k) : 0;
    if (added < 0) return -added;
    if (added) continue;
    int status = put_fetched(e, f, &r, idx, top, i, k, runs);
    if (status) return status;
  }
  mp_codec_run_close(e, &r);
  return MP_ENC_OK;
}

/* Is the key one of the items 1 to n? */
static int is_item(lua_State *L, int key, lua_Integer n) {
  if (lua_type(L, key) != LUA_TNUMBER || !lua_isinteger(L, key)) return 0;
  lua_Integer i = lua_tointeger(L, key);
  return i >= 1 && i <= n;
}

static int put_pair(mp_codec_encoder *e, mp_codec_frame *f, int key) {
  f->key = key;
  f->kind = MP_FRAME_KEY;
  int status = mp_codec_put_value(e, key);
  if (status) return status;
  f->kind = MP_FRAME_FIELD;
  return mp_codec_put_value(e, key + 1);
}

/* Puts the number of pairs into the hint byte. */
static int put_hint(mp_codec_encoder *e, size_t hint, lua_Unsigned count) {
  if (count < MP_HINT_OPEN) {
    e->buf[hint] = (unsigned char)count;
    return MP_ENC_OK;
  }
  unsigned log2 = 0;
  while (count >> log2 > 1) log2++;
  e->buf[hint] = (unsigned char)(MP_HINT_OPEN + log2);
  return mp_codec_put_byte(e, MP_END);
}

/*
 * What the table at idx holds beside the items 1 to n. The stack slot `key` is
 * the first free one. The traversal starts behind item n, or with `skip`, when
 * not all items are in the array part, at the beginning.
 */
static int put_pairs(mp_codec_encoder *e, mp_codec_frame *f, int idx, int key, lua_Integer n, int skip, size_t hint) {
  lua_State *L = e->L;
  lua_Unsigned count = 0;
  if (n && !skip)
    lua_pushinteger(L, n);
  else
    lua_pushnil(L);
  while (lua_next(L, idx)) {
    if (!skip || !is_item(L, key, n)) {
      int status = put_pair(e, f, key);
      if (status) return status;
      count++;
    }
    lua_settop(L, key);
  }
  return put_hint(e, hint, count);
}

int mp_codec_put_table_body(mp_codec_encoder *e, int idx, const void *ptr) {
  lua_Unsigned n = lua_rawlen(e->L, idx);
  unsigned char *p = mp_codec_room(e, 2 + MP_VARINT_MAX);
  if (!p) return MP_ENC_NOMEM;
  *p = MP_TABLE;
  p = mp_codec_put_varint(p + 1, n);
  size_t hint = (size_t)(p - e->buf);
  e->len = hint + 1;
  mp_codec_frame f = {e->frame, MP_FRAME_ITEM, 0, 0};
  e->frame = &f;
  int top = lua_gettop(e->L);
  size_t ref_cache = mp_codec_array_part(ptr);
  int status = n ? put_items(e, &f, idx, top, ptr, (lua_Integer)n, (lua_Integer)ref_cache) : MP_ENC_OK;
  if (!status) status = put_pairs(e, &f, idx, top + 1, (lua_Integer)n, ref_cache < n, hint);
  e->frame = f.up;
  return status;
}

static int put_table(mp_codec_encoder *e, int idx) {
  lua_State *L = e->L;
  const void *ptr = lua_topointer(L, idx);
  mp_codec_seen_entry *entry;
  int there = mp_codec_put_reference(e, idx, ptr, &entry);
  if (there) return there > 0 ? MP_ENC_OK : -there;
  mp_codec_entry_here(e, entry);
  int has_metatable = lua_getmetatable(L, idx);
  if (!has_metatable && !mp_codec_names_perhaps(ptr)) return mp_codec_put_table_body(e, idx, ptr);
  lua_pop(L, has_metatable);
  if (!(e->mode & MP_MODE_PROTECTED)) return mp_codec_retry(e, MP_MODE_PROTECTED);
  return mp_codec_put_special_table(e, idx, entry);
}

/* One level down. Composite values only. Kept out of put_typed, whose way
 * through plain values needs few registers. */
__attribute__((noinline)) static int put_nested(mp_codec_encoder *e, int idx, int type) {
  if (e->depth >= MP_CODEC_MAX_DEPTH) return mp_codec_refuse(e, MP_TOO_DEEP);
  if (++e->depth % MP_LEVELS_PER_CHECK == 0 && !lua_checkstack(e->L, MP_LEVELS_SLOTS)) return MP_ENC_NOMEM;
  int status = type == LUA_TTABLE      ? put_table(e, idx)
               : type == LUA_TFUNCTION ? mp_codec_put_function(e, idx)
               : type == LUA_TUSERDATA ? mp_codec_put_userdata(e, idx)
                                       : mp_codec_put_other(e, idx);
  e->depth--;
  return status;
}

static int put_typed(mp_codec_encoder *e, int idx, int type) {
  lua_State *L = e->L;
  switch (type) {
    case LUA_TNIL:
      return mp_codec_put_byte(e, MP_NIL);
    case LUA_TBOOLEAN:
      return mp_codec_put_byte(e, lua_toboolean(L, idx) ? MP_TRUE : MP_FALSE);
    case LUA_TNUMBER:
      if (lua_isinteger(L, idx)) return put_integer(e, lua_tointeger(L, idx));
      return put_float(e, lua_tonumber(L, idx));
    case LUA_TSTRING:
      return put_string(e, idx);
    default:
      return put_nested(e, idx, type);
  }
}

int mp_codec_put_value(mp_codec_encoder *e, int idx) { return put_typed(e, idx, lua_type(e->L, idx)); }

int mp_codec_put_values(mp_codec_encoder *e, int idx, int n) {
  int status = mp_codec_put_byte(e, e->many ? MP_FORMAT_MANY : MP_FORMAT_ONE);
  if (!e->many) return status ? status : mp_codec_put_value(e, idx);
  if (!status) status = mp_codec_put_number(e, (uint64_t)n);
  mp_codec_frame f = {NULL, MP_FRAME_ITEM, 0, 0};
  e->frame = &f;
  for (int i = 0; i < n && !status; i++) {
    f.i = i + 1;
    status = mp_codec_put_value(e, idx + i);
  }
  e->frame = NULL;
  return status;
}
