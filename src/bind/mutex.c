/* SPDX-License-Identifier: MIT */
/* Lock and RLock for Lua. lua/mproc/sync.lua makes them. */
#include "bind/mutex.h"

#include <errno.h>

#include "shm/container/dict.h"
#include "shm/container/list.h"
#include "shm/number/array.h"

static const char *name_of(const void *block) {
  const mp_shm_mutex *x = block;
  return x->kind == MP_MUTEX_RECURSIVE ? MP_RLOCK_TYPE : MP_LOCK_TYPE;
}

/* Locks, and the locks of arrays and containers: what their blocks begin with. */
static const mp_lua_object_class classes[] = {
    {MP_TYPE_MUTEX, 0, name_of, NULL, NULL},
    {MP_TYPE_ARRAY, MP_PART_LOCK, name_of, NULL, NULL},
    {MP_TYPE_DICT, MP_PART_LOCK, name_of, NULL, NULL},
    {MP_TYPE_LIST, MP_PART_LOCK, name_of, NULL, NULL},
};
enum { CLASSES = sizeof classes / sizeof *classes };

static inline mp_lua_box *lock_box(lua_State *L, int idx) {
  mp_lua_box *b = lua_touserdata(L, idx);
  if (!b || lua_rawlen(L, idx) != sizeof *b) return NULL;
  return (uintptr_t)b->class - (uintptr_t)classes < sizeof classes ? b : NULL;
}

mp_lua_box *mp_lua_mutex_box(lua_State *L, int idx) { return lock_box(L, idx); }

static inline mp_lua_box *check(lua_State *L) {
  mp_lua_box *b = lock_box(L, 1);
  if (!b || !b->object) mp_lua_box_refuse(L, 1, "lock");
  if (!mp_shm_usable()) mp_lua_enter(L);
  return b;
}

/* What this process holds already: true when it holds it once more. */
static bool own_again(lua_State *L, mp_shm_mutex *x, uint64_t deadline) {
  if (x->kind == MP_MUTEX_RECURSIVE) {
    if (x->depth == UINT32_MAX) mp_lua_misuse(L, "cannot acquire: this process holds it 2^32 - 1 times");
    x->depth++;
    return true;
  }
  if (deadline == MP_FOREVER)
    mp_lua_misuse(L, "this process holds the lock already and would wait for itself; release it first, or use "
                     "mproc.RLock(), which its owner may acquire again");
  return false;
}

int mp_lua_mutex_enter(lua_State *L, const mp_lua_box *b, uint64_t deadline) {
  if (mp_shm_mutex_mine(b->object) && own_again(L, b->object, deadline)) return MP_LOCKED;
  mp_shm_wait w = mp_lua_wait(L, deadline);
  return mp_shm_mutex_acquire(b->object, b->handle, &w);
}

void mp_lua_mutex_leave(const mp_lua_box *b) {
  mp_shm_mutex *x = b->object;
  if (x->depth > 1)
    x->depth--;
  else
    mp_shm_mutex_release(x, b->handle);
}

/* Pushes what an acquisition came to: true[, "abandoned"] | false, "timeout". */
int mp_lua_mutex_result(lua_State *L, int r) {
  if (r == -ENOLCK)
    return mp_lua_misuse(L, "this process holds 1024 locks, and the system gives no more back if it dies; release "
                            "some first");
  if (r < 0 && r != -ETIMEDOUT) return mp_lua_push_failure(L, r, "lock");
  lua_pushboolean(L, r >= 0);
  if (r == MP_LOCKED) return 1;
  if (r == MP_ABANDONED) mp_lua_note_abandoned(L);
  lua_pushstring(L, r == MP_ABANDONED ? "abandoned" : "timeout");
  return 2;
}

/* acquire([timeout]) -> true[, "abandoned"] | false, "timeout" */
static int lock_acquire(lua_State *L) {
  mp_lua_box *b = check(L);
  int r = mp_lua_mutex_enter(L, b, mp_lua_deadline(L, 2));
  if (r != MP_LOCKED) return mp_lua_mutex_result(L, r);
  lua_pushboolean(L, 1);
  return 1;
}

