/* SPDX-License-Identifier: MIT */
/*
 * fork, and the handle of a child (layer 3). Called by lua/mproc/process.lua, child.lua, current.lua, which own the
 * policy; users never see a handle.
 * Invariant: a handle is its owner's alone (`owner`): in any other process its methods only look at the
 * child's slot, and its finalizer does nothing. A child never returns into the stack that it inherited.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bind/bind.h"
#include "bind/child.h"
#include "bind/snapshot.h"
#include "bind/wait_set.h"
#include "os/process.h"
#include "process/children.h"
#include "process/fork_server.h"
#include "process/trace.h"

#define MP_CHILD_TYPE "mproc.Child"
enum { NO_PLACE = -1, TREE_MAX = 1 << 15, FAILURE_TEXT = 4096 };

typedef struct child_handle {
  mp_shm_proc_ref ref;
  pid_t pid;
  mp_shm_proc_ref owner;
  int place; /* in the owner's table; NO_PLACE: nothing to release */
} child_handle;

static child_handle *to_handle(lua_State *L) { return luaL_checkudata(L, 1, MP_CHILD_TYPE); }
static bool is_mine(const child_handle *h) { return h->place != NO_PLACE && !mp_shm_inherited(h->owner); }

static void release(child_handle *h) {
  if (is_mine(h)) mp_process_child_drop(h->place);
  h->place = NO_PLACE;
}

static child_handle *new_handle(lua_State *L) {
  child_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (child_handle){.place = NO_PLACE};
  luaL_setmetatable(L, MP_CHILD_TYPE);
  return h;
}

/* how: 0 or MP_LEFT_EARLY. Waits for children of its own; none of the rest can fail. */
MP_HOT_AFTER_FORK static _Noreturn void leave(int code, int how) {
  mp_process_children_finish();
  if (mp_shm_usable()) mp_shm_proc_set_exit((code & 0xff) | how);
  mp_shm_proc_unregister();
  mp_os_leave(code);
}

/* With nothing of Lua's: without memory it would raise, into what a fork's parent runs. */
MP_SELDOM static void tell_failure(const char *why) {
  char text[FAILURE_TEXT];
  int n = snprintf(text, sizeof text, "mproc: pid %d failed: %.*s\n", (int)getpid(), FAILURE_TEXT - 64, why);
  mp_os_write_line(STDERR_FILENO, text, (size_t)n);
}

MP_HOT_AFTER_FORK _Noreturn void mp_lua_run_child(lua_State *L) {
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) leave((int)lua_tointeger(L, -1), 0);
  tell_failure(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "the entry raised");
  leave(EXIT_FAILURE, 0);
}

MP_HOT_AFTER_FORK _Noreturn void mp_lua_be_child(lua_State *L, const mp_lua_start *how, pid_t parent) {
  mp_process_children_forget();
  mp_process_children_forked();
  mp_lua_forget_interrupt(L);
  if (how->daemon) mp_os_die_with(parent);
  mp_os_child_stdio();
  if (how->close_fds) mp_os_close_fds();
  mp_lua_run_child(L);
}

/* fork's steps after everything that can throw. The pid, or -errno with nothing left behind. */
static pid_t fork_into(lua_State *L, const mp_lua_start *how, mp_shm_proc_ref *ref) {
  pid_t parent = getpid();
  int err = mp_shm_proc_reserve(ref);
  if (err) return err;
  mp_shm_proc_set_name(*ref, how->name);
  pid_t pid = mp_os_fork();
  if (pid == 0) mp_lua_be_child(L, how, parent);
  if (pid < 0)
    mp_shm_proc_unreserve(*ref);
  else
    mp_shm_proc_forked(*ref, pid);
  return pid;
}

int mp_lua_no_child(lua_State *L, int err, const char *name) {
  if (err != -EUSERS) return mp_lua_fail(L, err, lua_pushfstring(L, "cannot start process '%s'", name));
  const char *more = mp_shm_proc_room() < MP_PROC_MOST ? ", or set MPROC_ARENA higher before the program starts" : "";
  lua_pushnil(L);
  lua_pushfstring(L, "cannot start process '%s': there is room for %d at once; join some first%s", name,
                  (int)mp_shm_proc_room(), more);
  lua_pushliteral(L, "EAGAIN");
  return 3;
}

/* new_child() -> a handle without a process yet */
static int process_new_child(lua_State *L) {
  new_handle(L);
  return 1;
}

