/* SPDX-License-Identifier: MIT */
/* Calls a function for each line of a text, and puts together what it says of them. For lua/mproc/cli: splitting and
 * joining in Lua would cost more than most functions of a line. */
#include <stdbool.h>
#include <string.h>

#include "bind/bind.h"

enum { FUNCTION = 1, TEXT, MODE, ENDING, KEEP_GOING, BUFFER, BASE };
enum { FIRST_ROOM = 4096 };
typedef enum { MAP, FILTER, REJECT, COUNT, EACH } mode;

typedef struct output { /* its bytes are the userdata at BUFFER */
  char *p;
  size_t n, room;
} output;

typedef struct lines {
  mode what;
  const char *text, *at, *end; /* of the text; where the next line begins; behind the last */
  const char *ending;          /* of one byte, behind each line that is put out */
  output out;
  lua_Integer counted, failed;
  size_t failed_at; /* the first line whose call failed begins there */
} lines;

static void put(lua_State *L, output *o, const char *s, size_t n) {
  if (o->room - o->n < n) {
    size_t room = o->room;
    while (room - o->n < n) room *= 2;
    char *p = lua_newuserdatauv(L, room, 0);
    memcpy(p, o->p, o->n);
    lua_replace(L, BUFFER);
    o->p = p;
    o->room = room;
  }
  memcpy(o->p + o->n, s, n);
  o->n += n;
}

static void put_value(lua_State *L, lines *l, int idx) {
  size_t n;
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *s = lua_tolstring(L, idx, &n);
    put(L, &l->out, s, n);
    return;
  }
  const char *s = luaL_tolstring(L, idx, &n);
  put(L, &l->out, s, n);
  lua_pop(L, 1);
}

/* The values from `first` on, with tabs between. Nothing for nil alone. */
static void put_values(lua_State *L, lines *l, int first) {
  int last = lua_gettop(L);
  if (last < first || (last == first && lua_isnil(L, first))) return;
  for (int i = first; i <= last; i++) {
    if (i > first) put(L, &l->out, "\t", 1);
    put_value(L, l, i);
  }
  put(L, &l->out, l->ending, 1);
}

static void keep(lua_State *L, lines *l, const char *line, size_t n) {
  put(L, &l->out, line, n);
  put(L, &l->out, l->ending, 1);
}

static void take_results(lua_State *L, lines *l, const char *line, size_t n) {
  bool yes = lua_gettop(L) > BASE && lua_toboolean(L, BASE + 1);
  switch (l->what) {
    case MAP:
      put_values(L, l, BASE + 1);
      break;
    case FILTER:
      if (yes) keep(L, l, line, n);
      break;
    case REJECT:
      if (!yes) keep(L, l, line, n);
      break;
    case COUNT:
      break;
    case EACH:
      break;
  }
  if (yes == (l->what != REJECT)) l->counted++;
}

/* False when the call failed: the error stands at the top. */
static bool call_one(lua_State *L, const char *line, size_t n) {
  lua_pushvalue(L, FUNCTION);
  lua_pushlstring(L, line, n);
  return lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK;
}

static const char *next_line(lines *l, size_t *n) {
  const char *line = l->at, *end = memchr(line, *l->ending, (size_t)(l->end - line));
  *n = (size_t)((end ? end : l->end) - line);
  l->at = end ? end + 1 : l->end;
  return line;
}

/* Goes through the text. The first error stays at BASE. */
static void run(lua_State *L, lines *l, bool keep_going) {
  size_t n;
  while (l->at < l->end && (keep_going || !l->failed)) {
    const char *line = next_line(l, &n);
    if (call_one(L, line, n)) {
      take_results(L, l, line, n);
    } else if (l->failed++ == 0) {
      l->failed_at = (size_t)(line - l->text);
      lua_replace(L, BASE);
    }
    lua_settop(L, BASE);
  }
}

/* lines(f, text, mode, ending, keep_going) -> output, counted, failed, first error, its line's offset
 * mode: "map": what f(line) returns; "filter", "reject": the lines of which it says true, or not; "count": those are only
 * counted; "each": nothing is put out. A last line without an ending gets one. failed: calls that raised; the first one is
 * the last one too, unless keep_going. The error and the offset (from 0) are nil without one. */
static int text_lines(lua_State *L) {
  static const char *const modes[] = {"map", "filter", "reject", "count", "each", NULL};
  size_t n;
  lines l = {0};
  luaL_checktype(L, FUNCTION, LUA_TFUNCTION);
  l.text = l.at = luaL_checklstring(L, TEXT, &n);
  l.end = l.text + n;
  l.what = (mode)luaL_checkoption(L, MODE, NULL, modes);
  l.ending = luaL_checkstring(L, ENDING);
  bool keep_going = lua_toboolean(L, KEEP_GOING);
  lua_settop(L, KEEP_GOING);
  size_t room =
      l.what == COUNT || l.what == EACH ? FIRST_ROOM : n + n / 8 + FIRST_ROOM; /* as much is put out, most often */
  l.out = (output){lua_newuserdatauv(L, room, 0), 0, room};
  lua_pushnil(L);
  run(L, &l, keep_going);
  lua_pushlstring(L, l.out.p, l.out.n);
  lua_pushinteger(L, l.counted);
  lua_pushinteger(L, l.failed);
  lua_pushvalue(L, BASE);
  if (l.failed)
    lua_pushinteger(L, (lua_Integer)l.failed_at);
  else
    lua_pushnil(L);
  return 5;
}

void mp_lua_open_lines(lua_State *L) {
  lua_pushcfunction(L, text_lines);
  lua_setfield(L, -2, "lines");
}
