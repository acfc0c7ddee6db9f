/* SPDX-License-Identifier: MIT */
/* See hold.h. */
#include "hold.h"

/* Shorter messages are not worth the calls. */
#define MP_HOLD_LEAST 4096

/* What a byte of a message becomes in Lua, at most but for empty tables; and how much memory is trusted to be so. */
#define MP_HOLD_TIMES 16
#define MP_HOLD_KIB_MOST (64 << 10)

static int owed; /* KiB, in all Lua states of the process */

mp_hold mp_hold_begin(lua_State *L, size_t n) {
  mp_hold h = {0, 0};
  if (n < MP_HOLD_LEAST || lua_gc(L, LUA_GCISRUNNING) != 1) return h; /* -1 in a finalizer */
  int due = owed;
  owed = 0;
  if (due) lua_gc(L, LUA_GCSTEP, due);
  size_t kib = n / 1024 * MP_HOLD_TIMES;
  h.credit = kib < MP_HOLD_KIB_MOST ? (int)kib : MP_HOLD_KIB_MOST;
  h.before = lua_gc(L, LUA_GCCOUNT);
  owed = h.credit;
  lua_gc(L, LUA_GCSTEP, -h.credit);
  return h;
}

void mp_hold_end(lua_State *L, mp_hold h) {
  if (!h.credit) return;
  int used = lua_gc(L, LUA_GCCOUNT) - h.before;
  if (used < 0) used = 0;
  if (used > h.credit) used = h.credit;
  owed = used;
  if (used < h.credit) lua_gc(L, LUA_GCSTEP, h.credit - used);
}
