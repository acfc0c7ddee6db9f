/* SPDX-License-Identifier: MIT */
/*
 * The userdata of shared objects (layer 3): a box is one use of an object, which may have many. For the binding of each
 * type, whose methods know their self by size and class: two calls into Lua's API instead of luaL_checkudata's five.
 * Invariant: a box is made first, and empty; it is filled when the object is held, and emptied by its finalizer.
 */
#ifndef MP_BIND_OBJECT_H
#define MP_BIND_OBJECT_H

#include <stdbool.h>

#include "bind/bind.h"
#include "bind/scope.h"
#include "shm/arena/object.h"
#include "shm/arena/registry.h"

#pragma GCC visibility push(hidden)

typedef struct mp_lua_object_class { /* static: its address is what a box of it begins with */
  int type;                          /* MP_TYPE_* */
  unsigned part;                     /* 0, or the part of a handle that names it */
  /* The metatable's name for what lies in the block. */
  const char *(*name)(const void *block);
  /* Where it lies in the block; NULL: at its start. */
  void *(*inside)(void *block);
  /* Pushes what a handle becomes instead of a box: 1; or 0, nothing pushed, when no such object lives. NULL: a box. */
  int (*push)(lua_State *L, mp_shm_handle h);
} mp_lua_object_class;

typedef struct mp_lua_box {
  const mp_lua_object_class *class;
  void *object; /* NULL until it is whole, and once it is closed or collected */
  mp_shm_handle handle;
  mp_shm_proc_ref maker; /* an inherited box's scope may end in a child: that ends nothing */
} mp_lua_box;

/* NULL unless it is a box of that class. */
static inline mp_lua_box *mp_lua_box_test(lua_State *L, int idx, const mp_lua_object_class *f) {
  mp_lua_box *b = lua_touserdata(L, idx);
  return b && lua_rawlen(L, idx) == sizeof *b && b->class == f ? b : NULL;
}
/* A box of whatever class, or NULL. */
mp_lua_box *mp_lua_box_any(lua_State *L, int idx);
/* Self of a method; raises for anything else, and where mproc may not be used. what: "queue", "lock". */
int mp_lua_box_refuse(lua_State *L, int idx, const char *what);
static inline mp_lua_box *mp_lua_box_self(lua_State *L, const mp_lua_object_class *f, const char *what) {
  mp_lua_box *b = mp_lua_box_test(L, 1, f);
  if (!b || !b->object) mp_lua_box_refuse(L, 1, what);
  if (!mp_shm_usable()) mp_lua_enter(L);
  return b;
}

/* Pushes an empty box with the metatable of that name. */
mp_lua_box *mp_lua_box_push(lua_State *L, const mp_lua_object_class *f, const char *name);
/* The same with n user values, nil at first. */
mp_lua_box *mp_lua_box_push_values(lua_State *L, const mp_lua_object_class *f, const char *name, int n);
/* Fills it: this process holds h and counts one use for it, as after mp_shm_object_new. */
void mp_lua_box_fill(mp_lua_box *b, mp_shm_handle h);
/* Pushes the table that the registry has under that key, whose values are weak. */
void mp_lua_push_weak(lua_State *L, const void *key);
/* What else travels as a handle, or says why it cannot travel: as handle_of of codec.h. */
typedef int (*mp_lua_handle_of)(lua_State *L, int idx, uint64_t *handle);
void mp_lua_box_travels(mp_lua_handle_of handle_of);
/* What a handle is in this Lua state, if it is there already and keeps its object: pushes it without another use, 1; or 0. Takes
 * no lock, decodes nothing: for a value that is read again and again. */
typedef int (*mp_lua_there)(lua_State *L, mp_shm_handle h);
void mp_lua_box_finds(mp_lua_there there);
int mp_lua_box_push_there(lua_State *L, mp_shm_handle h);
/* Lets its use go at once, as its finalizer would. */
void mp_lua_box_empty(mp_lua_box *b);
/* Pushes a box of that class on a live object, of which it takes a use of its own: 1; or 0 and pushes nothing. */
int mp_lua_box_push_handle(lua_State *L, uint64_t handle);
/* Boxes of that class, known by mp_lua_box_class, are closed one by one; `text` is said of one that was. */
void mp_lua_box_can_close(const mp_lua_object_class *f, const char *text);
/* Remembers the open box at idx, of a class that can be closed, for mp_lua_box_reuse. */
void mp_lua_box_remember(lua_State *L, int idx);
/* The same for one that is not filled yet, and will be with that handle. */
void mp_lua_box_remember_as(lua_State *L, int idx, mp_shm_handle h);
/* While it is on, mp_lua_box_push_handle gives such an open box once more instead of making a copy. For a child that decodes
 * its arguments: it has inherited the originals, and a copy would leave them open for ever. */
void mp_lua_box_reuse(bool on);

/* Pushes "'name' (pid n)", the process that holds something. */
const char *mp_lua_push_holder(lua_State *L, mp_shm_proc_ref ref);

/* True when the scope that ends now is the one that made the box. */
bool mp_lua_box_is_makers(const mp_lua_box *b);

/* Makes the metatable `name` of boxes of class f: methods as __index, metamethods, and what all boxes share. Once per
 * Lua state. Boxes of the class then travel in messages. Another metatable may be of the same class. */
void mp_lua_box_class(lua_State *L, const char *name, const mp_lua_object_class *f, const luaL_Reg *methods,
                      const luaL_Reg *metamethods);
/* Adds with and guard to the methods of the class `name`. */
void mp_lua_box_scope(lua_State *L, const char *name, const mp_lua_scope *s);
#pragma GCC visibility pop
#endif
