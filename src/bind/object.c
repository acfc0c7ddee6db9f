/* SPDX-License-Identifier: MIT */
/* The userdata of shared objects: making, finding, travelling, ending. The contracts stand in object.h. */
#include "bind/object.h"

#include <string.h>
#include <unistd.h>

enum { CLASSES = 2 * MP_TYPES, OTHERS = 4 };
enum { METAMETHODS_ROOM = 16, METHODS_ROOM = 32 }; /* more than is needed: push_metatable says why */

static const mp_lua_object_class *classes[CLASSES];
static const char *closed_texts[CLASSES]; /* of classes whose boxes can be closed */
static int nclasses;
static const char remembered; /* registry key: handle -> box, weak */
static bool reuse;

static void know(const mp_lua_object_class *f) {
  for (int i = 0; i < nclasses; i++)
    if (classes[i] == f) return;
  if (nclasses < CLASSES) classes[nclasses++] = f;
}

static const mp_lua_object_class *class_of(int type, unsigned part) {
  for (int i = 0; i < nclasses; i++)
    if (classes[i]->type == type && classes[i]->part == part) return classes[i];
  return NULL;
}

static const char **closed_text(const mp_lua_object_class *f) {
  int i = 0;
  while (classes[i] != f) i++;
  return &closed_texts[i];
}

void mp_lua_box_can_close(const mp_lua_object_class *f, const char *text) { *closed_text(f) = text; }

mp_lua_box *mp_lua_box_any(lua_State *L, int idx) {
  mp_lua_box *b = lua_touserdata(L, idx);
  if (!b || lua_islightuserdata(L, idx) || lua_rawlen(L, idx) != sizeof *b) return NULL;
  for (int i = 0; i < nclasses; i++)
    if (classes[i] == b->class) return b;
  return NULL;
}

int mp_lua_box_refuse(lua_State *L, int idx, const char *what) {
  mp_lua_box *b = mp_lua_box_any(L, idx);
  const char *closed = b && !b->object ? *closed_text(b->class) : NULL;
  if (closed) return mp_lua_misuse(L, closed);
  if (b && !b->object)
    return mp_lua_misuse(L, lua_pushfstring(L, "the %s is gone: its owner has been collected", what));
  const char *name = luaL_typename(L, idx);
  if (luaL_getmetafield(L, idx, "__name") == LUA_TSTRING) name = lua_tostring(L, -1);
  return mp_lua_misuse(L, lua_pushfstring(L, "%s expected, got %s; call its methods with a colon", what, name));
}

mp_lua_box *mp_lua_box_push_values(lua_State *L, const mp_lua_object_class *f, const char *name, int n) {
  mp_lua_box *b = lua_newuserdatauv(L, sizeof *b, n);
  *b = (mp_lua_box){.class = f, .maker = mp_shm_proc_self()};
  luaL_setmetatable(L, name);
  return b;
}

mp_lua_box *mp_lua_box_push(lua_State *L, const mp_lua_object_class *f, const char *name) {
  return mp_lua_box_push_values(L, f, name, 0);
}

void mp_lua_box_fill(mp_lua_box *b, mp_shm_handle h) {
  void *block = mp_shm_object_block(h, b->class->type);
  b->handle = h;
  b->object = b->class->inside ? b->class->inside(block) : block;
}

bool mp_lua_box_is_makers(const mp_lua_box *b) { return b->object && !mp_shm_inherited(b->maker) && mp_shm_usable(); }

void mp_lua_push_weak(lua_State *L, const void *key) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void mp_lua_box_remember_as(lua_State *L, int idx, mp_shm_handle handle) {
  idx = lua_absindex(L, idx);
  mp_lua_push_weak(L, &remembered);
  lua_pushvalue(L, idx);
  lua_rawseti(L, -2, (lua_Integer)handle);
  lua_pop(L, 1);
}

void mp_lua_box_remember(lua_State *L, int idx) {
  mp_lua_box_remember_as(L, idx, ((mp_lua_box *)lua_touserdata(L, idx))->handle);
}

void mp_lua_box_reuse(bool on) { reuse = on; }

static int push_again(lua_State *L, uint64_t handle) {
  if (!reuse) return 0;
  mp_lua_push_weak(L, &remembered);
  lua_rawgeti(L, -1, (lua_Integer)handle);
  lua_remove(L, -2);
  mp_lua_box *b = lua_touserdata(L, -1);
  if (b && b->object) return 1;
  lua_pop(L, 1);
  return 0;
}

