/* SPDX-License-Identifier: MIT */
/*
 * What pools do most when each result is waited for, in one call on either side (layer 3): a worker takes a task, runs it
 * and answers; an owner sends one and gets the answer. Whatever is less simple goes back to Lua. Called by
 * lua/mproc/pool_worker.lua and pool_tasks.lua.
 * Invariant: a task's lease ends only after its results are in the results queue.
 */
#include <errno.h>

#include "bind/label.h"

#define NS_PER_S 1e9

/* Of the values in b: a task's mode, and where its function's number begins; a result's status. pool_label.lua, where all of
 * them are, has these from here. */
#define CALL 2
#define FUNCTION_SHIFT 8
#define MODE_BITS ((1 << FUNCTION_SHIFT) - 1)
#define STATUS_MASK 15
#define DONE 0

#define RESULTS_MAX 200000 /* of a task */

/* The arguments of serve, and what follows them on the stack. */
enum { TASKS = 1, RESULTS, KNOWN, DESCRIBE, RECORD, BASE, LEFT, LEASE, CALLED };

/* The last argument of ask, and what it returns. */
enum { ARGUMENTS = 7, MINE, BYTES = MINE + 4, OK };
#define ARGUMENTS_MAX 8 /* these find room on the stack */

/* Puts the task's label, the time and the lease before the values from `from` on, and says what kind of thing that is. */
static int give(lua_State *L, const char *kind, int from, const mp_lua_message_header *head, lua_Number began) {
  luaL_checkstack(L, 6, NULL);
  lua_pushstring(L, kind);
  lua_pushinteger(L, head->a);
  lua_pushinteger(L, head->b);
  lua_pushinteger(L, head->c);
  lua_pushnumber(L, began);
  lua_pushvalue(L, LEASE);
  lua_rotate(L, from, 6);
  return lua_gettop(L) - from + 1;
}

/* Sends the values from CALLED on as the results of the task, and ends its lease. False when they cannot be sent. */
static bool answer(lua_State *L, mp_shm_queue *q, int64_t a, lua_Integer base, lua_Number began) {
  int top = lua_gettop(L);
  size_t bytes;
  const mp_lua_message_header head = {a, base, (int64_t)((mp_lua_label_now() - began) * NS_PER_S), 0};
  if (mp_lua_label_post(L, q, &head, "result", CALLED, &bytes)) {
    lua_settop(L, top);
    return false;
  }
  mp_lua_lease_done(L, LEASE);
  return true;
}

/* A single task of a function that is known, and that cannot be called off any more. */
static bool is_simple(const mp_lua_message_header *head) {
  return (head->b & MODE_BITS) == CALL && head->b >> FUNCTION_SHIFT && head->c == 1;
}

/* True when there are more results than the owner's stack could hold some times over; an error stands for them then. */
static bool refuse_too_many(lua_State *L) {
  int n = lua_gettop(L) - CALLED + 1;
  if (n <= RESULTS_MAX) return false;
  lua_settop(L, CALLED - 1);
  lua_pushfstring(L, "the task returned %d results, and at most %d can travel; return a table of them", n, RESULTS_MAX);
  return true;
}

/* One task: 0 when it has been run and answered, else how many values on the stack's top say what is to be done. */
static int serve_one(lua_State *L, mp_lua_box *tasks, mp_shm_queue *results) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  const mp_shm_incoming *g;
  lua_settop(L, LEASE);
  int err = mp_lua_lease_push(L, tasks, LEASE, &g, &w);
  if (err) return mp_lua_queue_push_no_message(L, err);
  lua_replace(L, LEASE);
  const mp_lua_message_header head = mp_lua_message_header_of(g);
  lua_Number began = mp_lua_label_now();
  if (is_simple(&head))
    lua_rawgeti(L, KNOWN, head.b >> FUNCTION_SHIFT);
  else
    lua_pushnil(L);
  mp_lua_label_push_values(L, g);
  if (!lua_toboolean(L, CALLED) || !lua_toboolean(L, CALLED + 1)) return give(L, "taken", CALLED + 1, &head, began);
  lua_remove(L, CALLED + 1);
  bool ok = lua_pcall(L, lua_gettop(L) - CALLED, LUA_MULTRET, DESCRIBE) == LUA_OK && !refuse_too_many(L);
  if (!ok || !answer(L, results, head.a, lua_tointeger(L, BASE), began)) {
    lua_pushboolean(L, ok);
    lua_insert(L, CALLED);
    return give(L, "ran", CALLED, &head, began);
  }
  return 0;
}

/* serve(tasks, results, known, describe, record, base, left[, ended lease]): runs single tasks of functions in `known`
 * (number -> function), with `describe` as their message handler, and answers each with `base` as its b, as many as
 * `left`; record.tasks_done counts them. It returns
 *   "taken", a, b, c, the time, lease, true, values... | false, error    for any other task
 *   "ran", a, b, c, when it began, lease, true, results... | false, error   when it failed or its results cannot be sent
 *   "enough" | nil, "closed" | nil, message, NAME
 * The lease that has ended serves again: a new one for each message would be more work for the collector than the message
 * is. */
