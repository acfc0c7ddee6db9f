/* SPDX-License-Identifier: MIT */
/* Checks of arguments. The contracts stand in check.h. */
#include "bind/check.h"

#include <stdarg.h>

#include "bind/bind.h"

enum { SHOWN_MOST = 40 /* letters of a string */ };

int mp_lua_refuse(lua_State *L, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = lua_pushvfstring(L, format, args);
  va_end(args);
  return mp_lua_misuse(L, text);
}

const char *mp_lua_show(lua_State *L, int idx) {
  switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
      if (lua_tonumber(L, idx) != lua_tonumber(L, idx)) return lua_pushliteral(L, "NaN");
      return luaL_tolstring(L, idx, NULL);
    case LUA_TBOOLEAN:
    case LUA_TNIL:
      return luaL_tolstring(L, idx, NULL);
    case LUA_TSTRING:
      return lua_rawlen(L, idx) > SHOWN_MOST ? lua_pushliteral(L, "a long string")
                                             : lua_pushfstring(L, "\"%s\"", lua_tostring(L, idx));
    case LUA_TNONE:
      return lua_pushliteral(L, "nothing");
    default:
      return lua_pushfstring(L, "a %s", luaL_typename(L, idx));
  }
}

lua_Integer mp_lua_count(lua_State *L, int arg, const char *name, lua_Integer least, const char *what) {
  int exact = lua_type(L, arg) == LUA_TNUMBER;
  lua_Integer n = exact ? lua_tointegerx(L, arg, &exact) : 0;
  if (!exact || n < least) mp_lua_refuse(L, "%s must be %s, got %s", name, what, mp_lua_show(L, arg));
  return n;
}

lua_Integer mp_lua_opt_count(lua_State *L, int arg, const char *name, lua_Integer least, const char *what,
                             lua_Integer otherwise) {
  return lua_isnoneornil(L, arg) ? otherwise : mp_lua_count(L, arg, name, least, what);
}

lua_Integer mp_lua_integer(lua_State *L, int arg, const char *name, lua_Integer otherwise) {
  int exact = lua_type(L, arg) == LUA_TNUMBER;
  if (lua_isnoneornil(L, arg)) return otherwise;
  lua_Integer n = exact ? lua_tointegerx(L, arg, &exact) : 0;
  if (!exact) mp_lua_refuse(L, "%s must be an integer, got %s", name, mp_lua_show(L, arg));
  return n;
}

mp_lua_range mp_lua_section(lua_State *L, uint64_t count, int arg) {
  lua_Integer n = (lua_Integer)count, i = mp_lua_integer(L, arg, "i", 1), j = mp_lua_integer(L, arg + 1, "j", -1);
  if (i < 0) i = i < -n ? 1 : n + i + 1;
  if (i == 0) i = 1;
  if (j < 0) j = j < -n ? 0 : n + j + 1;
  if (j > n) j = n;
  return i > j ? (mp_lua_range){0, 0} : (mp_lua_range){(uint64_t)i - 1, (uint64_t)(j - i) + 1};
}

/* An index as string.sub takes it, counted from 1; i < 0 from the end. */
static lua_Integer position(lua_Integer i, lua_Integer len) { return i >= 0 ? i : i < -len ? 0 : len + i + 1; }

void mp_lua_take_part(lua_State *L) {
  size_t n;
  if (lua_type(L, 2) != LUA_TSTRING)
    mp_lua_refuse(L, "s must be a string, got %s; send takes other values", mp_lua_show(L, 2));
  const char *s = lua_tolstring(L, 2, &n);
  lua_Integer len = (lua_Integer)n, i = position(mp_lua_integer(L, 3, "i", 1), len),
              j = position(mp_lua_integer(L, 4, "j", -1), len);
  if (i < 1) i = 1;
  if (j > len) j = len;
  if (i == 1 && j == len) return;
  lua_pushlstring(L, i <= j ? s + i - 1 : "", i <= j ? (size_t)(j - i + 1) : 0);
  lua_replace(L, 2);
}
