/* SPDX-License-Identifier: MIT */
/* Event for Lua. lua/mproc/sync.lua makes it. */
#include "shm/sync/event.h"

#include <errno.h>

#include "bind/wait_set.h"

static const char *name_of(const void *block) {
  (void)block;
  return MP_EVENT_TYPE;
}

static const mp_lua_object_class class = {MP_TYPE_EVENT, 0, name_of, NULL, NULL};

static mp_shm_wait_queue *wait_queue(void *object) { return &((mp_shm_event *)object)->wait_queue; }
static bool ready(void *object) { return mp_shm_event_is_set(object); }
static const mp_lua_watchable watchable = {&class, wait_queue, ready};

static mp_shm_event *check(lua_State *L) { return mp_lua_box_self(L, &class, "event")->object; }

/* set() */
static int event_set(lua_State *L) {
  mp_shm_event_set(check(L));
  return 0;
}

/* clear() */
static int event_clear(lua_State *L) {
  mp_shm_event_clear(check(L));
  return 0;
}

/* is_set() -> boolean */
static int event_is_set(lua_State *L) {
  lua_pushboolean(L, mp_shm_event_is_set(check(L)));
  return 1;
}

/* wait([timeout]) -> true | false, "timeout" */
static int event_wait(lua_State *L) {
  mp_shm_event *e = check(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  int r = mp_shm_event_wait(e, &w);
  if (r != 0 && r != -ETIMEDOUT) return mp_lua_push_failure(L, r, "event");
  lua_pushboolean(L, r == 0);
  if (r == 0) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

static int event_tostring(lua_State *L) {
  mp_shm_event *e = check(L);
  mp_lua_box *b = lua_touserdata(L, 1);
  lua_pushfstring(L, "Event %d: %s", (int)(b->handle & MP_SLOT_MASK), mp_shm_event_is_set(e) ? "set" : "clear");
  return 1;
}

static int new_event(lua_State *L) {
  mp_shm_handle h;
  mp_lua_enter(L);
  mp_lua_box *b = mp_lua_box_push(L, &class, MP_EVENT_TYPE);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_shm_event_new(&w, &h);
  if (err) return mp_lua_push_failure(L, err, "event");
  mp_lua_box_fill(b, h);
  return 1;
}

/* It is set while a scope lasts, and clear after it. Who is killed there leaves it set. */
static int scope_enter(lua_State *L, uint64_t deadline) {
  (void)deadline;
  mp_shm_event_set(check(L));
  return 0;
}

static int scope_leave(lua_State *L, int idx, bool failed) {
  (void)failed;
  mp_lua_box *b = mp_lua_box_test(L, idx, &class);
  if (b && b->object) mp_shm_event_clear(b->object);
  return 0;
}

static const mp_lua_scope scope = {"with", "guard", scope_enter, NULL, scope_leave, NULL};

static const luaL_Reg methods[] = {
    {"set", event_set}, {"clear", event_clear}, {"is_set", event_is_set}, {"wait", event_wait}, {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", event_tostring}, {NULL, NULL}};
static const luaL_Reg makers[] = {{"event", new_event}, {NULL, NULL}};

void mp_lua_open_event(lua_State *L) {
  mp_lua_box_class(L, MP_EVENT_TYPE, &class, methods, metamethods);
  mp_lua_box_scope(L, MP_EVENT_TYPE, &scope);
  mp_lua_box_watchable(&watchable);
  luaL_setfuncs(L, makers, 0);
}