static int serve(lua_State *L) {
  mp_lua_box *tasks = mp_lua_queue_box(L);
  mp_shm_queue *results = mp_lua_queue_box_at(L, RESULTS)->it;
  luaL_checktype(L, KNOWN, LUA_TTABLE);
  luaL_checktype(L, RECORD, LUA_TTABLE);
  lua_getfield(L, RECORD, "tasks_done");
  lua_Integer done = lua_tointeger(L, -1);
  for (lua_Number left = luaL_checknumber(L, LEFT); left > 0; left--) {
    int n = serve_one(L, tasks, results);
    if (n) return n;
    lua_pushinteger(L, ++done);
    lua_setfield(L, RECORD, "tasks_done");
  }
  lua_pushliteral(L, "enough");
  return 1;
}

/* Pushes the list's items: how many, or -1 for what is not simply a list of a few. */
static int push_arguments(lua_State *L, int list) {
  if (lua_isnil(L, list)) return 0;
  if (!lua_istable(L, list) || lua_getmetatable(L, list)) return -1;
  lua_Unsigned n = lua_rawlen(L, list);
  lua_getfield(L, list, "n");
  if (!lua_isnil(L, -1) || n > ARGUMENTS_MAX || (n == 0 && lua_next(L, list))) return -1;
  lua_settop(L, list);
  for (lua_Unsigned i = 1; i <= n; i++) lua_rawgeti(L, list, (lua_Integer)i);
  return (int)n;
}

static int raise_interrupted(lua_State *L) { return mp_lua_interrupted(L); }

/* nil and the error that Ctrl-C is. */
static int hand_interrupted(lua_State *L) {
  lua_settop(L, 0);
  lua_pushnil(L);
  lua_pushcfunction(L, raise_interrupted);
  lua_pcall(L, 0, 0, 0);
  return 2;
}

/* ask(tasks, results, maker, a, b, timeout, args): sends a single task and takes the next result, which it awaits for
 * `timeout` seconds:
 *   true, a, b, c, seconds since it was sent, true, results...   when that is what came of it
 *   false, a, b, c, bytes, true, results... | false, error       when it is another, or an error
 *   false      when there is none in time
 *   nil, error    for Ctrl-C
 *   nil        when nothing was sent: this process is not `maker`, args are nothing that is sent so simply, or cannot be
 *              sent at all */
static int ask(lua_State *L) {
  mp_shm_queue *tasks = mp_lua_queue_self(L), *results = mp_lua_queue_box_at(L, 2)->it;
  const mp_lua_message_header task = {luaL_checkinteger(L, 4), luaL_checkinteger(L, 5), 1, 0};
  mp_lua_message_header head;
  size_t bytes;
  lua_settop(L, ARGUMENTS);
  if ((mp_shm_proc_ref)luaL_checkinteger(L, 3) != mp_shm_proc_self() || push_arguments(L, ARGUMENTS) < 0 ||
      mp_lua_label_post(L, tasks, &task, "args", ARGUMENTS + 1, &bytes))
    return 0;
  uint64_t sent = mp_os_now();
  mp_shm_wait w = mp_lua_wait(L, sent + (uint64_t)(luaL_checknumber(L, 6) * NS_PER_S));
  lua_settop(L, ARGUMENTS);
  lua_pushboolean(L, 0);
  int err = mp_lua_label_fetch(L, results, &head, &w);
  if (err) return err == -EINTR ? hand_interrupted(L) : 1;
  if (head.a == task.a && (head.b & STATUS_MASK) == DONE && lua_toboolean(L, OK) && lua_checkstack(L, 1)) {
    lua_pushboolean(L, 1);
    lua_replace(L, MINE);
    lua_pushnumber(L, (lua_Number)(mp_os_now() - sent) / NS_PER_S);
    lua_replace(L, BYTES);
  }
  return lua_gettop(L) - ARGUMENTS;
}

static const luaL_Reg functions[] = {{"serve", serve}, {"ask", ask}, {NULL, NULL}};

void mp_lua_open_serve(lua_State *L) {
  static const struct {
    const char *name;
    lua_Integer value;
  } labels[] = {{"CALL", CALL},
                {"FUNCTION_SHIFT", FUNCTION_SHIFT},
                {"STATUS_MASK", STATUS_MASK},
                {"DONE", DONE},
                {"RESULTS_MAX", RESULTS_MAX}};
  luaL_setfuncs(L, functions, 0);
  lua_newtable(L);
  for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
    lua_pushinteger(L, labels[i].value);
    lua_setfield(L, -2, labels[i].name);
  }
  lua_setfield(L, -2, "label");
}
