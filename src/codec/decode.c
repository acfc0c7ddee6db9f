/* SPDX-License-Identifier: MIT */
/*
 * Decoding. The bytes are not trusted: each is read once, each length is
 * compared with what remains, and no table is made larger than the bytes of the
 * whole message could fill. What is more than plain data is in decode_object.c.
 */
#include "decoder.h"

#include <lauxlib.h>

#include "gc_credit.h"

/* Lua stack slots that one level needs, and how many levels share a check. */
#define MP_LEVEL_SLOTS 12
#define MP_LEVELS_PER_CHECK 4

/* A table is made with room for no more; it grows while it is filled. */
#define MP_PRESIZE_MAX (1 << 26)

/* Strings up to this length are copied before Lua sees them: it reads short
 * ones twice, and the bytes may change. */
#define MP_COPY_MAX 64

static const char truncated[] = "it is cut off";

int mp_codec_decode_fail(mp_codec_decoder *d, const char *why) {
  d->why = why;
  return -1;
}

int mp_codec_decode_long_number(mp_codec_decoder *d, uint64_t *v) {
  *v = 0;
  for (unsigned shift = 0; shift < 64 && d->p < d->end; shift += 7) {
    uint64_t byte = mp_codec_take(d);
    *v |= (byte & 0x7F) << shift;
    if (shift == 63 && byte > 1) break;
    if (byte < 0x80) return 0;
  }
  return mp_codec_decode_fail(d, d->p < d->end ? "a number is too long" : truncated);
}

int mp_codec_decode_count(mp_codec_decoder *d, uint64_t *v) {
  unsigned char bytes[MP_COUNT_BYTES];
  if (mp_codec_left(d) < sizeof bytes) return mp_codec_decode_fail(d, truncated);
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)mp_codec_take(d);
  *v = mp_codec_load64(bytes);
  return 0;
}

/* Kept out of the ways through other values, which need fewer registers and less stack. */
__attribute__((noinline)) static int push_string(mp_codec_decoder *d, uint64_t len) {
  if (len > mp_codec_left(d)) return mp_codec_decode_fail(d, truncated);
  size_t n = (size_t)len;
  const char *s = (const char *)d->p;
  char copy[MP_COPY_MAX];
  if (n <= sizeof copy) s = memcpy(copy, s, n);
  d->p += n;
  lua_pushlstring(d->L, s, n);
  return 0;
}

static int decode_string(mp_codec_decoder *d) {
  uint64_t len;
  return mp_codec_decode_number(d, &len) ? -1 : push_string(d, len);
}

static int decode_integer(mp_codec_decoder *d, unsigned width) {
  if (mp_codec_left(d) < width) return mp_codec_decode_fail(d, truncated);
  lua_pushinteger(d->L, mp_codec_load(d->p, width));
  d->p += width;
  return 0;
}

static int decode_float(mp_codec_decoder *d) {
  if (mp_codec_left(d) < sizeof(lua_Number)) return mp_codec_decode_fail(d, truncated);
  lua_pushnumber(d->L, mp_codec_bits_float(mp_codec_load64(d->p)));
  d->p += sizeof(lua_Number);
  return 0;
}

/* Keeps the value at the top on the stack, when there is room and nothing else at its place. */
static int keep_near(mp_codec_decoder *d, lua_Integer key) {
  mp_codec_ref_cache *ref_cache = d->ref_cache;
  if (!ref_cache || ref_cache->count == MP_REF_CACHE || key < 0 || lua_isnil(d->L, -1)) return 0;
  unsigned char *at = &ref_cache->at[key % MP_REF_CACHE_PLACES];
  if (*at) return 0;
  ref_cache->offset[ref_cache->count] = (size_t)key;
  *at = (unsigned char)++ref_cache->count;
  lua_copy(d->L, -1, d->refs + *at);
  return 1;
}

