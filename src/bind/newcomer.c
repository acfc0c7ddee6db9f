/* SPDX-License-Identifier: MIT */
/*
 * Processes that this one does not fork (layer 3): they execute an interpreter, or are forked by the fork server. Called by
 * lua/mproc/process/spawn.lua, server.lua and spawned.lua, which own the policy.
 * What such a process is told when it is executed stands in its environment until it has joined the arena: its slot, and the
 * queue in which it finds the rest. The arena is its descriptor MP_OS_PASSED.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bind/child.h"
#include "bind/queue.h"
#include "os/process.h"
#include "process/children.h"
#include "process/fork_server.h"
#include "process/trace.h"

#define SETTING "MPROC_SPAWNED"
enum { SETTING_ROOM = 64 };

static mp_shm_handle start_here; /* what this process was told */

/* --- in the new process --- */

int mp_lua_join_tree(void) {
  const char *s = getenv(SETTING);
  unsigned long long ref, start;
  if (!s) return 0;
  int told = sscanf(s, "%llx:%llx", &ref, &start);
  unsetenv(SETTING);
  if (told != 2) return -EINVAL;
  int err = mp_shm_newcomer_attach(MP_OS_PASSED, ref);
  if (err) return err;
  mp_os_close(MP_OS_PASSED);
  mp_os_sigint_ends();
  start_here = start;
  return 1;
}

/* start_queue([handle]) -> the queue in which this process finds what it is to do; nil: there is none. handle: what the fork
 * server gave its entry */
static int start_queue(lua_State *L) {
  mp_lua_enter(L);
  mp_shm_handle h = (mp_shm_handle)luaL_optinteger(L, 1, (lua_Integer)start_here);
  start_here = 0;
  return h && mp_lua_box_push_handle(L, h);
}

/* run_child(entry, argument): this process does nothing else, and exits with the number that entry returns. The interpreter
 * may have caught SIGINT once more since it joined. */
static int run_child(lua_State *L) {
  mp_lua_enter(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  mp_os_sigint_ends();
  mp_process_children_forget();
  mp_process_children_forked();
  mp_lua_run_child(L);
}

/* --- executing --- */

typedef struct launch {
  char *const *argv;
  char **env; /* the first is the setting */
  char setting[SETTING_ROOM];
  mp_shm_handle start;
  unsigned how;
} launch;

/* This process's environment behind a place for the setting, left on the stack. */
static char **make_env(lua_State *L) {
  size_t n = 0, at = 1;
  while (environ[n]) n++;
  char **env = lua_newuserdatauv(L, (n + 2) * sizeof *env, 0);
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], SETTING "=", sizeof SETTING) != 0) env[at++] = environ[i];
  env[at] = NULL;
  return env;
}

/* The list at idx as an array that ends with NULL, left on the stack. */
static char *const *make_argv(lua_State *L, int idx) {
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_Integer n = luaL_len(L, idx);
  const char **argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i); /* the list keeps the string */
    argv[i - 1] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  argv[n] = NULL;
  return (char *const *)argv;
}

static pid_t execute(void *arg, mp_shm_proc_ref slot) {
  launch *l = arg;
  int area = mp_os_map_writable(), in = area < 0 ? area : mp_os_open_null();
  snprintf(l->setting, sizeof l->setting, SETTING "=%llx:%llx", (unsigned long long)slot, (unsigned long long)l->start);
  l->env[0] = l->setting;
  mp_os_command c = {l->argv, in, STDOUT_FILENO, STDERR_FILENO, l->how, l->env, area};
  pid_t pid = in;
  if (in >= 0) {
    mp_os_flush_standard();
    pid = mp_os_spawn(&c);
    mp_os_close(in);
  }
  if (area >= 0) mp_os_close(area);
  return pid;
}

static pid_t execute_child(launch *l, const char *name, mp_shm_proc_ref *ref) {
  int err = mp_shm_newcomer_reserve(l->start, false, ref);
  if (err) return err;
  mp_shm_proc_set_name(*ref, name);
  pid_t pid = execute(l, *ref);
  if (pid < 0)
    mp_shm_newcomer_cancel(*ref);
  else
    mp_shm_proc_forked(*ref, pid);
  return pid;
}

static int not_started(lua_State *L, int place, int err, const char *name) {
  if (place >= 0) mp_process_child_drop(place);
  if (err == -EINTR) return mp_lua_interrupted(L);
  return mp_lua_no_child(L, err, name);
}

/* can_execute() -> true, or nil and why a process that is executed could not have the arena */
static int can_execute(lua_State *L) {
  mp_lua_enter(L);
  int area = mp_os_map_writable();
  lua_pushboolean(L, area >= 0);
  if (area >= 0) {
    mp_os_close(area);
    return 1;
  }
  lua_pushnil(L);
  if (area == -EBADF)
    lua_pushliteral(L, "the shared memory has no descriptor here (memfd_create or /proc is missing, or it was closed)");
  else
    lua_pushfstring(L, "the shared memory cannot be opened: %s", strerror(-area));
  return 2;
}

/* The queue at idx is the new process's now: who is killed with it must not find it held here, until the collector comes. */
static void give_queue(lua_State *L, int idx) { mp_lua_box_empty(mp_lua_queue_box_at(L, idx)); }

