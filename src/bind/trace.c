/* SPDX-License-Identifier: MIT */
/* The timeline for pools (layer 3): their chunks of items, single tasks, and how much is pending. Called by
 * lua/mproc/pool/ where core.tracing is true, and by pool_worker.c. */
#include "bind/trace.h"

#include <stdio.h>
#include <unistd.h>

#include "os/os.h"
#include "shm/arena/monitor.h"

#define NS_PER_S 1e9

void mp_lua_trace_name(lua_State *L, int idx, const char *verb, char *to) {
  lua_Debug ar = {.short_src = "?", .linedefined = 0};
  if (lua_isfunction(L, idx)) {
    lua_pushvalue(L, idx);
    lua_getinfo(L, ">S", &ar);
  }
  if (ar.linedefined > 0)
    snprintf(to, MP_TRACE_NAME, "%s %s:%d", verb, ar.short_src, ar.linedefined);
  else
    snprintf(to, MP_TRACE_NAME, "%s", verb);
}

/* The same on both sides: the owner's pid, its pool's number, the message's. */
static void write_id(char *to, size_t room, int owner, uint32_t pool, int64_t chunk) {
  snprintf(to, room, "%d.%u.%lld", owner, (unsigned)pool, (long long)chunk);
}

static void end_arrow(uint64_t began, int64_t chunk) {
  char id[64];
  uint64_t pool = atomic_load_explicit(&mp_shm_monitor_at(mp_shm_my_slot)->pool, memory_order_relaxed);
  int owner = (int)mp_shm_proc_pid(mp_shm_proc_at(mp_shm_my_slot)->parent);
  write_id(id, sizeof id, owner, (uint32_t)pool, chunk);
  mp_process_trace_arrow('f', id, began);
}

void mp_lua_trace_work(const char *name, uint64_t began, const mp_lua_trace_chunk *c, bool single) {
  char args[128];
  snprintf(args, sizeof args, "\"job\":%u,\"chunk\":%lld,\"first\":%u,\"count\":%u", (unsigned)c->job,
           (long long)c->chunk, (unsigned)c->first, (unsigned)c->count);
  mp_process_trace_stretch("chunk", name, began, mp_os_now(), args);
  if (single) end_arrow(began, c->chunk);
}

/* trace_work(verb, f, began, single, chunk, job, first, count) */
static int trace_work(lua_State *L) {
  char name[MP_TRACE_NAME];
  mp_lua_trace_chunk c = {luaL_checkinteger(L, 5), (uint32_t)luaL_checkinteger(L, 6), (uint32_t)luaL_checkinteger(L, 7),
                          (uint32_t)luaL_checkinteger(L, 8)};
  mp_lua_trace_name(L, 2, luaL_checkstring(L, 1), name);
  mp_lua_trace_work(name, (uint64_t)(luaL_checknumber(L, 3) * NS_PER_S), &c, lua_toboolean(L, 4));
  return 0;
}

/* trace_sent(pool, chunk): a single task is on its way: an arrow begins */
static int trace_sent(lua_State *L) {
  char id[64];
  write_id(id, sizeof id, (int)getpid(), (uint32_t)luaL_checkinteger(L, 1), luaL_checkinteger(L, 2));
  mp_process_trace_arrow('s', id, mp_os_now());
  return 0;
}

/* trace_pending(pool, n): so many items and tasks are out */
static int trace_pending(lua_State *L) {
  char name[32];
  snprintf(name, sizeof name, "pool %u", (unsigned)luaL_checkinteger(L, 1));
  mp_process_trace_counter(name, "pending", luaL_checkinteger(L, 2));
  return 0;
}

static const luaL_Reg functions[] = {
    {"trace_work", trace_work}, {"trace_sent", trace_sent}, {"trace_pending", trace_pending}, {NULL, NULL}};

/* Adds these, and `tracing`. */
void mp_lua_open_trace(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
  lua_pushboolean(L, mp_process_traces);
  lua_setfield(L, -2, "tracing");
}