void mp_codec_decode_remember(mp_codec_decoder *d, lua_Integer key) {
  lua_State *L = d->L;
  if (keep_near(d, key)) return;
  if (!d->has_refs) {
    lua_createtable(L, 0, 8);
    lua_replace(L, d->refs);
    d->has_refs = 1;
  }
  lua_pushvalue(L, -1);
  lua_rawseti(L, d->refs, key);
}

/* Pushes the value if it is on the stack. */
static int recall_near(mp_codec_decoder *d, lua_Integer key) {
  unsigned i = d->ref_cache && key >= 0 ? d->ref_cache->at[key % MP_REF_CACHE_PLACES] : 0;
  if (!i || d->ref_cache->offset[i - 1] != (size_t)key) return 0;
  lua_pushvalue(d->L, d->refs + (int)i);
  return 1;
}

int mp_codec_decode_recall(mp_codec_decoder *d, lua_Integer key) {
  if (recall_near(d, key)) return lua_type(d->L, -1);
  if (d->has_refs) return lua_rawgeti(d->L, d->refs, key);
  lua_pushnil(d->L);
  return LUA_TNIL;
}

/* Kept out of the ways through other values, as push_string is. */
__attribute__((noinline)) static int decode_ref(mp_codec_decoder *d) {
  lua_Integer offset;
  if (mp_codec_decode_offset(d, &offset)) return -1;
  if (mp_codec_decode_recall(d, offset) != LUA_TNIL) return 0;
  return mp_codec_decode_fail(d, "a reference leads nowhere");
}

/* Takes `count` things of at least one byte from what the message can hold. */
static int spend(mp_codec_decoder *d, uint64_t count) {
  if (count > d->budget) return mp_codec_decode_fail(d, "a table is larger than the message");
  d->budget -= (size_t)count;
  return 0;
}

static int presize(uint64_t n) { return n < MP_PRESIZE_MAX ? (int)n : MP_PRESIZE_MAX; }

/* Makes the table for the header that is read here. *pairs: their number, or -1
 * when END comes after them. */
static int decode_header(mp_codec_decoder *d, uint64_t *items, int *pairs) {
  if (mp_codec_decode_number(d, items)) return -1;
  if (d->p == d->end) return mp_codec_decode_fail(d, truncated);
  unsigned hint = mp_codec_take(d);
  uint64_t room = hint;
  *pairs = (int)hint;
  if (hint >= MP_HINT_OPEN) {
    *pairs = -1;
    room = (uint64_t)1 << ((hint - MP_HINT_OPEN) & 63);
    room = room <= d->budget / 2 ? room : d->budget / 2;
  }
  if (spend(d, *items) || spend(d, 2 * room)) return -1;
  lua_createtable(d->L, presize(*items), presize(room));
  return 0;
}

/* The number of elements of a run, which may be `most`; -1 when it lies. */
static int decode_run_count(mp_codec_decoder *d, unsigned width, uint64_t most, uint64_t *count) {
  if (mp_codec_decode_count(d, count)) return -1;
  if (*count > most || *count == 0 || *count > mp_codec_left(d) / width)
    return mp_codec_decode_fail(d, "a run is longer than its table or than the message");
  return 0;
}

static void fill_floats(mp_codec_decoder *d, lua_Integer first, uint64_t count) {
  lua_State *L = d->L;
  const unsigned char *p = d->p;
  for (uint64_t i = 0; i < count; i++, p += sizeof(lua_Number)) {
    lua_pushnumber(L, mp_codec_bits_float(mp_codec_load64(p)));
    lua_rawseti(L, -2, first + (lua_Integer)i);
  }
  d->p = p;
}

/* In line: once for each width. */
__attribute__((always_inline)) static inline void fill_width(mp_codec_decoder *d, lua_Integer first, uint64_t count,
                                                             unsigned width) {
  lua_State *L = d->L;
  const unsigned char *p = d->p;
  for (uint64_t i = 0; i < count; i++, p += width) {
    lua_pushinteger(L, mp_codec_load(p, width));
    lua_rawseti(L, -2, first + (lua_Integer)i);
  }
  d->p = p;
}

