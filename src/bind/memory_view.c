/* SPDX-License-Identifier: MIT */
/* Views of shared memory. The contracts stand in memory_view.h. */
#include "bind/memory_view.h"

#include "bind/element.h"
#include "bind/memory.h"
#include "codec/codec.h"

typedef struct view { /* its uservalue: the memory */
  const void *mark;
  const void *memory; /* its userdata */
  uint64_t first;     /* the byte that it begins with, from 0 on */
  mp_shm_elements elements;
} view;

static const char view_mark;

static view *test(lua_State *L, int idx) {
  view *v = lua_touserdata(L, idx);
  return v && lua_rawlen(L, idx) == sizeof *v && v->mark == &view_mark ? v : NULL;
}

mp_shm_elements *mp_lua_memory_view_elements(lua_State *L, int idx) {
  view *v = test(L, idx);
  if (!v) return NULL;
  if (!mp_shm_usable()) mp_lua_enter(L);
  if (!v->memory || !mp_lua_memory_bytes(v->memory).p)
    mp_lua_misuse(L, "the shared memory of this view has been closed");
  return &v->elements;
}

/* --- making --- */

static uint64_t first_of(lua_State *L, uint64_t n, unsigned type) {
  lua_Integer first = mp_lua_integer(L, 3, "first", 1);
  unsigned size = 1u << mp_shm_number_infos[type].shift;
  if (first < 1 || (uint64_t)first > n)
    mp_lua_refuse(L, "first must be 1 to %I, the memory's size, got %s", (lua_Integer)n, mp_lua_show(L, 3));
  if ((first - 1) % size)
    mp_lua_refuse(L, "first must be 1 more than a multiple of %d for \"%s\", got %s", (int)size,
                  mp_shm_number_infos[type].name, mp_lua_show(L, 3));
  return (uint64_t)first - 1;
}

static uint64_t count_of(lua_State *L, uint64_t room) {
  lua_Integer count = mp_lua_integer(L, 4, "count", (lua_Integer)room);
  if (count < 0 || (uint64_t)count > room)
    mp_lua_refuse(L, "count must be 0 to %I, as many as there is room for, got %s", (lua_Integer)room,
                  mp_lua_show(L, 4));
  return (uint64_t)count;
}

int mp_lua_memory_view_make(lua_State *L) {
  unsigned type = mp_lua_element_type(L, 2), shift = mp_shm_number_infos[type].shift;
  lua_settop(L, 4);
  view *v = lua_newuserdatauv(L, sizeof *v, 1);
  *v = (view){.mark = &view_mark};
  luaL_setmetatable(L, MP_MEMORY_VIEW_TYPE);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  mp_lua_bytes b = mp_lua_memory_bytes(lua_touserdata(L, 1));
  if (!b.p) return mp_lua_misuse(L, "the shared memory has been closed");
  v->first = first_of(L, b.n, type);
  uint64_t count = count_of(L, (b.n - v->first) >> shift);
  v->elements = (mp_shm_elements){(b.p + v->first) - (char *)&v->elements, count, type, shift};
  v->memory = lua_touserdata(L, 1);
  return 1;
}

/* --- the rest --- */

static int view_tostring(lua_State *L) {
  const view *v = test(L, 1);
  if (!v || !v->memory || !mp_lua_memory_bytes(v->memory).p)
    lua_pushliteral(L, "View: closed");
  else
    lua_pushfstring(L, "View: %I of %s", (lua_Integer)v->elements.n, mp_shm_number_infos[v->elements.type].name);
  return 1;
}

static int view_lock(lua_State *L) {
  return mp_lua_misuse(L, "a view has no lock of its own; make a mproc.Lock, and send it along");
}

/* What the error says, with the path, of one that is closed. */
static int view_handle(lua_State *L, int idx, uint64_t *handle) {
  const view *v = test(L, idx);
  (void)handle;
  if (!v || (v->memory && mp_lua_memory_bytes(v->memory).p)) return 0;
  lua_pushliteral(L, "the shared memory of this view has been closed");
  return -1;
}

/* It travels as its memory and what view was told: { memory, type, first, count }. */
static int view_encode(lua_State *L) {
  const mp_shm_elements *e = mp_lua_memory_view_elements(L, 1);
  if (!e) return mp_lua_misuse(L, "a view expected");
  lua_createtable(L, 4, 0);
  lua_getiuservalue(L, 1, 1);
  lua_rawseti(L, -2, 1);
  lua_pushstring(L, mp_shm_number_infos[e->type].name);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, (lua_Integer)test(L, 1)->first + 1);
  lua_rawseti(L, -2, 3);
  lua_pushinteger(L, (lua_Integer)e->n);
  lua_rawseti(L, -2, 4);
  return 1;
}

/* view_decode({ memory, type, first, count }) -> the view; raises for what makes none */
static int view_decode(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (int i = 1; i <= 4; i++) lua_rawgeti(L, 1, i);
  lua_remove(L, 1);
  luaL_argcheck(L, mp_lua_memory_is(L, 1), 1, "no shared memory");
  return mp_lua_memory_view_make(L);
}

void mp_lua_open_memory_view(lua_State *L) {
  mp_lua_box_travels(view_handle);
  static const luaL_Reg meta[] = {{"__tostring", view_tostring}, {"__mproc_encode", view_encode}, {NULL, NULL}};
  if (luaL_newmetatable(L, MP_MEMORY_VIEW_TYPE)) {
    mp_lua_array_interface(L);
    lua_pushcfunction(L, view_lock);
    lua_setfield(L, -2, "lock");
    lua_pop(L, 1);
    luaL_setfuncs(L, meta, 0);
    lua_pushcfunction(L, view_decode);
    mp_codec_register(L, MP_MEMORY_VIEW_TYPE, -2, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
