/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of arguments (layer 3): encoded when a process is made, decoded in the child. Called by lua/mproc/process.lua.
 * A snapshot holds nothing alive: who keeps one keeps its originals too, for the objects in them, until the fork,
 * which gives the child its own holds.
 */
#include "bind/snapshot.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/object.h"
#include "codec/codec.h"

static void copy_iovecs(char *to, const mp_codec_message *m) {
  for (size_t i = 0; i < m->niov; i++) {
    memcpy(to, m->iov[i].base, m->iov[i].len);
    to += m->iov[i].len;
  }
}

/* The string made inside a protected call: without memory for it the message must still be released. */
static int make_string(lua_State *L) {
  const mp_codec_message *m = lua_touserdata(L, 1);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, m->len);
  copy_iovecs(to, m);
  luaL_pushresultsize(&b, m->len);
  if (!m->nhandles) return 1;
  lua_pushlstring(L, (const char *)m->handles, m->nhandles * sizeof *m->handles);
  return 2;
}

/* pack(value, what) -> bytes[, the handles in them, for hold]; or nil, what the codec says, and whether it is the value that cannot travel (`what` names it),
 * and no error of a hook's */
static int snapshot_pack(lua_State *L) {
  mp_codec_message m;
  luaL_checkany(L, 1);
  const char *what = luaL_checkstring(L, 2);
  luaL_checkstack(L, 4, NULL);
  if (mp_codec_encode(L, 1, what, &m) != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    lua_pushboolean(L, mp_codec_refused());
    return 3;
  }
  lua_pushcfunction(L, make_string);
  lua_pushlightuserdata(L, &m);
  int top = lua_gettop(L) - 2, status = lua_pcall(L, 1, LUA_MULTRET, 0);
  mp_codec_release(L, &m);
  return status == LUA_OK ? lua_gettop(L) - top : lua_error(L);
}

/* On the stack: a table, the handles. */
static int hold_all(lua_State *L) {
  size_t n;
  const char *handles = lua_tolstring(L, 2, &n);
  for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
    uint64_t h;
    memcpy(&h, handles + at, sizeof h);
    if (mp_lua_box_push_handle(L, h)) lua_rawseti(L, 1, luaL_len(L, 1) + 1);
  }
  return 0;
}

/* hold(list, handles): adds the objects of a snapshot to the list, so that who has it has them. */
static int snapshot_hold(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_settop(L, 2);
  lua_pushcfunction(L, hold_all);
  lua_insert(L, 1);
  mp_lua_box_reuse(true);
  int status = lua_pcall(L, 2, 0, 0);
  mp_lua_box_reuse(false);
  return status == LUA_OK ? 0 : lua_error(L);
}

/* unpack(bytes) -> value. Trusts them: they must come from pack in this process or its parent. */
static int snapshot_unpack(lua_State *L) {
  size_t n;
  const char *bytes = luaL_checklstring(L, 1, &n);
  int values = mp_codec_decode(L, bytes, n, MP_CODEC_FUNCTIONS | MP_CODEC_HANDLES | MP_CODEC_REQUIRE);
  return values < 0 ? lua_error(L) : values;
}

/* unpack_in_child(bytes) -> value, in which ends of pipes are those that this process has already, where it has them. */
static int snapshot_unpack_in_child(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  lua_pushcfunction(L, snapshot_unpack);
  lua_insert(L, 1);
  mp_lua_box_reuse(true);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  mp_lua_box_reuse(false);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static const luaL_Reg functions[] = {
    {"pack", snapshot_pack},
    {"hold", snapshot_hold},
    {"unpack", snapshot_unpack},
    {"unpack_in_child", snapshot_unpack_in_child},
    {NULL, NULL},
};

void mp_lua_open_snapshot(lua_State *L) { luaL_setfuncs(L, functions, 0); }