static void fill_integers(mp_codec_decoder *d, lua_Integer first, uint64_t count, unsigned width) {
  switch (width) {
    case 1:
      fill_width(d, first, count, 1);
      break;
    case 2:
      fill_width(d, first, count, 2);
      break;
    case 4:
      fill_width(d, first, count, 4);
      break;
    default:
      fill_width(d, first, count, 8);
  }
}

/* Puts the run whose tag was read into the table at the top from index `first`
 * on. Returns its length, or 0. */
static uint64_t decode_run(mp_codec_decoder *d, unsigned tag, uint64_t first, uint64_t items) {
  unsigned width = tag == MP_RUN_FLOAT ? (unsigned)sizeof(lua_Number) : 1u << (tag - MP_RUN_INT8);
  uint64_t count;
  if (decode_run_count(d, width, items - first + 1, &count)) return 0;
  if (tag == MP_RUN_FLOAT)
    fill_floats(d, (lua_Integer)first, count);
  else
    fill_integers(d, (lua_Integer)first, count, width);
  return count;
}

static int decode_items(mp_codec_decoder *d, uint64_t items) {
  for (uint64_t i = 1; i <= items;) {
    unsigned tag = d->p < d->end ? mp_codec_peek(d) : MP_END;
    if (tag >= MP_RUN_INT8 && tag <= MP_RUN_FLOAT) {
      d->p++;
      uint64_t count = decode_run(d, tag, i, items);
      if (!count) return -1;
      i += count;
    } else {
      if (mp_codec_decode_value(d)) return -1;
      lua_rawseti(d->L, -2, (lua_Integer)i++);
    }
  }
  return 0;
}

static int is_nan(lua_Number n) { return n != n; }

/* Decodes a key: neither nil nor NaN. */
static int decode_key(mp_codec_decoder *d) {
  unsigned tag;
  if (mp_codec_decode_tag(d, &tag) || mp_codec_decode_rest(d, tag)) return -1;
  if (tag >= MP_TAG_SHORT) return 0;
  int type = lua_type(d->L, -1);
  if (type == LUA_TNIL || (type == LUA_TNUMBER && is_nan(lua_tonumber(d->L, -1))))
    return mp_codec_decode_fail(d, "a table has a key that cannot be");
  return 0;
}

static int decode_pair(mp_codec_decoder *d) {
  if (decode_key(d) || mp_codec_decode_value(d)) return -1;
  lua_rawset(d->L, -3);
  return 0;
}

static int decode_pairs(mp_codec_decoder *d, int pairs) {
  for (; pairs > 0; pairs--) {
    if (decode_pair(d)) return -1;
  }
  while (pairs < 0 && d->p < d->end && mp_codec_peek(d) != MP_END) {
    if (decode_pair(d)) return -1;
  }
  if (pairs == 0) return 0;
  if (d->p == d->end) return mp_codec_decode_fail(d, truncated);
  d->p++;
  return 0;
}

int mp_codec_decode_descend(mp_codec_decoder *d) {
  if (d->depth >= MP_CODEC_MAX_DEPTH) return mp_codec_decode_fail(d, "it is nested too deep");
  if (d->depth % MP_LEVELS_PER_CHECK == 0 && !lua_checkstack(d->L, MP_LEVEL_SLOTS * MP_LEVELS_PER_CHECK))
    return mp_codec_decode_fail(d, "there is no stack left for it");
  d->depth++;
  return 0;
}

int mp_codec_decode_table(mp_codec_decoder *d, int shared, size_t offset) {
  uint64_t items;
  int pairs;
  if (mp_codec_decode_descend(d) || decode_header(d, &items, &pairs)) return -1;
  if (shared) mp_codec_decode_remember(d, (lua_Integer)offset);
  if (decode_items(d, items) || decode_pairs(d, pairs)) return -1;
  d->depth--;
  return 0;
}

