/* SPDX-License-Identifier: MIT */
/*
 * Leases for Lua: a message that stays the queue's until done() is called; and what dead lessees had.
 * Invariant: a lease keeps a use of its queue while it is open. It belongs to the process that took it.
 */
#include <errno.h>

#include "bind/queue.h"

typedef struct lease {
  const char *class; /* what it is known by, as boxes are */
  mp_shm_incoming got;
  mp_shm_handle queue; /* 0: not open */
  mp_shm_proc_ref holder;
} lease;

static const char class;

static lease *test(lua_State *L, int idx) {
  lease *l = lua_touserdata(L, idx);
  return l && lua_rawlen(L, idx) == sizeof *l && l->class == &class ? l : NULL;
}

static lease *check(lua_State *L, int idx) {
  lease *l = test(L, idx);
  return l ? l : luaL_checkudata(L, idx, MP_LEASE_TYPE);
}

static bool is_open(const lease *l) { return l->queue && mp_shm_usable(); }
static bool is_mine(const lease *l) { return !mp_shm_inherited(l->holder); }

/* The message's fate is known. */
static void end(lease *l) {
  mp_shm_object_unuse(l->queue);
  l->queue = 0;
}

static lease *push_lease(lua_State *L) {
  lease *l = lua_newuserdatauv(L, sizeof *l, 0);
  l->class = &class;
  l->queue = 0;
  luaL_setmetatable(L, MP_LEASE_TYPE);
  return l;
}

/* The ended lease at idx once more, or a new one. */
static lease *push_again(lua_State *L, int idx) {
  lease *l = idx ? test(L, idx) : NULL;
  if (!l || l->queue) return push_lease(L);
  lua_pushvalue(L, idx);
  return l;
}

int mp_lua_lease_push(lua_State *L, mp_lua_box *queue, int ended, const mp_shm_incoming **got, const mp_shm_wait *w) {
  lease *l = push_again(L, ended);
  int err = mp_shm_queue_lease(queue->object, &l->got, w);
  if (err) return err;
  mp_shm_object_use_held(queue->handle);
  l->queue = queue->handle;
  l->holder = mp_shm_proc_self();
  *got = &l->got;
  return 0;
}

/* lease([timeout]) -> value, lease | nil, "empty" | nil, "closed". What cannot be decoded for want of memory goes back;
 * a decode hook that raises consumes the message. */
static int queue_lease(lua_State *L) {
  mp_lua_box *b = mp_lua_queue_box(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  const mp_shm_incoming *got;
  int err = mp_lua_lease_push(L, b, 0, &got, &w);
  if (err) return mp_lua_queue_push_no_message(L, err);
  lease *l = lua_touserdata(L, -1);
  err = mp_lua_queue_decode(L, got);
  if (err == LUA_OK) {
    lua_insert(L, -2);
    return 2;
  }
  if (err == LUA_ERRMEM)
    mp_shm_lease_give_back(&l->got);
  else
    mp_shm_queue_done(&l->got);
  end(l);
  return lua_error(L);
}

const mp_shm_incoming *mp_lua_lease_incoming(lua_State *L, int idx) {
  lease *l = check(L, idx);
  luaL_argcheck(L, is_open(l) && is_mine(l), idx, "an open lease expected");
  return &l->got;
}

int mp_lua_lease_done(lua_State *L, int idx) {
  lease *l = check(L, idx);
  mp_lua_enter(L);
  if (!l->queue) return mp_lua_misuse(L, "this lease has ended: done() or close() was called before");
  if (!is_mine(l)) return mp_lua_misuse(L, "this lease belongs to the process that took it, not to its fork");
  mp_shm_queue_done(&l->got);
  end(l);
  return 0;
}

/* done(): the message is delivered. */
static int lease_done(lua_State *L) { return mp_lua_lease_done(L, 1); }

/* close(), <close> and the collector: what was not done goes back to the queue. */
static int lease_close(lua_State *L) {
  lease *l = check(L, 1);
  if (!is_open(l)) return 0;
  if (is_mine(l)) mp_shm_lease_give_back(&l->got);
  end(l);
  return 0;
}

static int lease_tostring(lua_State *L) {
  lease *l = check(L, 1);
  lua_pushfstring(L, "lease of message %I: %s", (lua_Integer)l->got.seq, l->queue ? "open" : "ended");
  return 1;
}

/* One orphan onto the stack: 0; -EAGAIN: none; LUA_ERR* and the error value, the message then being an orphan still if
 * others came before it or memory is wanting. */
static int next_orphan(lua_State *L, mp_shm_queue *q, bool keep) {
  static const mp_shm_wait now = {0, NULL, NULL};
  mp_shm_incoming g;
  int err = mp_shm_queue_orphan(q, &g, &now);
  if (err) return err;
  lua_pushinteger(L, mp_shm_orphan_lessee(&g));
  err = mp_lua_queue_decode(L, &g);
  if (err && (keep || err == LUA_ERRMEM))
    mp_shm_orphan_return(&g);
  else
    mp_shm_queue_done(&g);
  return err;
}

/* (queue) -> values, pids: so protected, a list that cannot grow loses nothing but what it holds already */
static int queue_orphans(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  lua_Integer n = 0;
  int err;
  mp_shm_sweep();
  lua_settop(L, 1);
  lua_newtable(L);
  lua_newtable(L);
  while ((err = next_orphan(L, q, n > 0)) == 0) {
    n++;
    lua_rawseti(L, 2, n);
    lua_rawseti(L, 3, n);
  }
  if (err > 0 && n == 0) return lua_error(L);
  lua_settop(L, 3);
  for (int t = 2; t <= 3; t++) {
    lua_pushinteger(L, n);
    lua_setfield(L, t, "n");
  }
  return 2;
}

const luaL_Reg mp_lua_lease_methods[] = {{"lease", queue_lease}, {"orphans", queue_orphans}, {NULL, NULL}};

static const luaL_Reg methods[] = {{"done", lease_done}, {"close", lease_close}, {NULL, NULL}};
static const luaL_Reg metamethods[] = {
    {"__gc", lease_close}, {"__close", lease_close}, {"__tostring", lease_tostring}, {NULL, NULL}};

/* lease_is_open(lease): for debug mode */
static int lease_is_open(lua_State *L) {
  const lease *l = check(L, 1);
  lua_pushboolean(L, is_open(l) && is_mine(l));
  return 1;
}

void mp_lua_open_lease(lua_State *L) {
  luaL_newmetatable(L, MP_LEASE_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, lease_is_open);
  lua_setfield(L, -2, "lease_is_open");
}
