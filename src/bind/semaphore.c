/* SPDX-License-Identifier: MIT */
/* Semaphore and BoundedSemaphore for Lua. lua/mproc/sync.lua makes them. */
#include "shm/sync/semaphore.h"

#include <errno.h>

#include "bind/check.h"
#include "bind/object.h"

static const char *name_of(const void *block) {
  const mp_shm_semaphore *s = block;
  return s->kind == MP_SEMAPHORE_BOUNDED ? MP_BOUNDED_SEMAPHORE_TYPE : MP_SEMAPHORE_TYPE;
}

static const mp_lua_object_class class = {MP_TYPE_SEMAPHORE, 0, name_of, NULL, NULL};

static inline mp_lua_box *check(lua_State *L) { return mp_lua_box_self(L, &class, "semaphore"); }

static inline int acquire(lua_State *L, mp_shm_semaphore *s, uint64_t deadline) {
  mp_shm_wait w = mp_lua_wait(L, deadline);
  return mp_shm_semaphore_acquire(s, &w);
}

static int enter(lua_State *L, uint64_t deadline) { return acquire(L, check(L)->object, deadline); }

static int push_outcome(lua_State *L, int r) {
  if (r != 0 && r != -ETIMEDOUT) return mp_lua_push_failure(L, r, "semaphore");
  lua_pushboolean(L, r == 0);
  if (r == 0) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

/* acquire([timeout]) -> true | false, "timeout" */
static int semaphore_acquire(lua_State *L) {
  mp_shm_semaphore *s = check(L)->object;
  int r = acquire(L, s, mp_lua_deadline(L, 2));
  if (r) return push_outcome(L, r);
  lua_pushboolean(L, 1);
  return 1;
}

static uint64_t check_count(lua_State *L, int arg) {
  if (lua_gettop(L) < arg) return 1;
  return (uint64_t)mp_lua_opt_count(L, arg, "k", 1, "a number of permits to give back, an integer: one permit or more",
                                    1);
}

static int refuse_release(lua_State *L, mp_shm_semaphore *s, uint64_t k) {
  if (s->kind == MP_SEMAPHORE_PLAIN)
    return mp_lua_misuse(L, "cannot release: the semaphore's value would be larger than any integer");
  uint64_t value = s->value;
  return mp_lua_misuse(L, lua_pushfstring(L,
                                          "cannot release %I: %I of the semaphore's %I permits are out; release what "
                                          "was acquired, once, or use mproc.Semaphore(), which has no bound",
                                          (LUAI_UACINT)k, (LUAI_UACINT)(s->max - value), (LUAI_UACINT)s->max));
}

/* release([k = 1]) */
static int semaphore_release(lua_State *L) {
  mp_shm_semaphore *s = check(L)->object;
  uint64_t k = check_count(L, 2);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int r = mp_shm_semaphore_release(s, k, &w);
  if (r == 0) return 0;
  return r == -EOVERFLOW ? refuse_release(L, s, k) : mp_lua_push_failure(L, r, "semaphore");
}

/* get_value() -> permits there */
static int semaphore_get_value(lua_State *L) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  uint64_t value;
  int r = mp_shm_semaphore_value(check(L)->object, &w, &value);
  if (r) return mp_lua_push_failure(L, r, "semaphore");
  lua_pushinteger(L, (lua_Integer)value);
  return 1;
}

/* "; 'a' (pid 1) has 2, 'b' (pid 2) has 1" */
static void add_holders(luaL_Buffer *to, mp_shm_semaphore *s) {
  mp_shm_proc_ref who;
  uint64_t n;
  const char *between = "; ";
  for (uint32_t p = 0; (n = mp_shm_semaphore_holder(s, &p, &who)) != 0; p++, between = ", ") {
    luaL_addstring(to, between);
    mp_lua_push_holder(to->L, who);
    luaL_addvalue(to);
    lua_pushfstring(to->L, " has %I", (LUAI_UACINT)n);
    luaL_addvalue(to);
  }
}

static int semaphore_tostring(lua_State *L) {
  mp_lua_box *b = check(L);
  mp_shm_semaphore *s = b->object;
  luaL_Buffer text;
  int number = (int)(b->handle & MP_SLOT_MASK);
  LUAI_UACINT value = (LUAI_UACINT)s->value;
  luaL_buffinit(L, &text);
  if (s->kind == MP_SEMAPHORE_BOUNDED)
    lua_pushfstring(L, "BoundedSemaphore %d: value %I of %I", number, value, (LUAI_UACINT)s->max);
  else
    lua_pushfstring(L, "Semaphore %d: value %I", number, value);
  luaL_addvalue(&text);
  add_holders(&text, s);
  luaL_pushresult(&text);
  return 1;
}

/* The count was checked by lua/mproc/sync.lua. */
static int make(lua_State *L, uint32_t kind, const char *name) {
  lua_Integer n = luaL_checkinteger(L, 1);
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &class, name);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_semaphore_new(kind, (uint64_t)n, &w, &h);
  if (err) return mp_lua_push_failure(L, err, "semaphore");
  mp_lua_box_fill(b, h);
  return 1;
}

static int new_semaphore(lua_State *L) { return make(L, MP_SEMAPHORE_PLAIN, MP_SEMAPHORE_TYPE); }
static int new_bounded(lua_State *L) { return make(L, MP_SEMAPHORE_BOUNDED, MP_BOUNDED_SEMAPHORE_TYPE); }

/* It cannot be interrupted: nobody would release it a second time. */
static int scope_leave(lua_State *L, int idx, bool failed) {
  (void)failed;
  mp_lua_box *b = mp_lua_box_test(L, idx, &class);
  mp_shm_wait w = {MP_FOREVER, NULL, NULL};
  return b && b->object ? mp_shm_semaphore_release(b->object, 1, &w) : 0;
}

static int scope_complain(lua_State *L, int idx, int err) {
  mp_lua_box *b = lua_touserdata(L, idx);
  return err == -EOVERFLOW ? refuse_release(L, b->object, 1) : mp_lua_push_failure(L, err, "semaphore");
}

static const mp_lua_scope scope = {"with", "guard", enter, push_outcome, scope_leave, scope_complain};

static const luaL_Reg methods[] = {
    {"acquire", semaphore_acquire},
    {"release", semaphore_release},
    {"get_value", semaphore_get_value},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", semaphore_tostring}, {NULL, NULL}};
static const luaL_Reg makers[] = {{"semaphore", new_semaphore}, {"bounded_semaphore", new_bounded}, {NULL, NULL}};

void mp_lua_open_semaphore(lua_State *L) {
  mp_lua_box_class(L, MP_SEMAPHORE_TYPE, &class, methods, metamethods);
  mp_lua_box_class(L, MP_BOUNDED_SEMAPHORE_TYPE, &class, methods, metamethods);
  mp_lua_box_scope(L, MP_SEMAPHORE_TYPE, &scope);
  mp_lua_box_scope(L, MP_BOUNDED_SEMAPHORE_TYPE, &scope);
  luaL_setfuncs(L, makers, 0);
}