/* What follows a tag below MP_TAG_SHORT; the tag is at `offset`. */
__attribute__((noinline)) static int decode_tagged(mp_codec_decoder *d, unsigned tag, size_t offset) {
  int shared = tag & MP_SHARED;
  switch (tag & MP_TAG_MASK) {
    case MP_NIL:
      lua_pushnil(d->L);
      return 0;
    case MP_FALSE:
    case MP_TRUE:
      lua_pushboolean(d->L, (tag & MP_TAG_MASK) == MP_TRUE);
      return 0;
    case MP_INT8:
    case MP_INT16:
    case MP_INT32:
    case MP_INT64:
      return decode_integer(d, 1u << ((tag & MP_TAG_MASK) - MP_INT8));
    case MP_FLOAT:
      return decode_float(d);
    case MP_TABLE:
      return mp_codec_decode_table(d, shared, offset);
    case MP_STRING:
      if (decode_string(d)) return -1;
      break;
    default:
      return mp_codec_decode_object(d, tag, offset);
  }
  if (shared) mp_codec_decode_remember(d, (lua_Integer)offset);
  return 0;
}

int mp_codec_decode_tag(mp_codec_decoder *d, unsigned *tag) {
  if (d->p >= d->end) return mp_codec_decode_fail(d, truncated);
  *tag = mp_codec_take(d);
  return 0;
}

int mp_codec_decode_rest(mp_codec_decoder *d, unsigned tag) {
  size_t offset = (size_t)(d->p - d->start) - 1;
  if (tag >= MP_TAG_SMALL) {
    lua_pushinteger(d->L, (lua_Integer)tag - MP_TAG_SMALL + MP_SMALL_MIN);
    return 0;
  }
  if (tag < MP_TAG_SHORT) return tag == MP_REF ? decode_ref(d) : decode_tagged(d, tag, offset);
  if (push_string(d, tag & (MP_SHORT - 1))) return -1;
  if (tag & MP_SHARED) mp_codec_decode_remember(d, (lua_Integer)offset);
  return 0;
}

int mp_codec_decode_value(mp_codec_decoder *d) {
  unsigned tag;
  return mp_codec_decode_tag(d, &tag) ? -1 : mp_codec_decode_rest(d, tag);
}

/* Decodes the values behind the first byte. Their number, or -1. */
static int decode_values(mp_codec_decoder *d, unsigned format) {
  uint64_t n = 1;
  if (format == MP_FORMAT_MANY && (mp_codec_decode_number(d, &n) || spend(d, n))) return -1;
  if (n > INT_MAX / 2 || !lua_checkstack(d->L, (int)n + MP_LEVEL_SLOTS))
    return mp_codec_decode_fail(d, "it has more values than a call can return");
  for (uint64_t i = 0; i < n; i++) {
    if (mp_codec_decode_value(d)) return -1;
  }
  if (d->p != d->end) return mp_codec_decode_fail(d, "bytes follow its end");
  return (int)n;
}

static int decode_message(mp_codec_decoder *d) {
  if (d->p == d->end) return mp_codec_decode_fail(d, "it is empty");
  unsigned format = mp_codec_take(d);
  if (format == MP_FORMAT_ONE || format == MP_FORMAT_MANY) return decode_values(d, format);
  lua_pushfstring(d->L, "it begins with byte %d, no version that is known here", (int)format);
  return mp_codec_decode_fail(d, lua_tostring(d->L, -1));
}