int mp_lua_mutex_refuse_release(lua_State *L, const mp_shm_mutex *x) {
  mp_shm_proc_ref owner = mp_shm_mutex_owner(x);
  if (!owner) return mp_lua_misuse(L, "cannot release the lock: nobody holds it; acquire it first");
  return mp_lua_misuse(L, lua_pushfstring(L, "cannot release the lock: process %s holds it, and only its owner may",
                                          mp_lua_push_holder(L, owner)));
}

/* release() */
static int lock_release(lua_State *L) {
  mp_lua_box *b = check(L);
  mp_shm_mutex *x = b->object;
  if (!mp_shm_mutex_mine(x)) return mp_lua_mutex_refuse_release(L, x);
  mp_lua_mutex_leave(b);
  return 0;
}

/* locked() -> boolean */
static int lock_locked(lua_State *L) {
  lua_pushboolean(L, mp_shm_mutex_locked(check(L)->object));
  return 1;
}

/* owner() -> pid | nil */
static int lock_owner(lua_State *L) {
  mp_shm_proc_ref owner = mp_shm_mutex_owner(check(L)->object);
  if (owner)
    lua_pushinteger(L, mp_shm_proc_pid(owner));
  else
    lua_pushnil(L);
  return 1;
}

/* mine() -> boolean, for guards */
static int lock_mine(lua_State *L) {
  lua_pushboolean(L, mp_shm_mutex_mine(check(L)->object));
  return 1;
}

static int lock_tostring(lua_State *L) {
  mp_lua_box *b = check(L);
  mp_shm_mutex *x = b->object;
  mp_shm_proc_ref owner = mp_shm_mutex_owner(x);
  uint32_t depth = x->depth;
  lua_pushfstring(L, "%s %d: ", x->kind == MP_MUTEX_RECURSIVE ? "RLock" : "Lock", (int)(b->handle & MP_SLOT_MASK));
  if (!owner)
    lua_pushliteral(L, "free");
  else if (x->kind == MP_MUTEX_RECURSIVE)
    lua_pushfstring(L, "held %d times by %s", (int)depth, mp_lua_push_holder(L, owner)), lua_remove(L, -2);
  else
    lua_pushfstring(L, "held by %s", mp_lua_push_holder(L, owner)), lua_remove(L, -2);
  lua_concat(L, 2);
  return 1;
}

static int make(lua_State *L, uint32_t kind, const char *name) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &classes[0], name);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_mutex_new(kind, &w, &h);
  if (err) return mp_lua_push_failure(L, err, "lock");
  mp_lua_box_fill(b, h);
  return 1;
}

static int new_lock(lua_State *L) { return make(L, MP_MUTEX_PLAIN, MP_LOCK_TYPE); }
static int new_rlock(lua_State *L) { return make(L, MP_MUTEX_RECURSIVE, MP_RLOCK_TYPE); }

static int scope_enter(lua_State *L, uint64_t deadline) { return mp_lua_mutex_enter(L, check(L), deadline); }

static int scope_leave(lua_State *L, int idx, bool failed) {
  (void)failed;
  mp_lua_box *b = mp_lua_mutex_box(L, idx);
  if (b && b->object && mp_shm_mutex_mine(b->object)) mp_lua_mutex_leave(b);
  return 0;
}

static const mp_lua_scope scope = {"with", "guard", scope_enter, mp_lua_mutex_result, scope_leave, NULL};

static const luaL_Reg methods[] = {
    {"acquire", lock_acquire}, {"release", lock_release}, {"locked", lock_locked},
    {"owner", lock_owner},     {"mine", lock_mine},       {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", lock_tostring}, {NULL, NULL}};
static const luaL_Reg makers[] = {{"lock", new_lock}, {"rlock", new_rlock}, {NULL, NULL}};

void mp_lua_open_mutex(lua_State *L) {
  for (int i = 0; i < CLASSES; i++) mp_lua_box_class(L, MP_LOCK_TYPE, &classes[i], methods, metamethods);
  mp_lua_box_class(L, MP_RLOCK_TYPE, &classes[0], methods, metamethods);
  mp_lua_box_scope(L, MP_LOCK_TYPE, &scope);
  mp_lua_box_scope(L, MP_RLOCK_TYPE, &scope);
  luaL_setfuncs(L, makers, 0);
}
