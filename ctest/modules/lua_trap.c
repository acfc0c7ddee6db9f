/* SPDX-License-Identifier: MIT */
/* A Lua module for campaigns: lua_trap.die_after(n) ends this process after n more instructions, wherever that is. */
#include <lauxlib.h>
#include <lua.h>

#include "trap.h"

__attribute__((visibility("default"))) int luaopen_lua_trap(lua_State *L);

static int die_after(lua_State *L) {
  static _Atomic uint32_t run;
  t_die_after((uint32_t)luaL_checkinteger(L, 1), &run);
  return 0;
}

int luaopen_lua_trap(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, die_after);
  lua_setfield(L, -2, "die_after");
  return 1;
}
