/* SPDX-License-Identifier: MIT */
/*
 * The encoder's entry points: messages that need no scratch, the passes of
 * those that do (encoder.h), and release.
 */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "array_part.h"
#include "encoder.h"
#include "lua_layout.h"
#include "names.h"

/* Room that a message begins with. */
#define MP_FIRST_ROOM 256

/* Lua stack slots that the entry points use beside the values. */
#define MP_ENTRY_SLOTS (MP_LEVELS_SLOTS + 16)

/* Strings shorter than this are copied into the message itself. */
#define MP_INLINE (MP_CODEC_SMALL - 1 - 1 - MP_VARINT_MAX)

static mp_codec_encoder *pool; /* encoders that are not in use */

/* What the last message needed: the next is likely to be of its kind. */
static unsigned usual_mode;

static mp_codec_encoder *encoder_take(lua_State *L, const char *what) {
  mp_codec_encoder *e = pool;
  if (e)
    pool = e->next;
  else if (!(e = calloc(1, sizeof *e)))
    return NULL;
  e->L = L;
  e->what = what;
  e->parts = 0;
  e->abroad = false;
  e->block = NULL;
  return e;
}

static void encoder_give(mp_codec_encoder *e) {
  mp_codec_seen_trim(&e->seen);
  e->next = pool;
  pool = e;
}

/* Begins a pass with an empty message. */
static int begin(mp_codec_encoder *e) {
  if (!e->block && !(e->block = mp_codec_scratch_open(MP_FIRST_ROOM))) return MP_ENC_NOMEM;
  e->buf = e->block->bytes + e->block->used;
  e->cap = e->block->cap - e->block->used;
  e->len = 0;
  mp_codec_seen_clear(&e->seen);
  mp_codec_string_cache_clear(&e->string_cache);
  e->niovecs = e->gathered = e->nhandles = 0;
  e->code = false;
  e->anchored = e->depth = 0;
  e->frame = NULL;
  e->want = e->used = 0;
  return MP_ENC_OK;
}

/* Cuts the scratch at the gathered strings: 2 * npieces + 1 pieces at most. */
static size_t cut(const mp_codec_encoder *e, mp_codec_iov *iov) {
  size_t n = 0;
  size_t at = 0;
  for (size_t i = 0; i < e->niovecs; i++) {
    const mp_shm_iovec *iovec = &e->iovecs[i];
    if (iovec->at > at) iov[n++] = (mp_codec_iov){e->buf + at, iovec->at - at};
    iov[n++] = (mp_codec_iov){iovec->base, iovec->len};
    at = iovec->at;
  }
  if (e->len > at) iov[n++] = (mp_codec_iov){e->buf + at, e->len - at};
  return n;
}

/* Lays the lists of pieces and handles behind the bytes of the message. */
static int add_lists(mp_codec_encoder *e, mp_codec_message *m) {
  size_t bytes = e->len;
  size_t iovecs = e->niovecs ? 2 * e->niovecs + 1 : 0;
  size_t align = -(e->block->used + bytes) % sizeof(mp_codec_iov);
  if (!mp_codec_room(e, align + iovecs * sizeof(mp_codec_iov) + e->nhandles * sizeof(uint64_t))) return MP_ENC_NOMEM;
  mp_codec_iov *iov = iovecs ? (mp_codec_iov *)(void *)(e->buf + bytes + align) : m->own;
  m->iov = iov;
  m->niov = cut(e, iov);
  e->len += align + iovecs * sizeof(mp_codec_iov);
  if (e->nhandles) {
    m->handles = memcpy(e->buf + e->len, e->handles, e->nhandles * sizeof(uint64_t));
    m->nhandles = (uint32_t)e->nhandles;
    e->len += e->nhandles * sizeof(uint64_t);
  }
  return MP_ENC_OK;
}

/* Hands the message over. */
static int finish(mp_codec_encoder *e, mp_codec_message *m) {
  m->len = e->len + e->gathered;
  m->code = e->code;
  m->own[0] = (mp_codec_iov){e->buf, e->len};
  m->iov = m->own;
  m->niov = 1;
  if ((e->niovecs || e->nhandles) && add_lists(e, m)) return MP_ENC_NOMEM;
  m->block = e->block;
  m->start = e->block->used;
  m->end = m->start + e->len;
  mp_codec_scratch_close(e->block, m->end);
  return MP_ENC_OK;
}

/* Prepares the names for a protected pass. Raises for memory. */
static void prepare(mp_codec_encoder *e) {
  mp_codec_open(e->L);
  mp_codec_names_refresh(e->L);
  if (e->mode & MP_MODE_REBUILT) mp_codec_names_rebuild(e->L);
}

/* "cannot send " path ": " reason, from the two strings at the top. */
static void join_reason(lua_State *L) {
  const char *path = lua_tostring(L, -2);
  const char *reason = lua_tostring(L, -1);
  lua_pushfstring(L, "cannot send %s: %s", path, reason);
}

