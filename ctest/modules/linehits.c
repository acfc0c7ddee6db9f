/* SPDX-License-Identifier: MIT */
/*
 * A Lua module that notes which lines of the sources in COVER_SOURCES (a prefix, as "lua/mproc/") have run, for
 * `make cover`: one byte per line in a file per source below COVER_DIR, mapped by every process, so that it does not
 * matter how a process ends. Requiring it is all; coroutines inherit the hook.
 */
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((visibility("default"))) int luaopen_linehits(lua_State *L);

enum { LINES = 4096, SOURCES = 1024, PATH = 512 };

static const char *prefix, *directory;
static struct {
  const char *source; /* Lua's own string: two functions of a chunk share it */
  char *hits;         /* NULL: not to be noted */
} known[SOURCES];
static unsigned nknown;

static char *map_file(const char *name) {
  char path[PATH];
  snprintf(path, sizeof path, "%s/%s.hits", directory, name);
  for (char *p = path + strlen(directory) + 1; *p; p++)
    if (*p == '/') *p = '%';
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  void *p = MAP_FAILED;
  if (fd >= 0 && ftruncate(fd, LINES) == 0) p = mmap(NULL, LINES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  return p == MAP_FAILED ? NULL : p;
}

/* Sources of modules stay as long as the Lua state; a pointer that another one had costs a wrong line at most. */
static char *hits_of(const char *source) {
  for (unsigned i = nknown; i-- > 0;)
    if (known[i].source == source) return known[i].hits;
  const char *name = strstr(source, prefix);
  char *hits = source[0] == '@' && name ? map_file(name) : NULL;
  if (nknown == SOURCES) nknown = 0;
  known[nknown].source = source;
  known[nknown++].hits = hits;
  return hits;
}

static void note(lua_State *L, lua_Debug *ar) {
  lua_getinfo(L, "Sl", ar);
  if (ar->source[0] != '@' || ar->currentline < 1 || ar->currentline >= LINES) return;
  char *hits = hits_of(ar->source);
  if (hits) hits[ar->currentline] = 1;
}

int luaopen_linehits(lua_State *L) {
  prefix = getenv("COVER_SOURCES");
  directory = getenv("COVER_DIR");
  if (prefix && directory) lua_sethook(L, note, LUA_MASKLINE, 0);
  return 0;
}