/* The box is made whole before its hold is taken, so that memory errors leave nothing behind. */
int mp_lua_box_push_handle(lua_State *L, uint64_t handle) {
  if (push_again(L, handle)) return 1;
  int type = mp_shm_usable() ? mp_shm_object_type_of(handle) : 0;
  const mp_lua_object_class *f = type ? class_of(type, mp_shm_handle_part(handle)) : NULL;
  void *block = f ? mp_shm_object_block(handle, type) : NULL;
  if (!block) return 0;
  if (f->push) return f->push(L, handle);
  mp_lua_box *b = mp_lua_box_push(L, f, f->name(block));
  if (*closed_text(f)) mp_lua_box_remember_as(L, -1, handle);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  w.interrupted = NULL;
  if (mp_shm_object_use(handle, type, &w) != 0) {
    lua_pop(L, 1);
    return 0;
  }
  mp_lua_box_fill(b, handle);
  return 1;
}

const char *mp_lua_push_holder(lua_State *L, mp_shm_proc_ref ref) {
  char name[MP_PROC_NAME];
  mp_shm_proc_name(ref, name);
  return lua_pushfstring(L, "'%s' (pid %d)", name, (int)mp_shm_proc_pid(ref));
}

static mp_lua_handle_of others[OTHERS];
static int nothers;

void mp_lua_box_travels(mp_lua_handle_of handle_of) {
  for (int i = 0; i < nothers; i++)
    if (others[i] == handle_of) return;
  if (nothers < OTHERS) others[nothers++] = handle_of;
}

static mp_lua_there find_there;

void mp_lua_box_finds(mp_lua_there there) { find_there = there; }

int mp_lua_box_push_there(lua_State *L, mp_shm_handle h) { return find_there ? find_there(L, h) : 0; }

static int others_handle(lua_State *L, int idx, uint64_t *handle) {
  int found = 0;
  for (int i = 0; i < nothers && !found; i++) found = others[i](L, idx, handle);
  return found;
}

static int handle_of(lua_State *L, int idx, uint64_t *handle) {
  mp_lua_box *b = mp_lua_box_any(L, idx);
  if (!b) return others_handle(L, idx, handle);
  if (!b->object) {
    const char *closed = *closed_text(b->class);
    lua_pushstring(L, closed ? closed : "it is gone");
    return -1;
  }
  *handle = b->handle;
  return 1;
}

void mp_lua_box_empty(mp_lua_box *b) {
  if (b->object && mp_shm_usable()) mp_shm_object_unuse(b->handle);
  b->object = NULL;
}

/* A program may call it with anything, as any metamethod. */
static int box_gc(lua_State *L) {
  mp_lua_box *b = mp_lua_box_any(L, 1);
  if (b) mp_lua_box_empty(b);
  return 0;
}

static int box_eq(lua_State *L) {
  mp_lua_box *a = mp_lua_box_any(L, 1), *b = mp_lua_box_any(L, 2);
  lua_pushboolean(L, a && b && a->handle == b->handle);
  return 1;
}

static const luaL_Reg shared[] = {{"__gc", box_gc}, {"__eq", box_eq}, {NULL, NULL}};

/* As luaL_newmetatable, with room. Each call of a method looks up its name and "__index", which is quicker where few names
 * collide. */
static void push_metatable(lua_State *L, const char *name) {
  if (luaL_getmetatable(L, name) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, METAMETHODS_ROOM);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, name);
}

void mp_lua_box_class(lua_State *L, const char *name, const mp_lua_object_class *f, const luaL_Reg *methods,
                      const luaL_Reg *metamethods) {
  know(f);
  push_metatable(L, name);
  luaL_setfuncs(L, shared, 0);
  if (metamethods) luaL_setfuncs(L, metamethods, 0);
  lua_createtable(L, 0, METHODS_ROOM);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void mp_lua_box_scope(lua_State *L, const char *name, const mp_lua_scope *s) {
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  mp_lua_scope_methods(L, s);
  lua_pop(L, 2);
}

/* class(name) -> metatable or nil */
static int object_class(lua_State *L) {
  luaL_getmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

void mp_lua_open_object(lua_State *L) {
  static const mp_codec_objects objects = {handle_of, mp_lua_box_push_handle};
  mp_codec_set_objects(&objects);
  lua_pushcfunction(L, object_class);
  lua_setfield(L, -2, "class");
}
