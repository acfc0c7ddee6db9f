/* SPDX-License-Identifier: MIT */
/*
 * Checks of arguments (layer 3), as lua/mproc/check.lua makes them: every message names the argument, says what it must be
 * and what was given, and blames the user's line.
 */
#ifndef MP_BIND_CHECK_H
#define MP_BIND_CHECK_H

#include <lua.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Raises mp_lua_misuse's error with a formatted text. */
int mp_lua_refuse(lua_State *L, const char *format, ...);
/* Pushes what shows the value at idx in a message. */
const char *mp_lua_show(lua_State *L, int idx);

/* The integer at arg (2.0 is one), from `least` on. what: "a count of permits from 1 up". */
lua_Integer mp_lua_count(lua_State *L, int arg, const char *name, lua_Integer least, const char *what);
/* The same, `otherwise` for nil or none. */
lua_Integer mp_lua_opt_count(lua_State *L, int arg, const char *name, lua_Integer least, const char *what,
                             lua_Integer otherwise);

/* The integer at arg (2.0 is one, a string is none); `otherwise` for nil or none. */
lua_Integer mp_lua_integer(lua_State *L, int arg, const char *name, lua_Integer otherwise);

typedef struct mp_lua_range {
  uint64_t from, count; /* from: counted from 0 */
} mp_lua_range;
/* What of n things [i, j] at arg and arg + 1 names, as string.sub takes them; nil: all. */
mp_lua_range mp_lua_section(lua_State *L, uint64_t n, int arg);

/* Replaces the string at 2 by its part from index 3 to index 4, as string.sub takes them. Raises for what is no string. */
void mp_lua_take_part(lua_State *L);

#pragma GCC visibility pop
#endif
