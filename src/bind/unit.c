/* SPDX-License-Identifier: MIT */
/*
 * Reading mproc's own Lua files when it is required: some fifty of them, so each costs few calls. For lua/mproc/lazy.lua.
 * Their texts lie outside of the Lua heap, for a fork copies the tables of a heap's pages, and the collector walks it.
 */
#define _GNU_SOURCE
#include <string.h>

#include "bind/bind.h"
#include "os/process.h"

static const char require[] = "require(\"mproc";
enum { MODULE_AT = sizeof require - sizeof "mproc", NAMES_MOST = 60, TEXT_MOST = 1 << 16, LENGTH_BITS = 16 };

/* A Lua state's texts, one behind the other; written while mproc is required, and not changed any more. */
#define TEXTS_ROOM ((size_t)1 << 20)
typedef struct texts {
  char *p; /* NULL: the system grants no room */
  size_t n;
} texts;

/* Pushes the names of mproc's modules that the text requires: how many. */
static int push_required(lua_State *L, const char *text, size_t n) {
  int names = 0;
  const char *end = text + n, *at = text;
  while (names < NAMES_MOST && (at = memmem(at, (size_t)(end - at), require, sizeof require - 1))) {
    const char *name = at + MODULE_AT, *quote = memchr(name, '"', (size_t)(end - name));
    if (!quote) break;
    lua_pushlstring(L, name, (size_t)(quote - name));
    names++;
    at = quote;
  }
  return names;
}

/* Pushes what unit_text finds the text by: where it lies, or itself when there is no room. */
static void push_kept(lua_State *L, texts *t, const char *text, size_t n) {
  if (!t->p || TEXTS_ROOM - t->n < n) {
    lua_pushlstring(L, text, n);
    return;
  }
  memcpy(t->p + t->n, text, n);
  lua_pushinteger(L, (lua_Integer)((uint64_t)t->n << LENGTH_BITS | n));
  t->n += n;
}

/* read_unit(path) -> what unit_text takes, and the names of mproc's modules that the file requires; nothing when there is no
 * such file, or it is too long to be one of these. */
static int read_unit(lua_State *L) {
  char text[TEXT_MOST];
  int fd = mp_os_open_read(luaL_checkstring(L, 1));
  if (fd < 0) return 0;
  int64_t n = mp_os_read(fd, text, sizeof text);
  mp_os_close(fd);
  if (n < 0 || n == TEXT_MOST) return 0;
  luaL_checkstack(L, NAMES_MOST + 1, NULL);
  push_kept(L, lua_touserdata(L, lua_upvalueindex(1)), text, (size_t)n);
  return 1 + push_required(L, text, (size_t)n);
}

/* unit_text(kept) -> the file's text */
static int unit_text(lua_State *L) {
  const texts *t = lua_touserdata(L, lua_upvalueindex(1));
  lua_settop(L, 1);
  if (!lua_isinteger(L, 1)) return 1;
  uint64_t kept = (uint64_t)lua_tointeger(L, 1), at = kept >> LENGTH_BITS;
  size_t n = kept & (TEXT_MOST - 1);
  luaL_argcheck(L, at <= t->n && n <= t->n - at, 1, "no text lies there");
  lua_pushlstring(L, t->p + at, n);
  return 1;
}

static int texts_gc(lua_State *L) {
  texts *t = lua_touserdata(L, 1);
  if (t->p) mp_os_pages_give(t->p, TEXTS_ROOM);
  *t = (texts){NULL, 0};
  return 0;
}

static void push_texts(lua_State *L) {
  texts *t = lua_newuserdatauv(L, sizeof *t, 0);
  *t = (texts){NULL, 0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, texts_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  t->p = mp_os_pages_take_shared(TEXTS_ROOM);
}

void mp_lua_open_unit(lua_State *L) {
  static const luaL_Reg functions[] = {{"read_unit", read_unit}, {"unit_text", unit_text}, {NULL, NULL}};
  push_texts(L);
  luaL_setfuncs(L, functions, 1);
}