/* fork(handle, daemon, name, close_fds, entry, argument) -> true, or nil, message, NAME. What becomes of it is in the
 * handle, a new one, before anything can throw. The child calls entry(argument), never returns from here, and exits with
 * the number that entry returns. */
MP_HOT_AFTER_FORK static int process_fork(lua_State *L) {
  mp_lua_enter(L);
  child_handle *h = to_handle(L);
  luaL_argcheck(L, h->pid == 0, 1, "a new handle is needed");
  mp_lua_start how = {.daemon = lua_toboolean(L, 2), .name = luaL_checkstring(L, 3), .close_fds = lua_toboolean(L, 4)};
  lua_settop(L, 6);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  int place = mp_process_child_place();
  uint64_t began = mp_process_traces ? mp_os_now() : 0;
  pid_t pid = place < 0 ? place : fork_into(L, &how, &h->ref);
  if (pid < 0) {
    if (place >= 0) mp_process_child_drop(place);
    return mp_lua_no_child(L, pid, how.name);
  }
  h->place = place;
  h->pid = pid;
  h->owner = mp_shm_proc_self();
  mp_process_child_started(place, h->ref, pid, how.daemon, how.name);
  if (mp_process_traces) mp_process_trace_stretch("process", "fork", began, mp_os_now(), NULL);
  lua_pushboolean(L, 1);
  return 1;
}

int mp_lua_child_place(lua_State *L) {
  luaL_argcheck(L, to_handle(L)->pid == 0, 1, "a new handle is needed");
  return mp_process_child_place();
}

void mp_lua_child_started(lua_State *L, int place, mp_shm_proc_ref ref, pid_t pid, mp_shm_proc_ref server,
                          const mp_lua_start *how) {
  *to_handle(L) = (child_handle){ref, pid, mp_shm_proc_self(), place};
  mp_process_child_started(place, ref, pid, how->daemon, how->name);
  mp_process_child_served(place, server);
}

/* handle:ended() -> nil while it runs (or when it is not ours to know), else exit code, whether its target returned */
static int child_ended(lua_State *L) {
  child_handle *h = to_handle(L);
  if (!is_mine(h) || !mp_process_child_ended(h->place)) return 0;
  const mp_process_child *c = mp_process_child_at(h->place);
  lua_pushinteger(L, c->exitcode);
  lua_pushboolean(L, c->returned);
  return 2;
}

static int wait_result(lua_State *L, int err) {
  if (err == -EINTR) return mp_lua_interrupted(L);
  lua_pushboolean(L, err == 0);
  if (err == 0) return 1;
  lua_pushliteral(L, "timeout");
  return 2;
}

/* handle:wait([timeout]) -> true | false, "timeout" */
static int child_wait(lua_State *L) {
  child_handle *h = to_handle(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  luaL_argcheck(L, is_mine(h), 1, "not a child of this process");
  return wait_result(L, mp_process_child_wait(h->place, &w));
}

/* handle:alive(): anywhere in the tree */
static int child_alive(lua_State *L) {
  child_handle *h = to_handle(L);
  lua_pushboolean(L, is_mine(h) ? !mp_process_child_ended(h->place) : !mp_shm_proc_dead(h->ref));
  return 1;
}

/* Stops and lists the descendants first; the child itself is signalled last, by its handle as well. */
static int signal_tree(lua_State *L, child_handle *h, int sig) {
  pid_t *pids = lua_newuserdatauv(L, TREE_MAX * sizeof *pids, 0);
  if (is_mine(h) ? mp_process_child_ended(h->place) : mp_shm_proc_dead(h->ref)) return 0;
  int n = mp_process_tree_stop(h->pid, pids, TREE_MAX);
  int err = is_mine(h) ? mp_process_child_signal(h->place, sig) : 0;
  mp_os_tree_signal(pids, n, sig);
  return err;
}

/* handle:signal(number[, tree]) -> true, or nil, message, NAME */
static int child_signal(lua_State *L) {
  child_handle *h = to_handle(L);
  int sig = (int)luaL_checkinteger(L, 2), err;
  if (lua_toboolean(L, 3))
    err = signal_tree(L, h, sig);
  else
    err = is_mine(h) ? mp_process_child_signal(h->place, sig) : mp_process_peer_signal(h->ref, h->pid, sig);
  if (err) return mp_lua_fail(L, err, "cannot signal the process");
  lua_pushboolean(L, 1);
  return 1;
}

/* handle:fileno() -> descriptor, or nil, message, NAME */
static int child_fileno(lua_State *L) {
  child_handle *h = to_handle(L);
  luaL_argcheck(L, is_mine(h), 1, "not a child of this process");
  int fd = mp_process_child_sentinel(h->place);
  if (fd < 0) return mp_lua_fail(L, fd, "cannot watch the process");
  lua_pushinteger(L, fd);
  return 1;
}

static bool has_ended(void *arg) {
  const child_handle *h = arg;
  return is_mine(h) ? mp_process_child_ended(h->place) : mp_shm_proc_dead(h->ref);
}

bool mp_lua_process_source(lua_State *L, int idx, mp_shm_wait_source *s) {
  child_handle *h = luaL_testudata(L, idx, MP_CHILD_TYPE);
  if (h) *s = (mp_shm_wait_source){.ready = has_ended, .arg = h, .pid = h->pid, .fd = -1};
  return h != NULL;
}

/* peer(ref, pid) -> a handle on any process of the tree, for core.wait */
static int new_peer(lua_State *L) {
  mp_shm_proc_ref ref = (mp_shm_proc_ref)luaL_checkinteger(L, 1);
  pid_t pid = (pid_t)luaL_checkinteger(L, 2);
  child_handle *h = new_handle(L);
  h->ref = ref;
  h->pid = pid;
  return 1;
}

/* handle:pid() -> nil while it has no process */
static int child_pid(lua_State *L) {
  child_handle *h = to_handle(L);
  if (!h->pid) return 0;
  lua_pushinteger(L, h->pid);
  return 1;
}

/* handle:ref() -> integer that names the process in the whole tree */
static int child_ref(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)to_handle(L)->ref);
  return 1;
}

