/* SPDX-License-Identifier: MIT */
/*
 * Checks of arguments (layer 3), as lua/mproc/check.lua makes them: every message names the argument, says what it must be
 * and what was given, and blames the user's line.
 */
#ifndef MP_BIND_CHECK_H
#define MP_BIND_CHECK_H

#include <lua.h>

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

#pragma GCC visibility pop
#endif
