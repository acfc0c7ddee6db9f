/* SPDX-License-Identifier: MIT */
/*
 * Value for Lua: one shared number. `v.value` and the methods are found by one __index, which must therefore be quick;
 * a table's __index would not be told whose field is asked for.
 */
#include "bind/element.h"

#include <errno.h>
#include <string.h>

#include "bind/mutex.h"

#define TRIES_LEAST 10                         /* an update that others overtake is tried so often at least, */
#define TRIES_TIME (1000 * (lua_Integer)MP_MS) /* and so long */

static inline mp_lua_box *check_box(lua_State *L) {
  mp_lua_box *b = mp_lua_box_self(L, &mp_lua_array_class, "value");
  if (((mp_shm_array *)b->object)->kind != MP_ARRAY_VALUE) mp_lua_box_refuse(L, 1, "value");
  return b;
}

static inline mp_shm_elements *check(lua_State *L) { return mp_lua_box_elements(check_box(L)); }

/* Whether it is the name of the only field: its bytes are quicker to compare than a table is to ask. A number becomes a
 * string by that, which names no method either. */
static inline bool is_value(lua_State *L, int idx) {
  static const char name[] = "value";
  size_t n;
  const char *s = lua_tolstring(L, idx, &n);
  return s && n == sizeof name - 1 && memcmp(s, name, sizeof name) == 0;
}

/* Upvalue: the methods. */
static int value_index(lua_State *L) {
  if (!is_value(L, 2)) {
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
  }
  mp_shm_elements *a = check(L);
  mp_lua_element_push(L, a->type, mp_shm_elements_get(a, 0));
  return 1;
}

static int value_newindex(lua_State *L) {
  mp_shm_elements *a = check(L);
  if (!is_value(L, 2))
    return mp_lua_refuse(L, "a Value has no field %s to set; its number is v.value", mp_lua_show(L, 2));
  mp_shm_elements_set(a, 0, mp_lua_element_check(L, 3, a->type, "value"));
  return 0;
}

/* add(n) -> the new value */
static int value_add(lua_State *L) { return mp_lua_element_add(L, check(L), 0, 2); }

/* exchange(x) -> the value before */
static int value_exchange(lua_State *L) { return mp_lua_element_exchange(L, check(L), 0, 2); }

/* compare_exchange(old, new) -> whether it was old and is new now, the value before */
static int value_compare_exchange(lua_State *L) { return mp_lua_element_compare_exchange(L, check(L), 0, 2); }

/* lock() -> its Lock */
static int value_lock(lua_State *L) { return mp_lua_element_push_lock(L, check_box(L)); }

/* --- update --- */

/* Its stack */
enum { SELF = 1, F, TRIES, SINCE, HOLD, RESULT };

#define HOLD_TYPE MP_VALUE_TYPE ".hold"

/* Keeps the lock for an update, and the box alive. */
typedef struct hold {
  const mp_lua_box *box;
  uint64_t old; /* the value's bits that f was given */
  bool held; /* from the acquisition on, until it lets go; a fork's copy holds nothing, for the lock is not its own */
} hold;

static void let_go(hold *h) {
  mp_shm_array *a = h->box->object;
  bool held = h->held;
  h->held = false;
  if (held && a && mp_shm_mutex_mine(&a->lock))
    mp_shm_mutex_release(&a->lock, mp_shm_handle_with_part(h->box->handle, MP_PART_LOCK));
}

static hold *hold_of(lua_State *L) { return lua_touserdata(L, HOLD); }

/* Lets go where a coroutine in which f has yielded is closed, or dropped. Otherwise it is done by then: an error in a
 * coroutine closes nothing. */
static int hold_close(lua_State *L) {
  let_go(lua_touserdata(L, 1));
  return 0;
}

/* Before the lock is acquired: it may raise. */
static void push_hold(lua_State *L, const mp_lua_box *b) {
  *(hold *)lua_newuserdatauv(L, sizeof(hold), 1) = (hold){b, 0, false};
  lua_pushvalue(L, SELF);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, HOLD_TYPE);
  lua_toclose(L, -1);
}

/* Pushes f and the value as it is. */
static void push_call(lua_State *L) {
  mp_shm_elements *a = mp_lua_box_elements(lua_touserdata(L, SELF));
  uint64_t old = mp_shm_elements_get(a, 0);
  lua_settop(L, HOLD);
  hold_of(L)->old = old;
  lua_pushvalue(L, F);
  mp_lua_element_push(L, a->type, old);
}

