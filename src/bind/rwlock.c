/* SPDX-License-Identifier: MIT */
/* RWLock for Lua. lua/mproc/sync.lua makes it. */
#include "shm/sync/rwlock.h"

#include <errno.h>

#include "bind/mutex.h"

static const char *name_of(const void *block) {
  (void)block;
  return MP_RWLOCK_TYPE;
}

static const mp_lua_object_class class = {MP_TYPE_RWLOCK, 0, name_of, NULL, NULL};

static mp_lua_box *check(lua_State *L) { return mp_lua_box_self(L, &class, "read-write lock"); }

static int enter_read(lua_State *L, uint64_t deadline) {
  mp_lua_box *b = check(L);
  mp_shm_wait w = mp_lua_wait(L, deadline);
  int r = mp_shm_rwlock_read(b->object, &w);
  if (r == -EDEADLK)
    mp_lua_misuse(L, "this process writes, and to read it would wait for itself; what it writes it may read, "
                     "or write_release first");
  return r;
}

/* read_acquire([timeout]) -> true[, "abandoned"] | false, "timeout" */
static int rwlock_read_acquire(lua_State *L) {
  check(L);
  return mp_lua_mutex_result(L, enter_read(L, mp_lua_deadline(L, 2)));
}

static int enter_write(lua_State *L, uint64_t deadline) {
  mp_lua_box *b = check(L);
  if (deadline == MP_FOREVER && mp_shm_rwlock_mine(b->object))
    mp_lua_misuse(L, "this process writes already and would wait for itself; write_release first");
  mp_shm_wait w = mp_lua_wait(L, deadline);
  int r = mp_shm_rwlock_write(b->object, b->handle, &w);
  if (r == -EDEADLK)
    mp_lua_misuse(L, "this process reads, and to write it would wait for itself; read_release first, then "
                     "look again at what was read: another may have written meanwhile");
  return r;
}

/* write_acquire([timeout]) -> true[, "abandoned"] | false, "timeout" */
static int rwlock_write_acquire(lua_State *L) {
  check(L);
  return mp_lua_mutex_result(L, enter_write(L, mp_lua_deadline(L, 2)));
}

/* read_release() */
static int rwlock_read_release(lua_State *L) {
  mp_shm_rwlock *x = check(L)->object;
  if (!mp_shm_rwlock_depth(x))
    return mp_lua_misuse(L, "cannot release: this process does not read; read_acquire first");
  mp_shm_rwlock_end_read(x);
  return 0;
}

static int refuse_write_release(lua_State *L, mp_shm_rwlock *x) {
  bool waits;
  mp_shm_proc_ref writer = mp_shm_rwlock_writer(x, &waits);
  if (!writer || waits) return mp_lua_misuse(L, "cannot release: nobody writes; write_acquire first");
  return mp_lua_misuse(
      L, lua_pushfstring(L, "cannot release: process %s writes, and only it may", mp_lua_push_holder(L, writer)));
}

/* write_release() */
static int rwlock_write_release(lua_State *L) {
  mp_lua_box *b = check(L);
  if (!mp_shm_rwlock_mine(b->object)) return refuse_write_release(L, b->object);
  mp_shm_rwlock_end_write(b->object, b->handle);
  return 0;
}

/* reads(), writes() -> boolean: whether this process does. For guards */
static int rwlock_reads(lua_State *L) {
  lua_pushboolean(L, mp_shm_rwlock_depth(check(L)->object) > 0);
  return 1;
}

static int rwlock_writes(lua_State *L) {
  lua_pushboolean(L, mp_shm_rwlock_mine(check(L)->object));
  return 1;
}

/* Adds "'name' (pid n), …"; the count. */
static int add_readers(lua_State *L, luaL_Buffer *text, mp_shm_rwlock *x) {
  int n = 0;
  uint32_t at = 0;
  for (mp_shm_proc_ref ref; (ref = mp_shm_rwlock_reader(x, &at)) != 0; n++) {
    luaL_addstring(text, n ? ", " : "read by ");
    mp_lua_push_holder(L, ref);
    luaL_addvalue(text);
  }
  return n;
}

static int rwlock_tostring(lua_State *L) {
  mp_lua_box *b = check(L);
  luaL_Buffer text;
  bool waits;
  mp_shm_proc_ref writer = mp_shm_rwlock_writer(b->object, &waits);
  luaL_buffinit(L, &text);
  lua_pushfstring(L, "RWLock %d: ", (int)(b->handle & MP_SLOT_MASK));
  luaL_addvalue(&text);
  int readers = add_readers(L, &text, b->object);
  if (!readers && !writer) luaL_addstring(&text, "free");
  if (writer) {
    luaL_addstring(&text, readers ? "; " : "");
    luaL_addstring(&text, waits ? "to be written by " : "written by ");
    mp_lua_push_holder(L, writer);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  return 1;
}

static int new_rwlock(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &class, MP_RWLOCK_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_rwlock_new(&w, &h);
  if (err) return mp_lua_push_failure(L, err, "lock");
  mp_lua_box_fill(b, h);
  return 1;
}

static int leave_read(lua_State *L, int idx, bool failed) {
  (void)failed;
  mp_lua_box *b = mp_lua_box_test(L, idx, &class);
  if (b && b->object && mp_shm_rwlock_depth(b->object)) mp_shm_rwlock_end_read(b->object);
  return 0;
}

static int leave_write(lua_State *L, int idx, bool failed) {
  (void)failed;
  mp_lua_box *b = mp_lua_box_test(L, idx, &class);
  if (b && b->object && mp_shm_rwlock_mine(b->object)) mp_shm_rwlock_end_write(b->object, b->handle);
  return 0;
}

static const mp_lua_scope scopes[] = {
    {"read_with", "read_guard", enter_read, mp_lua_mutex_result, leave_read, NULL},
    {"write_with", "write_guard", enter_write, mp_lua_mutex_result, leave_write, NULL},
    {"with", "guard", enter_write, mp_lua_mutex_result, leave_write, NULL},
};

static const luaL_Reg methods[] = {
    {"read_acquire", rwlock_read_acquire},
    {"read_release", rwlock_read_release},
    {"write_acquire", rwlock_write_acquire},
    {"write_release", rwlock_write_release},
    {"reads", rwlock_reads},
    {"writes", rwlock_writes},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", rwlock_tostring}, {NULL, NULL}};

void mp_lua_open_rwlock(lua_State *L) {
  mp_lua_box_class(L, MP_RWLOCK_TYPE, &class, methods, metamethods);
  for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) mp_lua_box_scope(L, MP_RWLOCK_TYPE, &scopes[i]);
  lua_pushcfunction(L, new_rwlock);
  lua_setfield(L, -2, "rwlock");
}
