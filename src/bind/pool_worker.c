/* SPDX-License-Identifier: MIT */
/*
 * A pool's worker in one C call for each task (layer 3): takes a task, runs it and answers. Whatever is less simple goes
 * back to Lua. Called by lua/mproc/pool/worker/.
 * Invariant: a task's lease ends only after its results are in the results queue.
 *
 * A worker's words are an array that it shares with the owner, who reads them when the worker is late or dead:
 *   word        written by the worker            what the owner sees
 *   BEGAN       0 before the next two, then a    0: nothing runs; else the time, on the monotonic clock, and what begun
 *               time that no other item had      then. Read before and after the next two: the same: they are of it
 *   CHUNK       between                          whose item runs, before it is even decoded
 *   OFFSET
 *   REASON      once, before it ends             why it ends by itself
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>

#include "bind/element.h"
#include "bind/pool_message.h"
#include "bind/trace.h"
#include "os/process.h"
#include "shm/arena/monitor.h"

#define NS_PER_S 1e9

enum { BEGAN, CHUNK, OFFSET, REASON, WORDS };
enum { QUEUED, BEGUN, CANCELLED }; /* states of a cancel flag: pool/protocol.lua */

/* The arguments of serve, and what follows them on the stack. */
enum { TASKS = 1, RESULTS, KNOWN, DESCRIBE, RECORD, OWN_WORDS, FLAGS, SLOT, LEFT, LEASE, CALLED };

/* --- words and flags --- */

static mp_shm_elements *check_array(lua_State *L, int idx) {
  mp_lua_box *b = mp_lua_box_test(L, idx, &mp_lua_array_class);
  luaL_argcheck(L, b && b->object, idx, "a shared array expected");
  return mp_lua_box_elements(b);
}

uint64_t *mp_lua_pool_check_words(lua_State *L, int idx) {
  mp_shm_elements *a = check_array(L, idx);
  luaL_argcheck(L, a->type == MP_INT64 && a->n == WORDS, idx, "a worker's words expected");
  return mp_shm_elements_data(a);
}