/* Somebody has changed the value without the lock: f is called again, unless that has no end. */
static int count_try(lua_State *L) {
  lua_Integer tries = lua_tointeger(L, TRIES) + 1, now = (lua_Integer)mp_os_now();
  lua_settop(L, RESULT);
  lua_pushinteger(L, tries);
  lua_replace(L, TRIES);
  if (tries == 1) {
    lua_pushinteger(L, now);
    lua_replace(L, SINCE);
  }
  if (tries < TRIES_LEAST || now < lua_tointeger(L, SINCE) + TRIES_TIME) return 0;
  let_go(hold_of(L));
  return mp_lua_refuse(L,
                       "update: the value has changed each of the %I times that f ran; f must not change it "
                       "itself, and who changes it often should hold v:lock()",
                       tries);
}

/* f has returned or raised; maybe after a yield, maybe in a child forked meanwhile, maybe it has released the lock.
 * True with the result pushed, false when f is to be called again, or raises. */
static bool finish(lua_State *L, int status) {
  uint64_t bits, old = hold_of(L)->old;
  mp_lua_box *b = lua_touserdata(L, SELF);
  mp_shm_array *locked = b->object;
  mp_shm_elements *a = &locked->elements;
  bool mine = mp_shm_mutex_mine(&locked->lock), failed = status != LUA_OK && status != LUA_YIELD;
  int err = failed ? 0 : mp_lua_element_read(L, RESULT, a->type, &bits);
  if (mine && !failed && !err && !mp_shm_elements_replace(a, 0, &old, bits)) return count_try(L);
  let_go(hold_of(L));
  if (failed) lua_error(L);
  if (!mine) mp_lua_refuse(L, "update: the value's lock was released before f returned");
  if (err) mp_lua_element_refuse(L, RESULT, a->type, err, "what f returns", 0);
  mp_lua_element_push(L, a->type, bits);
  return true;
}

static int update_on(lua_State *L, int status, lua_KContext unused) {
  (void)unused;
  while (!finish(L, status)) {
    push_call(L);
    status = lua_pcallk(L, 1, 1, 0, 0, update_on);
  }
  return 1;
}

/* update(f) -> the new value. f may yield. */
static int value_update(lua_State *L) {
  mp_lua_box *b = check_box(L);
  mp_shm_array *a = b->object;
  if (lua_type(L, F) != LUA_TFUNCTION)
    return mp_lua_refuse(L, "f must be a function that is given the value and returns the new one, got %s",
                         mp_lua_show(L, F));
  if (mp_shm_mutex_mine(&a->lock))
    return mp_lua_refuse(L, "this process holds the value's lock already, and update would wait for itself; while you "
                            "hold it, write v.value = f(v.value)");
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  lua_settop(L, SINCE);
  push_hold(L, b);
  int r = mp_shm_mutex_acquire(&a->lock, mp_shm_handle_with_part(b->handle, MP_PART_LOCK), &w);
  if (r < 0) return mp_lua_mutex_result(L, r);
  hold_of(L)->held = true;
  push_call(L);
  return update_on(L, lua_pcallk(L, 1, 1, 0, 0, update_on), 0);
}

/* --- the rest --- */

static int value_tostring(lua_State *L) {
  mp_lua_box *b = check_box(L);
  mp_shm_elements *a = check(L);
  mp_lua_element_push(L, a->type, mp_shm_elements_get(a, 0));
  lua_pushfstring(L, "Value %d: %s %s", (int)(b->handle & MP_SLOT_MASK), mp_shm_number_infos[a->type].name,
                  luaL_tolstring(L, -1, NULL));
  return 1;
}

/* value(type[, initial]) */
static int new_value(lua_State *L) {
  unsigned type = mp_lua_element_type(L, 1);
  uint64_t bits = lua_isnoneornil(L, 2) ? 0 : mp_lua_element_check(L, 2, type, "initial");
  int n = mp_lua_element_make(L, type, MP_ARRAY_VALUE, 1);
  if (n == 1) mp_shm_elements_set(mp_lua_box_elements(lua_touserdata(L, -1)), 0, bits);
  return n;
}

static const luaL_Reg methods[] = {
    {"add", value_add},
    {"exchange", value_exchange},
    {"compare_exchange", value_compare_exchange},
    {"update", value_update},
    {"lock", value_lock},
    {"value", NULL}, /* false, for who lists the names; value_index knows it before */
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", value_tostring}, {NULL, NULL}};

static const luaL_Reg hold_metamethods[] = {{"__close", hold_close}, {"__gc", hold_close}, {NULL, NULL}};

void mp_lua_open_value(lua_State *L) {
  luaL_newmetatable(L, HOLD_TYPE);
  luaL_setfuncs(L, hold_metamethods, 0);
  lua_pop(L, 1);
  mp_lua_element_class(L, MP_VALUE_TYPE, methods, metamethods, value_index);
  luaL_getmetatable(L, MP_VALUE_TYPE);
  lua_pushcfunction(L, value_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_pop(L, 1);
  lua_pushcfunction(L, new_value);
  lua_setfield(L, -2, "value");
}