/* execute(handle, queue, argv, name, daemon) -> true, or nil, message, NAME: as core.fork, of a process that executes argv */
static int execute_process(lua_State *L) {
  mp_lua_enter(L);
  mp_lua_start how = {.name = luaL_checkstring(L, 4), .daemon = lua_toboolean(L, 5)};
  launch l = {.start = mp_lua_queue_box_at(L, 2)->handle, .how = how.daemon ? MP_OS_DIES_WITH : 0};
  lua_settop(L, 5);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  l.argv = make_argv(L, 3);
  l.env = make_env(L);
  mp_shm_proc_ref ref = 0;
  int place = mp_lua_child_place(L);
  uint64_t began = mp_process_traces ? mp_os_now() : 0;
  pid_t pid = place < 0 ? place : execute_child(&l, how.name, &ref);
  if (pid < 0) return not_started(L, place, pid, how.name);
  mp_lua_child_started(L, place, ref, pid, 0, &how);
  give_queue(L, 2);
  if (mp_process_traces) mp_process_trace_stretch("process", "spawn", began, mp_os_now(), NULL);
  lua_pushboolean(L, 1);
  return 1;
}

/* --- the fork server --- */

/* start_server(queue, argv) -> true, when one lives; or nil, message, NAME */
static int start_server(lua_State *L) {
  mp_lua_enter(L);
  launch l = {.start = mp_lua_queue_box_at(L, 1)->handle, .how = MP_OS_DETACHED};
  lua_settop(L, 2);
  l.argv = make_argv(L, 2);
  l.env = make_env(L);
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  int err = mp_process_fork_server_start(execute, &l, l.start, &w);
  if (err == -EINTR) return mp_lua_interrupted(L);
  if (err == -ECHILD) {
    lua_pushnil(L);
    lua_pushliteral(L, "the fork server ended before it was ready; stderr says why");
    lua_pushliteral(L, "ECHILD");
    return 3;
  }
  if (err) return mp_lua_no_child(L, err, "ForkServer");
  lua_pushboolean(L, 1);
  return 1;
}

static pid_t ask(mp_process_fork_request *q, const char *name, mp_shm_proc_ref *server, const mp_shm_wait *w) {
  int err = mp_shm_newcomer_reserve(q->start, false, &q->child);
  if (err) return err;
  mp_shm_proc_set_name(q->child, name);
  return mp_process_fork_ask(q, server, w);
}

/* served(handle, queue, name, daemon) -> true; false: no server lives; or nil, message, NAME: as core.fork, of a process that
 * the server forks */
static int served_process(lua_State *L) {
  mp_lua_enter(L);
  mp_lua_start how = {.name = luaL_checkstring(L, 3), .daemon = lua_toboolean(L, 4)};
  mp_process_fork_request q = {.start = mp_lua_queue_box_at(L, 2)->handle, .daemon = how.daemon};
  mp_shm_wait w = mp_lua_wait(L, MP_FOREVER);
  mp_shm_proc_ref server = 0;
  int place = mp_process_fork_server_ref() ? mp_lua_child_place(L) : -EOWNERDEAD;
  uint64_t began = mp_process_traces ? mp_os_now() : 0;
  pid_t pid = place < 0 ? place : ask(&q, how.name, &server, &w);
  if (pid < 0 && pid != -EOWNERDEAD) return not_started(L, place, pid, how.name);
  if (pid > 0) mp_lua_child_started(L, place, q.child, pid, server, &how);
  if (pid > 0) give_queue(L, 2);
  if (pid < 0 && place >= 0) mp_process_child_drop(place);
  if (pid > 0 && mp_process_traces) mp_process_trace_stretch("process", "fork", began, mp_os_now(), NULL);
  lua_pushboolean(L, pid > 0);
  return 1;
}

/* Nothing here can raise: it would unwind into what the server runs. */
static _Noreturn void be_served(lua_State *L, const mp_process_fork_request *q, pid_t server) {
  mp_shm_proc_ref parent = mp_shm_newcomer_parent(q->child);
  mp_lua_start how = {.daemon = q->daemon != 0};
  mp_process_served_for(parent);
  mp_os_follow_folder(mp_shm_proc_pid(parent));
  lua_settop(L, 2);
  lua_pushinteger(L, (lua_Integer)q->start);
  mp_lua_be_child(L, &how, server);
}

/* serve_forks(queue, entry): this process is the tree's fork server until it is alone, or another is. What it forks calls
 * entry(handle), for start_queue, and exits with the number that this returns. */
static int serve_forks(lua_State *L) {
  mp_lua_enter(L);
  mp_lua_box *requests = mp_lua_queue_box_at(L, 1);
  mp_process_fork_request q;
  lua_settop(L, 2);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  if (!mp_process_fork_server_begin(requests->handle)) return 0;
  pid_t me = getpid();
  mp_os_malloc_fill();
  while (mp_process_fork_server_next(requests->object, &q)) {
    pid_t pid = mp_os_fork();
    if (pid == 0) be_served(L, &q, me);
    mp_process_fork_server_forked(&q, pid);
  }
  return 0;
}

/* server_pid() -> that of the fork server, or nil: for tests */
static int server_pid(lua_State *L) {
  mp_shm_proc_ref ref = mp_process_fork_server_ref();
  if (!ref) return 0;
  lua_pushinteger(L, mp_shm_proc_pid(ref));
  return 1;
}

static const luaL_Reg functions[] = {
    {"start_queue", start_queue}, {"run_child", run_child},       {"can_execute", can_execute},
    {"execute", execute_process}, {"start_server", start_server}, {"served", served_process},
    {"serve_forks", serve_forks}, {"server_pid", server_pid},     {NULL, NULL},
};

void mp_lua_open_newcomer(lua_State *L) { luaL_setfuncs(L, functions, 0); }