const void *mp_codec_whole_string(const void *bytes, size_t n, size_t *len) {
  const unsigned char *p = bytes;
  if (n < 2 || p[0] != MP_FORMAT_ONE) return NULL;
  unsigned tag = p[1];
  if (tag - MP_TAG_SHORT < MP_SHORT) {
    *len = tag - MP_TAG_SHORT;
    return n == 2 + *len ? p + 2 : NULL;
  }
  if (tag != MP_STRING) return NULL;
  uint64_t v = 0;
  size_t at = 2;
  unsigned byte = 0x80;
  for (unsigned shift = 0; byte >= 0x80 && at < n && shift < 63; shift += 7) {
    byte = p[at++];
    v |= (uint64_t)(byte & 0x7f) << shift;
  }
  *len = (size_t)v;
  return byte < 0x80 && v == n - at ? p + at : NULL;
}

bool mp_codec_whole_object(const void *bytes, size_t n, uint64_t *handle) {
  const unsigned char *p = bytes;
  if (n != 2 + sizeof *handle || p[0] != MP_FORMAT_ONE || p[1] != MP_OBJECT) return false;
  *handle = mp_codec_load64(p + 2);
  return true;
}

static mp_codec_ref_cache *open_ref_cache(mp_codec_ref_cache *ref_cache) {
  ref_cache->count = 0;
  memset(ref_cache->at, 0, sizeof ref_cache->at);
  return ref_cache;
}

/* Takes what lies between the index `refs` and the `count` values at the top from under them. */
static void drop_refs(lua_State *L, int refs, int count) {
  if (count == 1)
    lua_replace(L, refs);
  else
    lua_rotate(L, refs, count);
  lua_settop(L, refs + count - 1);
}

/* Pushes the place of references, and decodes above it. */
static int decode_above(mp_codec_decoder *d, size_t n) {
  mp_codec_ref_cache ref_cache;
  d->refs = lua_gettop(d->L) + 1;
  if (n >= MP_REF_CACHE_BYTES) d->ref_cache = open_ref_cache(&ref_cache);
  lua_settop(d->L, d->ref_cache ? d->refs + MP_REF_CACHE : d->refs);
  return decode_message(d);
}

int mp_codec_decode(lua_State *L, const void *p, size_t n, unsigned flags) {
  size_t len;
  const char *s = mp_codec_whole_string(p, n, &len);
  luaL_checkstack(L, MP_LEVEL_SLOTS + 1 + MP_REF_CACHE, NULL);
  if (s) {
    lua_pushlstring(L, s, len);
    return 1;
  }
  mp_codec_gc_credit hold = mp_codec_gc_credit_begin(L, n);
  mp_codec_decoder d = {.L = L, .p = p, .start = p, .end = (const unsigned char *)p + n, .budget = n, .flags = flags};
  int count = decode_above(&d, n);
  mp_codec_gc_credit_end(L, hold);
  if (count < 0) {
    lua_pushfstring(L, "not an mproc message: %s (at byte %I)", d.why, (LUAI_UACINT)(d.p - d.start));
    lua_replace(L, d.refs);
    lua_settop(L, d.refs);
    return -1;
  }
  drop_refs(L, d.refs, count);
  return count;
}

int mp_codec_decode_scalar(lua_State *L, const void *p, size_t n) {
  const unsigned char *bytes = p;
  if (n < 2 || bytes[0] != MP_FORMAT_ONE) return 0;
  unsigned tag = bytes[1];
  bytes += 2;
  n -= 2;
  if (tag >= MP_TAG_SMALL && n == 0)
    lua_pushinteger(L, (lua_Integer)tag - MP_TAG_SMALL + MP_SMALL_MIN);
  else if (tag >= MP_INT8 && tag <= MP_INT64 && n == 1u << (tag - MP_INT8))
    lua_pushinteger(L, mp_codec_load(bytes, (unsigned)n));
  else if (tag == MP_FLOAT && n == sizeof(lua_Number))
    lua_pushnumber(L, mp_codec_bits_float(mp_codec_load64(bytes)));
  else if (tag == MP_NIL && n == 0)
    lua_pushnil(L);
  else if ((tag == MP_FALSE || tag == MP_TRUE) && n == 0)
    lua_pushboolean(L, tag == MP_TRUE);
  else
    return 0;
  return 1;
}
