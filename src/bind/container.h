/* SPDX-License-Identifier: MIT */
/*
 * What the bindings of containers share (layer 3): keys and values between Lua and entries.
 * Invariant: nothing here calls Lua between a look into the container and the copy of what was found; and what was taken
 * from a container is looked up again after Lua has run: a hook or a finalizer may have closed it.
 */
#ifndef MP_BIND_CONTAINER_H
#define MP_BIND_CONTAINER_H

#include "bind/object.h"
#include "codec/codec.h"
#include "shm/container/dict.h"
#include "shm/container/list.h"

#pragma GCC visibility push(hidden)

#define MP_NO_ROOM                                                                                                     \
  "the arena has no room for it; let go of something, or set MPROC_ARENA higher before the program starts"

/* --- keys --- */

typedef struct mp_lua_key { /* points into itself: not to be copied */
  mp_shm_key k;
  uint64_t word;
} mp_lua_key;

/* Reads the key at idx, which stays there; raises for what cannot be one. mp_lua_key_hash completes it. */
void mp_lua_key_read(lua_State *L, int idx, mp_lua_key *key);
static inline void mp_lua_key_hash(mp_lua_key *key, const mp_shm_dict *d) {
  key->k.hash = key->k.type == MP_ITEM_STRING ? mp_shm_hash_bytes(key->k.p, key->k.n, d->seed)
                                              : mp_shm_hash_word(key->word, d->seed);
}
/* Pushes the key of a copied entry: true; false, nothing pushed: it is an object that is gone. */
bool mp_lua_key_push(lua_State *L, const mp_shm_item *key);

/* --- values for a container --- */

typedef struct mp_lua_item { /* points into itself, and to the value on the stack */
  mp_shm_item item;
  mp_codec_message message;
  bool encoded;
  mp_shm_handle blob; /* in use until mp_lua_item_release; 0: none */
} mp_lua_item;

/* Reads the value at idx, which stays there; nil or none: MP_ITEM_NONE. Runs hooks; leaves up to one value on the stack.
 * Raises for what cannot travel, and when there is no memory for it. what: its name. */
void mp_lua_item_read(lua_State *L, int idx, const char *what, mp_lua_item *v);
/* Lets go of it; touches no stack, never raises. */
void mp_lua_item_release(lua_State *L, mp_lua_item *v);
/* The handle of an entry's key is kept by the entry. */
static inline void mp_lua_item_keep_key(mp_shm_item *v, const mp_lua_key *key) {
  if (key->k.type == MP_ITEM_OBJECT) v->extra[v->nextra++] = key->word;
}

/* --- values from a container --- */

/* What was found, with bytes and pins of its own: a userdata, whose finalizer lets go of the pins. */
typedef struct mp_lua_held {
  mp_shm_item item;
  uint32_t npins;
  size_t room;
  _Alignas(8) char bytes[]; /* handles, then the value */
} mp_lua_held;

/* Looks something up: 1, *v with its bytes in buf (MP_ITEM_ROOM); 0: it is not there. Calls no Lua. */
typedef int (*mp_lua_finder)(void *of, const void *key, void *buf, mp_shm_item *v);

/* Pushes a held copy of what find gives, an item of type NONE when it is not there. */
mp_lua_held *mp_lua_hold(lua_State *L, mp_lua_finder find, const mp_lua_box *b, const void *key);
/* Pushes its value (nil for NONE). The held one, at idx, must stay on the stack. */
void mp_lua_held_push(lua_State *L, mp_lua_held *h);
/* Its pins end now. */
void mp_lua_held_release(mp_lua_held *h);
/* Pushes the value that find gives: 1; or 0, nothing pushed. */
int mp_lua_find_push(lua_State *L, mp_lua_finder find, const mp_lua_box *b, const void *key);
/* Pushes the value of a copied entry that carries no handle. */
void mp_lua_item_push(lua_State *L, const mp_shm_item *v);

/* --- copies of many entries, whose handles this process has uses of --- */

typedef struct mp_lua_copy { /* a userdata; its finalizer ends the uses of those that were not passed */
  uint64_t bytes, at, room;
  _Alignas(8) char entries[];
} mp_lua_copy;

/* Copies into buf: the bytes used; -ENOSPC and *need; or -errno. Calls no Lua. */
typedef int64_t (*mp_lua_copier)(void *of, void *arg, void *buf, uint64_t room, uint64_t *need, const mp_shm_wait *w);

mp_lua_copy *mp_lua_copy_push(lua_State *L, const mp_lua_box *b, mp_lua_copier copier, void *arg, const char *what);
/* The entry at `at`: false at the end. key: may be NULL. Then mp_lua_copy_pass, which ends its uses. */
bool mp_lua_copy_item(mp_lua_copy *c, mp_shm_item *key, mp_shm_item *v);
void mp_lua_copy_pass(mp_lua_copy *c);
/* Pushes the value of such an entry. */
void mp_lua_copy_push_value(lua_State *L, const mp_shm_item *v);
void mp_lua_open_container_copy(lua_State *L);

/* --- update and add --- */

/* Counts a try that others have overtaken; raises `text`, which has a %I for how many, when that has no end. */
void mp_lua_update_again(lua_State *L, int at_tries, int at_since, const char *text);

/* What is updated. hold pushes what the key at at_key has, held, and its value; store replaces that by the value at at_value,
 * unless something else is there by now: false. */
typedef struct mp_lua_updated {
  const char *what; /* the container, for messages */
  void (*hold)(lua_State *L, const mp_lua_box *b, int at_key);
  bool (*store)(lua_State *L, const mp_lua_box *b, int at_key, int at_value, const mp_shm_item *expected);
} mp_lua_updated;
/* container:update(key, f) -> the new value. f is called without a lock, may yield, and runs again when it was overtaken. */
int mp_lua_update(lua_State *L, const mp_lua_updated *of);

/* Reads a number; raises for anything else. */
void mp_lua_number_read(lua_State *L, int idx, const char *what, mp_shm_item *n);
/* Raises: what is there cannot be added to, or another error. */
int mp_lua_number_refuse(lua_State *L, int err, const mp_shm_item *there, const char *what);

/* --- errors, boxes --- */

/* Raises for an error of shm that is no outcome. what: the container's name. */
int mp_lua_container_fail(lua_State *L, int err, const char *what);
/* Pushes nil, why, "ENOMEM": what a maker returns when there is no room. */
int mp_lua_container_none(lua_State *L);
/* The object the box is on, once more: raises when Lua code has closed it meanwhile. */
void *mp_lua_container_again(lua_State *L, const mp_lua_box *b, const char *what);
/* close() and the end of a scope of self, boxes of those classes. */
int mp_lua_container_close(lua_State *L);
int mp_lua_container_scope(lua_State *L);
/* lock() and with(f, ...) of self. */
int mp_lua_container_lock(lua_State *L);
int mp_lua_container_with(lua_State *L);
/* Gives class `name` an __index and a __newindex that know its methods, their first upvalue; index NULL: as it is. */
void mp_lua_container_class(lua_State *L, const char *name, lua_CFunction index, lua_CFunction newindex);
/* The metatable of held items. Once per Lua state. */
void mp_lua_open_container(lua_State *L);

/* What the box of a container is: a box of one of these classes, and open; or raises. */
extern const mp_lua_object_class mp_lua_dict_class, mp_lua_dict_view_class;
mp_lua_box *mp_lua_dict_box(lua_State *L, uint32_t kind, const char *what);

#pragma GCC visibility pop
#endif
