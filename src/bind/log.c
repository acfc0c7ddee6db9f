/* SPDX-License-Identifier: MIT */
/* The log for Lua (layer 3): its level and its lines. Called by lua/mproc/log.lua, which owns the policy. */
#include "process/log.h"

#include "bind/bind.h"
#include "os/process.h"

/* log_level([name]) -> the level before. lua/mproc/log.lua has checked the name. */
static int log_level(lua_State *L) {
  int before = mp_process_log_level;
  if (!lua_isnoneornil(L, 1)) mp_process_log_level = luaL_checkoption(L, 1, NULL, mp_process_log_names);
  lua_pushstring(L, mp_process_log_names[before]);
  return 1;
}

/* log(level, text): one line, when that level is wanted */
static int log_line(lua_State *L) {
  mp_process_log(luaL_checkoption(L, 1, NULL, mp_process_log_names), "%s", luaL_checkstring(L, 2));
  return 0;
}

/* signal_name(number) -> "SIGKILL", or nil */
static int signal_name(lua_State *L) {
  lua_pushstring(L, mp_os_signal_name((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* threads() -> how many this process has, 0 when that cannot be told */
static int threads(lua_State *L) {
  lua_pushinteger(L, mp_os_threads());
  return 1;
}

void mp_lua_note_abandoned(lua_State *L) {
  if (!mp_process_log_wants(MP_LOG_WARNING)) return;
  const char *what = luaL_tolstring(L, 1, NULL);
  mp_process_log(MP_LOG_WARNING, "abandoned by a process that died: %s; what it was for may be half done", what);
  lua_pop(L, 1);
}

static const luaL_Reg functions[] = {
    {"log_level", log_level}, {"log", log_line}, {"signal_name", signal_name}, {"threads", threads}, {NULL, NULL},
};

void mp_lua_open_log(lua_State *L) {
  mp_process_log_begin();
  luaL_setfuncs(L, functions, 0);
}
