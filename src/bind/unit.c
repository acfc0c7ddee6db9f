/* SPDX-License-Identifier: MIT */
/* Reading mproc's own Lua files when it is required: some fifty of them, so each costs few calls. For lua/mproc/lazy.lua. */
#define _GNU_SOURCE
#include <string.h>

#include "bind/bind.h"
#include "os/process.h"

static const char require[] = "require(\"mproc";
enum { MODULE_AT = sizeof require - sizeof "mproc", NAMES_MOST = 60, TEXT_MOST = 1 << 16 };

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

/* read_unit(path) -> the file's text, and the names of mproc's modules that it requires; nothing when there is no such file,
 * or it is too long to be one of these. */
static int read_unit(lua_State *L) {
  char text[TEXT_MOST];
  int fd = mp_os_open_read(luaL_checkstring(L, 1));
  if (fd < 0) return 0;
  int64_t n = mp_os_read(fd, text, sizeof text);
  mp_os_close(fd);
  if (n < 0 || n == TEXT_MOST) return 0;
  luaL_checkstack(L, NAMES_MOST + 1, NULL);
  lua_pushlstring(L, text, (size_t)n);
  return 1 + push_required(L, text, (size_t)n);
}

void mp_lua_open_unit(lua_State *L) {
  lua_pushcfunction(L, read_unit);
  lua_setfield(L, -2, "read_unit");
}
