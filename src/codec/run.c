/* SPDX-License-Identifier: MIT */
/* See run.h. */
#include "run.h"

#include <string.h>

#include "lua_layout.h"

/* Beyond this a float has no fraction that an integer could lack. */
#define MP_FLOAT_EXACT 9007199254740992.0

static const size_t run_header = 1 + MP_COUNT_BYTES;

/* Narrows the integers of a finished run, in place, to `width` bytes. In line: once for each width. */
__attribute__((always_inline)) static inline void run_narrow(mp_codec_encoder *e, const mp_codec_run *r,
                                                             unsigned width) {
  unsigned char *from = e->buf + r->at + run_header;
  unsigned char *to = from;
  for (uint64_t i = 0; i < r->count; i++, from += 8, to += width) {
    uint64_t v = mp_codec_load64(from);
    mp_codec_store(to, v, width);
  }
  e->len = (size_t)(to - e->buf);
}

void mp_codec_run_close(mp_codec_encoder *e, mp_codec_run *r) {
  if (!r->tag) return;
  unsigned tag = (unsigned)r->tag;
  if (tag == MP_RUN_INT64) {
    unsigned log2 = r->min >= INT8_MIN && r->max <= INT8_MAX     ? 0
                    : r->min >= INT16_MIN && r->max <= INT16_MAX ? 1
                    : r->min >= INT32_MIN && r->max <= INT32_MAX ? 2
                                                                 : 3;
    tag = MP_RUN_INT8 + log2;
    if (log2 == 0) run_narrow(e, r, 1);
    if (log2 == 1) run_narrow(e, r, 2);
    if (log2 == 2) run_narrow(e, r, 4);
  }
  e->buf[r->at] = (unsigned char)tag;
  mp_codec_store64(e->buf + r->at + 1, r->count);
  r->tag = 0;
}

static int run_begin(mp_codec_encoder *e, mp_codec_run *r, int tag) {
  if (r->tag == tag) return MP_ENC_OK;
  mp_codec_run_close(e, r);
  if (!mp_codec_room(e, run_header)) return MP_ENC_NOMEM;
  *r = (mp_codec_run){tag, e->len, 0, LUA_MAXINTEGER, LUA_MININTEGER};
  e->len += run_header;
  return MP_ENC_OK;
}

/* Writes the n floats from stack index `base` on at p; 0 when one is none. */
static int store_floats(lua_State *L, int base, int n, unsigned char *p) {
  for (int i = 0; i < n; i++, p += 8) {
    lua_Number v = lua_tonumber(L, base + i);
    int fraction = v > -MP_FLOAT_EXACT && v < MP_FLOAT_EXACT && v != (lua_Number)(lua_Integer)v;
    if (!fraction && lua_isinteger(L, base + i)) return 0;
    mp_codec_store64(p, mp_codec_float_bits(v));
  }
  return 1;
}

/* Writes the n integers from stack index `base` on at p; 0 when one is none. */
static int store_integers(lua_State *L, int base, int n, unsigned char *p, mp_codec_run *r) {
  lua_Integer min = r->min, max = r->max;
  for (int i = 0; i < n; i++, p += 8) {
    if (!lua_isinteger(L, base + i)) return 0;
    lua_Integer v = lua_tointeger(L, base + i);
    min = v < min ? v : min;
    max = v > max ? v : max;
    mp_codec_store64(p, (uint64_t)v);
  }
  r->min = min;
  r->max = max;
  return 1;
}

/* Opens a run, or goes on with one of the same tag: the place for n numbers, or NULL. */
static unsigned char *run_room(mp_codec_encoder *e, mp_codec_run *r, int tag, int n) {
  if (run_begin(e, r, tag)) return NULL;
  return mp_codec_room(e, 8 * (size_t)n);
}

static int run_added(mp_codec_encoder *e, mp_codec_run *r, int n) {
  e->len += 8 * (size_t)n;
  r->count += (uint64_t)n;
  return 1;
}

int mp_codec_run_add(mp_codec_encoder *e, mp_codec_run *r, int base, int n) {
  int tag = lua_isinteger(e->L, base) ? MP_RUN_INT64 : MP_RUN_FLOAT;
  unsigned char *p = run_room(e, r, tag, n);
  if (!p) return -MP_ENC_NOMEM;
  int same = tag == MP_RUN_FLOAT ? store_floats(e->L, base, n, p) : store_integers(e->L, base, n, p, r);
  if (same) return run_added(e, r, n);
  if (r->count) {
    mp_codec_run_close(e, r);
  } else {
    e->len = r->at;
    r->tag = 0;
  }
  return 0;
}

/* Are all the n items of one kind? */
static int are_kind(const unsigned char *item, int n, unsigned char kind) {
  for (int i = 0; i < n; i++, item += mp_codec_lua_layout.stride) {
    if (item[mp_codec_lua_layout.kind_at] != kind) return 0;
  }
  return 1;
}

static void copy_floats(const unsigned char *item, int n, unsigned char *p) {
  for (int i = 0; i < n; i++, item += mp_codec_lua_layout.stride, p += 8) {
    lua_Number v;
    memcpy(&v, item, sizeof v);
    mp_codec_store64(p, mp_codec_float_bits(v));
  }
}

static void copy_integers(const unsigned char *item, int n, unsigned char *p, mp_codec_run *r) {
  lua_Integer min = r->min, max = r->max;
  for (int i = 0; i < n; i++, item += mp_codec_lua_layout.stride, p += 8) {
    lua_Integer v;
    memcpy(&v, item, sizeof v);
    min = v < min ? v : min;
    max = v > max ? v : max;
    mp_codec_store64(p, (uint64_t)v);
  }
  r->min = min;
  r->max = max;
}

int mp_codec_run_add_near(mp_codec_encoder *e, mp_codec_run *r, const void *table, lua_Integer first, int n) {
  const unsigned char *item = mp_codec_lua_layout_items(table);
  if (!item) return 0;
  item += (size_t)(first - 1) * mp_codec_lua_layout.stride;
  unsigned char kind = item[mp_codec_lua_layout.kind_at];
  if ((kind != mp_codec_lua_layout.integer && kind != mp_codec_lua_layout.floating) || !are_kind(item, n, kind))
    return 0;
  int tag = kind == mp_codec_lua_layout.integer ? MP_RUN_INT64 : MP_RUN_FLOAT;
  unsigned char *p = run_room(e, r, tag, n);
  if (!p) return -MP_ENC_NOMEM;
  if (tag == MP_RUN_FLOAT)
    copy_floats(item, n, p);
  else
    copy_integers(item, n, p, r);
  return run_added(e, r, n);
}
