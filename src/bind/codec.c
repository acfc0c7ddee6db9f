/* SPDX-License-Identifier: MIT */
/* mproc.encode, decode, register, unsendable. */
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

int mp_lua_raise(lua_State *L) { return mp_codec_refused() ? mp_lua_misuse(L, lua_tostring(L, -1)) : lua_error(L); }

void mp_lua_encode(lua_State *L, int idx, const char *what, mp_codec_message *m) {
  if (mp_codec_encode(L, idx, what, m)) mp_lua_raise(L);
}

/* Messages of up to this size are copied, to be let go before Lua, which may raise, is given the string. */
#define SHORT_MESSAGE 256
#define ROOM_MAX (16u << 20)

static void copy_iovecs(char *to, const mp_codec_message *m) {
  for (size_t i = 0; i < m->niov; i++) {
    memcpy(to, m->iov[i].base, m->iov[i].len);
    to += m->iov[i].len;
  }
}

/* glibc gives pages back once more lies free at the heap's end than twice the largest block that it ever had to map; and
 * the system clears them when they are asked for again, which takes longer than to encode a long string. So it is shown a
 * block twice the message's size, once, and keeps what a caller of encode and decode goes through. */
static void keep_room(size_t len) {
  static size_t shown = SHORT_MESSAGE;
  if (len <= shown || len > ROOM_MAX) return;
  shown = 2 * len;
  void *volatile block = malloc(shown);
  free(block);
}

/* (message, value) -> its bytes as one string. A value that is a long string is copied once. */
static int join(lua_State *L) {
  const mp_codec_message *m = lua_touserdata(L, 1);
  luaL_Buffer b;
  keep_room(m->len);
  if (m->niov == 2 && lua_type(L, 2) == LUA_TSTRING && m->iov[1].base == lua_tostring(L, 2)) {
    lua_pushlstring(L, m->iov[0].base, m->iov[0].len);
    lua_pushvalue(L, 2);
    lua_concat(L, 2);
  } else if (m->niov == 1) {
    lua_pushlstring(L, m->iov[0].base, m->len);
  } else {
    copy_iovecs(luaL_buffinitsize(L, &b, m->len), m);
    luaL_pushresultsize(&b, m->len);
  }
  return 1;
}

static int push_short(lua_State *L, mp_codec_message *m) {
  char bytes[SHORT_MESSAGE];
  copy_iovecs(bytes, m);
  size_t len = m->len;
  mp_codec_release(L, m);
  lua_pushlstring(L, bytes, len);
  return 1;
}

static int push_long(lua_State *L, mp_codec_message *m) {
  lua_pushcfunction(L, join);
  lua_pushlightuserdata(L, m);
  lua_pushvalue(L, 1);
  int failed = lua_pcall(L, 2, 1, 0);
  mp_codec_release(L, m);
  return failed ? lua_error(L) : 1;
}

/* What a function takes in its table of options: its names, the first few of `known`, one or two. */
typedef struct options {
  const char *taker, *known[2];
} options;

static bool is_known(lua_State *L, int key, const options *o) {
  if (lua_type(L, key) != LUA_TSTRING) return false;
  const char *name = lua_tostring(L, key);
  return strcmp(name, o->known[0]) == 0 || (o->known[1] && strcmp(name, o->known[1]) == 0);
}

/* Raises when there is another option than those in the table at idx. */
static void check_options(lua_State *L, int idx, const options *o) {
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    if (!is_known(L, -2, o)) {
      const char *key = luaL_tolstring(L, -2, NULL), *second = o->known[1];
      luaL_argerror(L, idx,
                    lua_pushfstring(L, "unknown option '%s'; %s has %s%s%s", key, o->taker, o->known[0],
                                    second ? " and " : "", second ? second : ""));
    }
    lua_pop(L, 1);
  }
}

/* Whether the flag is set in the options at idx, a table. */
static bool option_flag(lua_State *L, int idx, const char *name) {
  lua_getfield(L, idx, name);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* encode(v [, {abroad = true}]) -> string. It keeps no mproc object in it alive: decode says so when one is gone. */
static int codec_encode(lua_State *L) {
  static const options taken = {"encode", {"abroad", NULL}};
  mp_codec_message m;
  luaL_checkany(L, 1);
  bool abroad = false;
  if (!lua_isnoneornil(L, 2)) {
    check_options(L, 2, &taken);
    abroad = option_flag(L, 2, "abroad");
  }
  if ((abroad ? mp_codec_encode_abroad : mp_codec_encode)(L, 1, "value", &m)) mp_lua_raise(L);
  return m.len <= SHORT_MESSAGE ? push_short(L, &m) : push_long(L, &m);
}

/* The flags that the options at idx ask for. */
static unsigned decode_flags(lua_State *L, int idx) {
  static const options taken = {"decode", {"functions", "abroad"}};
  if (lua_isnoneornil(L, idx)) return MP_CODEC_HANDLES;
  check_options(L, idx, &taken);
  bool functions = option_flag(L, idx, "functions"), abroad = option_flag(L, idx, "abroad");
  luaL_argcheck(L, !(functions && abroad), idx,
                "what comes from another machine has no functions; leave one of both out");
  return (abroad ? 0u : MP_CODEC_HANDLES) | (functions ? MP_CODEC_FUNCTIONS | MP_CODEC_REQUIRE : 0);
}

/* decode(s [, {functions = true} or {abroad = true}]) -> value | nil, message */
static int codec_decode(lua_State *L) {
  size_t n;
  luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "string that mproc.encode made");
  const char *s = lua_tolstring(L, 1, &n);
  int count = mp_codec_decode(L, s, n, decode_flags(L, 2));
  if (count == 1) return 1;
  if (count >= 0) lua_pushfstring(L, "not an mproc message: it has %d values; mproc.decode takes one", count);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* register(name, metatable [, {decode = f}]) */
static int codec_register(lua_State *L) {
  luaL_argexpected(L, lua_type(L, 1) == LUA_TSTRING, 1, "name (a string)");
  luaL_argexpected(L, lua_istable(L, 2), 2, "metatable");
  int decode = 0;
  if (!lua_isnoneornil(L, 3)) {
    static const options taken = {"register", {"decode", NULL}};
    check_options(L, 3, &taken);
    if (lua_getfield(L, 3, "decode") != LUA_TNIL) {
      luaL_argcheck(L, lua_isfunction(L, -1), 3, "decode must be a function");
      decode = lua_gettop(L);
    }
  }
  mp_codec_register(L, lua_tostring(L, 1), 2, decode);
  return 0;
}

/* unsendable(v) -> path, reason | nil */
static int codec_unsendable(lua_State *L) {
  luaL_checkany(L, 1);
  if (mp_codec_unsendable(L, 1, "value")) return 2;
  lua_pushnil(L);
  return 1;
}

/* scratch_used() -> bytes, for tests */
static int codec_scratch_used(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_codec_scratch_used());
  return 1;
}

static const luaL_Reg functions[] = {
    {"encode", codec_encode},
    {"decode", codec_decode},
    {"register", codec_register},
    {"unsendable", codec_unsendable},
    {"scratch_used", codec_scratch_used},
    {NULL, NULL},
};

void mp_lua_open_codec(lua_State *L) {
  mp_codec_open(L);
  luaL_setfuncs(L, functions, 0);
}
