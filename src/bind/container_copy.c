/* SPDX-License-Identifier: MIT */
/* Copies of many entries of a container, for Lua. The contracts stand in container.h. */
#include <errno.h>

#include "bind/container.h"

#define COPY_TYPE "mproc.copy"
#define COPY_FIRST 4096 /* bytes */
#define COPY_SPARE 1024

static mp_shm_entry *entry_of(mp_lua_copy *c) { return (mp_shm_entry *)(void *)(c->entries + c->at); }

bool mp_lua_copy_item(mp_lua_copy *c, mp_shm_item *key, mp_shm_item *v) {
  if (c->at == c->bytes) return false;
  mp_shm_entry_item(entry_of(c), key, v);
  return true;
}

void mp_lua_copy_pass(mp_lua_copy *c) {
  mp_shm_item v;
  mp_shm_entry *e = entry_of(c);
  mp_shm_entry_item(e, NULL, &v);
  c->at += mp_shm_entry_span(e);
  for (uint32_t i = 0; i < v.nhandles; i++) mp_shm_object_unuse(v.handles[i]);
}

static int copy_gc(lua_State *L) {
  mp_lua_copy *c = lua_touserdata(L, 1);
  while (mp_shm_usable() && c->at < c->bytes) mp_lua_copy_pass(c);
  return 0;
}

mp_lua_copy *mp_lua_copy_push(lua_State *L, const mp_lua_box *b, mp_lua_copier copier, void *arg, const char *what) {
  uint64_t need = COPY_FIRST;
  for (;;) {
    mp_lua_copy *c = lua_newuserdatauv(L, sizeof *c + need, 0);
    c->bytes = c->at = 0;
    c->room = need;
    luaL_setmetatable(L, COPY_TYPE);
    mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
    int64_t n = copier(mp_lua_container_again(L, b, what), arg, c->entries, c->room, &need, &w);
    if (n >= 0) {
      c->bytes = (uint64_t)n;
      return c;
    }
    if (n != -ENOSPC) mp_lua_container_fail(L, (int)n, what);
    lua_pop(L, 1);
    need += need / 8 + COPY_SPARE;
  }
}

void mp_lua_copy_push_value(lua_State *L, const mp_shm_item *v) {
  mp_lua_held h = {.item = *v};
  mp_lua_held_push(L, &h);
}

void mp_lua_open_container_copy(lua_State *L) {
  luaL_newmetatable(L, COPY_TYPE);
  lua_pushcfunction(L, copy_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