uint64_t mp_lua_pool_note_begin(uint64_t *words, int64_t chunk, uint32_t offset) {
  uint64_t now = mp_os_now();
  __atomic_store_n(words + BEGAN, 0, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  __atomic_store_n(words + CHUNK, (uint64_t)chunk, __ATOMIC_RELAXED);
  __atomic_store_n(words + OFFSET, offset, __ATOMIC_RELAXED);
  __atomic_store_n(words + BEGAN, now, __ATOMIC_RELEASE);
  return now;
}

static void note_end(uint64_t *words) { __atomic_store_n(words + BEGAN, 0, __ATOMIC_RELEASE); }

/* words() -> the words of a new worker, or nil, message, NAME */
static int new_words(lua_State *L) { return mp_lua_element_make(L, MP_INT64, MP_ARRAY_LIST, WORDS); }

/* begin(words, chunk, offset): the item begins. */
static int words_begin(lua_State *L) {
  mp_lua_pool_note_begin(mp_lua_pool_check_words(L, 1), luaL_checkinteger(L, 2), (uint32_t)luaL_checkinteger(L, 3));
  return 0;
}

/* running(words) -> chunk, offset, since when, of the task that runs, or of its item when the task is TIMED; nil: none */
static int words_running(lua_State *L) {
  const uint64_t *words = mp_lua_pool_check_words(L, 1);
  uint64_t began, chunk, offset;
  do {
    began = __atomic_load_n(words + BEGAN, __ATOMIC_SEQ_CST);
    chunk = __atomic_load_n(words + CHUNK, __ATOMIC_SEQ_CST);
    offset = __atomic_load_n(words + OFFSET, __ATOMIC_SEQ_CST);
  } while (began && began != __atomic_load_n(words + BEGAN, __ATOMIC_SEQ_CST));
  if (!began) return 0;
  lua_pushinteger(L, (lua_Integer)chunk);
  lua_pushinteger(L, (lua_Integer)offset);
  lua_pushnumber(L, (lua_Number)began / NS_PER_S);
  return 3;
}

/* reason(words[, n]) -> n, which the worker has set; 0: none */
static int words_reason(lua_State *L) {
  uint64_t *words = mp_lua_pool_check_words(L, 1);
  if (!lua_isnoneornil(L, 2)) __atomic_store_n(words + REASON, (uint64_t)luaL_checkinteger(L, 2), __ATOMIC_SEQ_CST);
  lua_pushinteger(L, (lua_Integer)__atomic_load_n(words + REASON, __ATOMIC_SEQ_CST));
  return 1;
}

static uint64_t slot_of(const mp_lua_box *b) { return b->handle & MP_SLOT_MASK; }

/* enlist(number, tasks, results, words): viewers shall know that this process works for its parent's pool of that number. */
static int worker_enlist(lua_State *L) {
  mp_shm_monitor *m = mp_shm_monitor_at(mp_shm_my_slot);
  uint64_t number = (uint64_t)luaL_checkinteger(L, 1) & UINT32_MAX;
  uint64_t owner = mp_shm_ref_slot(mp_shm_proc_at(mp_shm_my_slot)->parent) + UINT64_C(1);
  uint64_t queues = slot_of(mp_lua_queue_box_at(L, 2)) << 32 | slot_of(mp_lua_queue_box_at(L, 3));
  mp_lua_pool_check_words(L, 4);
  atomic_store_explicit(&m->words, mp_lua_box_test(L, 4, &mp_lua_array_class)->handle, memory_order_relaxed);
  atomic_store_explicit(&m->queues, queues, memory_order_relaxed);
  atomic_store_explicit(&m->pool, owner << 32 | number, memory_order_relaxed);
  return 0;
}

/* True when the task may begin: its owner can no longer call it off. */
static bool claim(mp_shm_elements *flags, uint32_t flag) {
  uint64_t old = QUEUED;
  if (flag == 0 || flag > flags->n) return true;
  return mp_shm_elements_replace(flags, flag - 1, &old, BEGUN) || old != CANCELLED;
}

/* --- a task --- */

/* Puts the kind of thing that it is, the header, the time and the lease before the values from `from` on. */
static int give(lua_State *L, const char *kind, int from, const mp_lua_pool_header *head, lua_Number began) {
  luaL_checkstack(L, 9, NULL);
  lua_pushstring(L, kind);
  mp_lua_pool_push_header(L, head);
  lua_pushnumber(L, began);
  lua_pushvalue(L, LEASE);
  lua_rotate(L, from, 9);
  return lua_gettop(L) - from + 1;
}

/* Sends the values from CALLED on as the results of the task, and ends its lease. False when they cannot be sent. */
static bool answer(lua_State *L, mp_shm_queue *q, const mp_lua_pool_header *task, lua_Number began) {
  int top = lua_gettop(L);
  size_t bytes;
  lua_Number took = (mp_lua_pool_now() - began) * NS_PER_S;
  const mp_lua_pool_header head = {task->chunk,  task->offset, 1, MP_POOL_RETURNED, (uint32_t)lua_tointeger(L, SLOT),
                                   (int64_t)took};
  mp_os_flush();
  if (mp_lua_pool_post(L, q, &head, "result", CALLED, &bytes)) {
    lua_settop(L, top);
    return false;
  }
  mp_shm_monitor_work(1, 0, (uint64_t)head.value);
  mp_lua_lease_done(L, LEASE);
  return true;
}

/* True when there are more results than the owner's stack could hold some times over; an error stands for them then. */
static bool refuse_too_many(lua_State *L) {
  int n = lua_gettop(L) - CALLED + 1;
  if (n <= MP_POOL_RESULTS_MAX) return false;
  lua_settop(L, CALLED - 1);
  lua_pushfstring(L, "the task returned %d results, and at most %d can travel; return a table of them", n,
                  MP_POOL_RESULTS_MAX);
  return true;
}

MP_HOT_AFTER_FORK int mp_lua_pool_call(lua_State *L, int nargs, int nresults, int handler) {
  lua_Hook hook = lua_gethook(L);
  int status = lua_pcall(L, nargs, nresults, handler);
  mp_lua_drop_hook(L, hook);
  return status;
}

/* call(f, handler, ...) as xpcall; but a hook that f has set is gone afterwards, and f cannot yield */
MP_HOT_AFTER_FORK static int worker_call(lua_State *L) {
  enum { F = 1, HANDLER, STATUS };
  luaL_checkany(L, HANDLER);
  int nargs = lua_gettop(L) - HANDLER;
  lua_pushboolean(L, 1);
  lua_pushvalue(L, F);
  lua_rotate(L, STATUS, 2);
  if (mp_lua_pool_call(L, nargs, LUA_MULTRET, HANDLER) != LUA_OK) {
    lua_pushboolean(L, 0);
    lua_replace(L, STATUS);
  }
  return lua_gettop(L) - HANDLER;
}

static void trace_task(const char *name, const mp_lua_pool_header *head, lua_Number began) {
  const mp_lua_trace_chunk c = {head->chunk, head->who, head->offset, 1};
  mp_lua_trace_work(name, (uint64_t)(began * NS_PER_S), &c, true);
}

/* Decodes a single task and calls it; its function is on the top unless it travels in the task. */
static int call(lua_State *L, mp_shm_queue *results, const mp_shm_incoming *g, const mp_lua_pool_header *head,
                lua_Number began) {
  int ok = lua_gettop(L) + 1;
  char name[MP_TRACE_NAME];
  mp_lua_pool_push_values(L, g, MP_POOL_HOME);
  bool done = lua_toboolean(L, ok);
  lua_remove(L, ok);
  if (!done) {
    if (ok > CALLED) lua_replace(L, CALLED); /* the function */
  } else {
    if (mp_process_traces) mp_lua_trace_name(L, CALLED, "apply", name);
    done = mp_lua_pool_call(L, lua_gettop(L) - CALLED, LUA_MULTRET, DESCRIBE) == LUA_OK && !refuse_too_many(L);
  }
  if (done && answer(L, results, head, began)) {
    if (mp_process_traces) trace_task(name, head, began);
    return 0;
  }
  lua_pushboolean(L, done);
  lua_insert(L, CALLED);
  return give(L, "ran", CALLED, head, began);
}

/* One task: 0 when it has been run and answered, else how many values on the stack's top say what is to be done. */
static int serve_one(lua_State *L, mp_lua_box *tasks, mp_shm_queue *results, uint64_t *words, mp_shm_elements *flags) {
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  const mp_shm_incoming *g;
  note_end(words);
  lua_settop(L, LEASE);
  int err = mp_lua_lease_push(L, tasks, LEASE, &g, &w);
  if (err) return mp_lua_queue_push_no_message(L, err);
  lua_replace(L, LEASE);
  const mp_lua_pool_header head = mp_lua_pool_header_of(g);
  uint32_t verb = head.kind & MP_POOL_VERB_MASK;
  if (verb == MP_POOL_RETIRE) return give(L, "retire", CALLED, &head, 0);
  lua_Number began = (lua_Number)mp_lua_pool_note_begin(words, head.chunk, head.offset) / NS_PER_S;
  if (!claim(flags, head.who)) return give(L, "cancelled", CALLED, &head, began);
  if (head.value && lua_rawgeti(L, KNOWN, head.value) == LUA_TNIL) {
    lua_settop(L, LEASE);
    return give(L, "unknown", CALLED, &head, began);
  }
  if (verb == MP_POOL_CALL) return call(L, results, g, &head, began);
  lua_settop(L, LEASE);
  mp_lua_pool_push_values(L, g, MP_POOL_HOME);
  return give(L, "list", CALLED, &head, began);
}

/* serve(tasks, results, known, describe, record, words, flags, slot, left[, ended lease]): runs single tasks of functions in
 * `known` (number -> function), or that travel in the task, with `describe` as their message handler, and answers each; as
 * many as `left`. record.tasks_done counts them. It returns
 *   "list", header, when it began, lease, true, values... | false, error    for a task of items
 *   "unknown", header, when, lease        when the function is not known; values(lease) gives the values
 *   "cancelled", header, when, lease      when it was called off
 *   "retire", header, 0, lease
 *   "ran", header, when, lease, true, results... | false, error     when it failed or its results cannot be sent
 *   "enough" | nil, "closed" | nil, message, NAME
 * header: chunk, offset, kind, count, who, value. The lease that has ended serves again: a new one for each message would be
 * more work for the collector than the message is. */
static int worker_serve(lua_State *L) {
  mp_lua_box *tasks = mp_lua_queue_box(L);
  mp_shm_queue *results = mp_lua_queue_box_at(L, RESULTS)->object;
  luaL_checktype(L, KNOWN, LUA_TTABLE);
  luaL_checktype(L, RECORD, LUA_TTABLE);
  uint64_t *words = mp_lua_pool_check_words(L, OWN_WORDS);
  mp_shm_elements *flags = check_array(L, FLAGS);
  lua_getfield(L, RECORD, "tasks_done");
  lua_Integer done = lua_tointeger(L, -1);
  for (lua_Number left = luaL_checknumber(L, LEFT); left > 0; left--) {
    int n = serve_one(L, tasks, results, words, flags);
    if (n) return n;
    lua_pushinteger(L, ++done);
    lua_setfield(L, RECORD, "tasks_done");
  }
  note_end(words);
  lua_pushliteral(L, "enough");
  return 1;
}

/* values(lease) -> true, values... | false, error: what a task has behind its header */
static int worker_values(lua_State *L) {
  lua_settop(L, 1);
  mp_lua_pool_push_values(L, mp_lua_lease_incoming(L, 1), MP_POOL_HOME);
  return lua_gettop(L) - 1;
}

/* --- ends --- */

static lua_State *heeding; /* the main thread of a worker that heeds SIGTERM */
static volatile sig_atomic_t told;

/* As lua.c does for SIGINT: the next instruction of the main thread raises, and so does a wait. */
static void on_sigterm(int sig) {
  (void)sig;
  told = 1;
  lua_sethook(heeding, mp_lua_raise_terminated, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* heed_sigterm(): from now on SIGTERM raises in what runs, so that its variables are closed. */
static int worker_heed_sigterm(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  heeding = lua_tothread(L, -1);
  told = 0;
  mp_os_on_sigterm(on_sigterm);
  return 0;
}

/* told_to_end(): whether SIGTERM has come. */
static int worker_told_to_end(lua_State *L) {
  lua_pushboolean(L, told);
  return 1;
}

/* flush(): writes what Lua's files have buffered. */
static int worker_flush(lua_State *L) {
  (void)L;
  mp_os_flush();
  return 0;
}

/* resident() -> bytes of this process's memory, or nil where the system does not tell */
static int worker_resident(lua_State *L) {
  uint64_t bytes = mp_os_resident();
  if (!bytes) return 0;
  lua_pushinteger(L, (lua_Integer)bytes);
  return 1;
}

void mp_lua_open_pool_worker(lua_State *L) {
  static const luaL_Reg functions[] = {{"words", new_words},
                                       {"begin", words_begin},
                                       {"running", words_running},
                                       {"reason", words_reason},
                                       {"enlist", worker_enlist},
                                       {"serve", worker_serve},
                                       {"values", worker_values},
                                       {"call", worker_call},
                                       {"heed_sigterm", worker_heed_sigterm},
                                       {"told_to_end", worker_told_to_end},
                                       {"flush", worker_flush},
                                       {"resident", worker_resident},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
