/* SPDX-License-Identifier: MIT */
/*
 * A Lua module for specs: failalloc.after(n, f, ...) calls f with an allocator
 * whose request number n, counted from 1, and all later ones fail until f ends.
 * Returns what pcall would, after a first result that tells whether a request
 * failed. The state's own allocator is back when it returns. failalloc.once is
 * the same, but later requests succeed: Lua tries a failed request again after
 * a collection, so that one fails as well.
 */
#include <lauxlib.h>
#include <lua.h>

__attribute__((visibility("default"))) int luaopen_failalloc(lua_State *L);

typedef struct failing {
  lua_Alloc real;
  void *ud;
  lua_Integer left;  /* requests that still succeed */
  lua_Integer until; /* below this they succeed again */
  int failed;
} failing;

/* Shrinking and freeing never fail: Lua relies on it. */
static void *fail_alloc(void *ud, void *p, size_t old, size_t size) {
  failing *f = ud;
  if (size && (!p || size > old) && --f->left < 0 && f->left >= f->until) {
    f->failed = 1;
    return NULL;
  }
  return f->real(f->ud, p, old, size);
}

/* One for each allocator that is stood in for, for ever: Lua 5.5 frees a long string by the allocator that it was made by, and
 * that may be later than f's end. */
static failing *record_of(lua_State *L) {
  enum { ALLOCATORS = 8 };
  static failing all[ALLOCATORS];
  void *ud;
  lua_Alloc real = lua_getallocf(L, &ud);
  for (failing *f = all; real != fail_alloc && f < all + ALLOCATORS; f++) {
    if (!f->real) *f = (failing){real, ud, 0, 0, 0};
    if (f->real == real && f->ud == ud) return f;
  }
  luaL_error(L, "failing allocators within one, or too many");
  return NULL;
}

static int run(lua_State *L, lua_Integer until) {
  lua_Integer left = luaL_checkinteger(L, 1) - 1;
  failing *f = record_of(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  int n = lua_gettop(L) - 2;
  f->left = left;
  f->until = until;
  f->failed = 0;
  lua_setallocf(L, fail_alloc, f);
  int status = lua_pcall(L, n, LUA_MULTRET, 0);
  lua_setallocf(L, f->real, f->ud);
  lua_pushboolean(L, f->failed);
  lua_replace(L, 1);
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, 2);
  return lua_gettop(L);
}

/* after(n, f, ...) -> failed, ok, results … */
static int failalloc_after(lua_State *L) { return run(L, LUA_MININTEGER); }

/* once(n, f, ...) -> failed, ok, results … */
static int failalloc_once(lua_State *L) { return run(L, -2); }

int luaopen_failalloc(lua_State *L) {
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, failalloc_once);
  lua_setfield(L, -2, "once");
  lua_pushcfunction(L, failalloc_after);
  lua_setfield(L, -2, "after");
  return 1;
}