/* The argument of protected_pass, and what it says beside its results. */
typedef struct pass {
  mp_codec_encoder *e;
  int status;
} pass;

/* (pass, values …) -> anchor | message | path, reason | error value */
static int protected_pass(lua_State *L) {
  pass *p = lua_touserdata(L, 1);
  mp_codec_encoder *e = p->e;
  int n = lua_gettop(L) - 1;
  luaL_checkstack(L, MP_ENTRY_SLOTS, NULL);
  prepare(e);
  lua_newtable(L);
  e->anchor = lua_gettop(L);
  p->status = mp_codec_put_values(e, 2, n);
  if (p->status == MP_ENC_FAIL && !e->parts) join_reason(L);
  if (p->status == MP_ENC_OK) lua_settop(L, e->anchor);
  return p->status == MP_ENC_FAIL && e->parts ? 2 : 1;
}

/* Runs a protected pass; leaves what it returned on the stack, unless it is to
 * be tried again. */
static int run_protected(mp_codec_encoder *e, int idx, int n) {
  lua_State *L = e->L;
  pass p = {e, MP_ENC_RAISED};
  int top = lua_gettop(L);
  if (!lua_checkstack(L, n + MP_ENTRY_SLOTS)) return MP_ENC_NOMEM;
  lua_pushcfunction(L, protected_pass);
  lua_pushlightuserdata(L, &p);
  for (int i = 0; i < n; i++) lua_pushvalue(L, idx + i);
  if (lua_pcall(L, n + 1, LUA_MULTRET, 0)) return MP_ENC_RAISED;
  if (p.status == MP_ENC_RETRY || p.status == MP_ENC_NOMEM) lua_settop(L, top);
  return p.status;
}

/* Runs a pass without pcall; leaves the anchor on the stack, or nothing. */
static int run_plain(mp_codec_encoder *e, int idx, int n) {
  lua_State *L = e->L;
  if (mp_codec_names_behind(L)) return mp_codec_retry(e, MP_MODE_PROTECTED);
  lua_pushnil(L);
  e->anchor = lua_gettop(L);
  int status = mp_codec_put_values(e, idx, n);
  if (status) lua_settop(L, e->anchor - 1);
  return status;
}

static int run_passes(mp_codec_encoder *e, int idx, int n) {
  int status;
  e->mode = usual_mode;
  do {
    if (begin(e)) return MP_ENC_NOMEM;
    status = e->mode ? run_protected(e, idx, n) : run_plain(e, idx, n);
    e->mode |= MP_MODE_PROTECTED | e->want;
  } while (status == MP_ENC_RETRY);
  usual_mode = e->used;
  return status;
}

/* Encodes with scratch. MP_ENC_OK: anchor pushed; NOMEM: nothing is; else what
 * the pass gave is. */
static int encode(mp_codec_encoder *e, int idx, int n, mp_codec_message *m) {
  if (!lua_checkstack(e->L, n + MP_ENTRY_SLOTS)) return MP_ENC_NOMEM;
  int status = run_passes(e, idx, n);
  if (!status && finish(e, m)) {
    lua_pop(e->L, 1);
    status = MP_ENC_NOMEM;
  }
  if (status && e->block) mp_codec_scratch_abort(e->block);
  return status;
}

static bool refused; /* the last encode that failed had a value that cannot travel */

bool mp_codec_refused(void) { return refused; }

enum { ONE, MANY, ABROAD }; /* of encode_composite: flags */

static int encode_composite(lua_State *L, int idx, int n, int how, const char *what, mp_codec_message *m) {
  int status = MP_ENC_NOMEM;
  mp_codec_encoder *e = encoder_take(L, what);
  if (e) {
    e->many = how & MANY;
    e->abroad = how & ABROAD;
    status = encode(e, idx < 0 ? lua_absindex(L, idx) : idx, n, m);
    encoder_give(e);
  }
  if (status == MP_ENC_NOMEM) lua_pushliteral(L, "not enough memory");
  if (status) refused = status == MP_ENC_FAIL;
  return status ? -1 : 0;
}

int mp_codec_unsendable(lua_State *L, int idx, const char *what) {
  mp_codec_message m = {.block = NULL};
  int status = MP_ENC_NOMEM;
  mp_codec_encoder *e = encoder_take(L, what);
  if (e) {
    e->many = 0;
    e->parts = 1;
    status = encode(e, lua_absindex(L, idx), 1, &m);
    encoder_give(e);
  }
  switch (status) {
    case MP_ENC_OK:
      mp_codec_release(L, &m);
      lua_pop(L, 1);
      return 0;
    case MP_ENC_FAIL:
      return 1;
    case MP_ENC_NOMEM:
      return luaL_error(L, "not enough memory");
    default:
      return lua_error(L);
  }
}

/* Hands over n bytes that lie in m->small. */
static int finish_small(lua_State *L, mp_codec_message *m, size_t n) {
  m->own[0] = (mp_codec_iov){m->small, n};
  m->iov = m->own;
  m->niov = 1;
  m->len = n;
  lua_pushnil(L);
  return 0;
}