static int child_close(lua_State *L) {
  release(to_handle(L));
  return 0;
}

/* exit([code[, close]]): os.exit for a child. Nothing inherited runs, so there is no state to close. */
static int process_exit(lua_State *L) {
  int code;
  if (lua_isboolean(L, 1))
    code = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
  else
    code = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
  leave(code, MP_LEFT_EARLY);
}

/* reap() -> how many children have ended so far */
static int process_reap(lua_State *L) {
  lua_pushinteger(L, mp_process_children_reap());
  return 1;
}

static int process_self(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_shm_proc_self());
  return 1;
}

/* peer_alive(ref) */
static int peer_alive(lua_State *L) {
  mp_lua_enter(L);
  lua_pushboolean(L, !mp_shm_proc_dead((mp_shm_proc_ref)luaL_checkinteger(L, 1)));
  return 1;
}

/* peer_wait(ref, pid[, timeout]) -> true | false, "timeout" */
static int peer_wait(lua_State *L) {
  mp_lua_enter(L);
  mp_shm_proc_ref ref = (mp_shm_proc_ref)luaL_checkinteger(L, 1);
  pid_t pid = (pid_t)luaL_checkinteger(L, 2);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 3));
  return wait_result(L, mp_process_peer_wait(ref, pid, &w));
}

static const luaL_Reg methods[] = {
    {"ended", child_ended},   {"wait", child_wait},     {"alive", child_alive},
    {"signal", child_signal}, {"fileno", child_fileno}, {"pid", child_pid},
    {"ref", child_ref},       {"close", child_close},   {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"new_child", process_new_child}, {"fork", process_fork}, {"exit", process_exit},
    {"reap", process_reap},           {"self", process_self}, {"peer_wait", peer_wait},
    {"peer_alive", peer_alive},       {"peer", new_peer},     {NULL, NULL},
};

static void set_signal(lua_State *L, const char *name, int sig) {
  lua_pushinteger(L, sig);
  lua_setfield(L, -2, name);
}

/* What a process knows about itself and its children outlives a module that is loaded anew: core.state. */
static void push_state(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "mproc.state");
  lua_setfield(L, -2, "state");
}

void mp_lua_open_process(lua_State *L) {
  if (luaL_newmetatable(L, MP_CHILD_TYPE)) {
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, child_close);
    lua_setfield(L, -2, "__gc");
  }
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
  set_signal(L, "SIGINT", SIGINT);
  set_signal(L, "SIGTERM", SIGTERM);
  set_signal(L, "SIGKILL", SIGKILL);
  push_state(L);
  mp_lua_open_snapshot(L);
  if (mp_process_children_hook() != 0) luaL_error(L, "mproc: no memory for the exit hook");
}