static size_t encode_integer(lua_Integer v, unsigned char *to) {
  to[0] = MP_FORMAT_ONE;
  if (v >= MP_SMALL_MIN && v <= MP_SMALL_MAX) {
    to[1] = (unsigned char)(MP_TAG_SMALL + (v - MP_SMALL_MIN));
    return 2;
  }
  unsigned log2 = v == (int8_t)v ? 0 : v == (int16_t)v ? 1 : v == (int32_t)v ? 2 : 3;
  to[1] = (unsigned char)(MP_INT8 + log2);
  mp_codec_store64(to + 2, (uint64_t)v);
  return 2 + ((size_t)1 << log2);
}

static size_t encode_byte(unsigned char *to, enum mp_codec_tag tag) {
  to[0] = MP_FORMAT_ONE;
  to[1] = (unsigned char)tag;
  return 2;
}

static size_t encode_float(lua_Number v, unsigned char *to) {
  encode_byte(to, MP_FLOAT);
  mp_codec_store64(to + 2, mp_codec_float_bits(v));
  return 10;
}

size_t mp_codec_encode_scalar(lua_State *L, int idx, unsigned char *to) {
  if (lua_isinteger(L, idx)) return encode_integer(lua_tointeger(L, idx), to);
  switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
      return encode_float(lua_tonumber(L, idx), to);
    case LUA_TNIL:
      return encode_byte(to, MP_NIL);
    case LUA_TBOOLEAN:
      return encode_byte(to, lua_toboolean(L, idx) ? MP_TRUE : MP_FALSE);
    default:
      return 0;
  }
}

/* A string that is the whole message: long ones stay where they are. */
static int encode_string(lua_State *L, int idx, mp_codec_message *m) {
  size_t len;
  const char *s = lua_tolstring(L, idx, &len);
  unsigned char *p = m->small;
  *p++ = MP_FORMAT_ONE;
  if (len < MP_SHORT) {
    *p++ = (unsigned char)(MP_TAG_SHORT + len);
  } else {
    *p++ = MP_STRING;
    p = mp_codec_put_varint(p, len);
  }
  size_t head = (size_t)(p - m->small);
  if (len < MP_INLINE) {
    memcpy(p, s, len);
    return finish_small(L, m, head + len);
  }
  lua_pushvalue(L, idx);
  m->own[0] = (mp_codec_iov){m->small, head};
  m->own[1] = (mp_codec_iov){s, len};
  m->iov = m->own;
  m->niov = 2;
  m->len = head + len;
  return 0;
}

static void clear(mp_codec_message *m) {
  m->handles = NULL;
  m->nhandles = 0;
  m->code = false;
  m->block = NULL;
}

static int encode_one(lua_State *L, int idx, int how, const char *what, mp_codec_message *m) {
  clear(m);
  size_t n = mp_codec_encode_scalar(L, idx, m->small);
  if (n) return finish_small(L, m, n);
  return lua_type(L, idx) == LUA_TSTRING ? encode_string(L, idx, m) : encode_composite(L, idx, 1, how, what, m);
}

int mp_codec_encode(lua_State *L, int idx, const char *what, mp_codec_message *m) {
  return encode_one(L, idx, ONE, what, m);
}

int mp_codec_encode_abroad(lua_State *L, int idx, const char *what, mp_codec_message *m) {
  return encode_one(L, idx, ABROAD, what, m);
}

mp_codec_list mp_codec_list_at(lua_State *L, int idx) {
  mp_codec_array_part_probe(L);
  mp_codec_lua_layout_probe(L);
  const void *table = lua_topointer(L, idx);
  size_t n = mp_codec_array_part(table);
  return (mp_codec_list){n, n ? mp_codec_lua_layout_items(table) : NULL};
}

size_t mp_codec_encode_item(const mp_codec_list *list, size_t i, unsigned char *to) {
  if (i > list->n || !list->items) return 0;
  const unsigned char *item = list->items + (i - 1) * mp_codec_lua_layout.stride;
  unsigned char kind = item[mp_codec_lua_layout.kind_at];
  lua_Integer v;
  memcpy(&v, item, sizeof v);
  if (kind == mp_codec_lua_layout.integer) return encode_integer(v, to);
  return kind == mp_codec_lua_layout.floating ? encode_float(mp_codec_bits_float((uint64_t)v), to) : 0;
}

int mp_codec_encode_many(lua_State *L, int idx, int n, const char *what, mp_codec_message *m) {
  clear(m);
  return encode_composite(L, idx, n, MANY, what, m);
}

int mp_codec_encode_many_abroad(lua_State *L, int idx, int n, const char *what, mp_codec_message *m) {
  clear(m);
  return encode_composite(L, idx, n, MANY | ABROAD, what, m);
}

void mp_codec_release(lua_State *L, mp_codec_message *m) {
  (void)L;
  if (m->block) mp_codec_scratch_release(m->block, m->start, m->end);
  m->block = NULL;
}
