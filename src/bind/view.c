/* SPDX-License-Identifier: MIT */
/* Looks into the arenas of other process trees (layer 3), for lua/mproc/cli/top and what belongs to it. A look is plain
 * tables; what they mean is Lua's affair. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"
#include "os/process.h"
#include "shm/number/array.h"
#include "shm/queue/queue.h"
#include "shm/sync/rwlock.h"
#include "shm/view/view.h"

#define NS_PER_S 1e9
enum { AREAS_MOST = 4096, SHOWN_MOST = 10000 /* objects in a list */ };

typedef struct view {
  mp_shm_view v;
  int fd; /* -1: closed */
} view;

static void set_integer(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

static void set_seconds(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / NS_PER_S);
  lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

/* --- trees --- */

static void push_area(lua_State *L, const mp_os_area *a) {
  char tree[48];
  snprintf(tree, sizeof tree, "%llu:%llu", (unsigned long long)a->device, (unsigned long long)a->inode);
  lua_createtable(L, 0, 3);
  set_integer(L, "pid", (uint64_t)a->pid);
  set_integer(L, "fd", (uint64_t)a->fd);
  set_text(L, "tree", tree);
}

/* trees([pid]) -> a list of { pid, fd, tree }: processes that have an arena and may be looked at, or that one alone */
static int view_trees(lua_State *L) {
  lua_settop(L, 1);
  mp_os_area *a = lua_newuserdatauv(L, AREAS_MOST * sizeof *a, 0);
  int n;
  if (lua_isnoneornil(L, 1))
    n = mp_os_areas(a, AREAS_MOST);
  else
    n = mp_os_area_of((pid_t)luaL_checkinteger(L, 1), a);
  if (n < 0) return mp_lua_fail(L, n, "/proc");
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    push_area(L, a + i);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* --- opening --- */

static view *check(lua_State *L) {
  view *w = luaL_checkudata(L, 1, MP_VIEW_TYPE);
  luaL_argcheck(L, w->fd >= 0, 1, "the view is closed");
  return w;
}

static int view_close(lua_State *L) {
  view *w = luaL_checkudata(L, 1, MP_VIEW_TYPE);
  if (w->fd < 0) return 0;
  mp_shm_view_close(&w->v);
  mp_os_close(w->fd);
  w->fd = -1;
  return 0;
}

/* EPROTO says which layouts. */
static int refuse(lua_State *L, const view *w, int err) {
  if (err != -EPROTO) return mp_lua_fail(L, err, "cannot look at that arena");
  lua_pushnil(L);
  if ((w->v.layout ^ MP_LAYOUT) >> 8 && !((w->v.layout ^ MP_LAYOUT) & 0xff))
    lua_pushliteral(L, "its program has another C library, or addresses of another size, than this one");
  else if (w->v.layout && w->v.layout != MP_LAYOUT)
    lua_pushfstring(L, "its arena has layout %d, this mproc knows layout %d", (int)(w->v.layout & 0xff),
                    (int)(MP_LAYOUT & 0xff));
  else
    lua_pushliteral(L, "its memory is not an arena of mproc");
  lua_pushliteral(L, "EPROTO");
  return 3;
}

/* view(pid, fd) -> the view; nil, message, NAME: EPROTO when it is none, or of another version */
static int view_open(lua_State *L) {
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  int fd = (int)luaL_checkinteger(L, 2);
  view *w = lua_newuserdatauv(L, sizeof *w, 0);
  w->fd = -1;
  luaL_setmetatable(L, MP_VIEW_TYPE);
  int own = mp_os_open_area(pid, fd);
  if (own < 0) return mp_lua_fail(L, own, "cannot look at that process");
  int err = mp_shm_view_open(&w->v, own);
  if (err) {
    mp_os_close(own);
    return refuse(L, w, err);
  }
  w->fd = own;
  return 1;
}

/* --- processes --- */

static void push_thing(lua_State *L, const mp_shm_view_thing *t) {
  if (!t->slot) return;
  set_integer(L, "object", t->slot);
  set_integer(L, "type", (uint64_t)t->type);
  set_text(L, "part", t->part);
}

static void push_waits(lua_State *L, const mp_shm_view_proc *p) {
  static const char *const kinds[] = {NULL, "object", "process", "many", "sleep"};
  const char *kind = p->waits < sizeof kinds / sizeof *kinds ? kinds[p->waits] : NULL;
  if (!kind) return;
  lua_createtable(L, 0, 6);
  set_text(L, "kind", kind);
  set_seconds(L, "since", p->waits_since);
  if (p->waits == MP_WAITS_PROCESS) set_integer(L, "pid", (uint64_t)p->waits_pid);
  push_thing(L, &p->waits_for);
  lua_setfield(L, -2, "waits");
}

static void push_worker(lua_State *L, const mp_shm_view_proc *p) {
  if (!p->pool_owner) return;
  lua_createtable(L, 0, 10);
  set_integer(L, "owner", p->pool_owner);
  set_integer(L, "number", p->pool);
  set_integer(L, "tasks", p->tasks);
  set_integer(L, "results", p->results);
  set_integer(L, "done", p->done);
  set_integer(L, "failed", p->failed);
  set_seconds(L, "busy", p->busy);
  if (p->task_began) {
    set_seconds(L, "task_began", p->task_began);
    set_integer(L, "chunk", p->chunk);
    set_integer(L, "offset", p->offset);
  }
  lua_setfield(L, -2, "worker");
}

static void push_proc(lua_State *L, const mp_shm_view_proc *p) {
  lua_createtable(L, 0, 8);
  set_integer(L, "slot", p->slot + UINT64_C(1));
  set_integer(L, "parent", p->parent);
  set_integer(L, "pid", (uint64_t)p->pid);
  set_text(L, "name", p->name);
  set_seconds(L, "began", p->began);
  lua_pushboolean(L, p->alive);
  lua_setfield(L, -2, "alive");
  push_waits(L, p);
  push_worker(L, p);
}

/* view:processes() -> a list; a process's fields: see the functions above. Times are seconds on core.time's clock. */
static int view_processes(lua_State *L) {
  const mp_shm_view *v = &check(L)->v;
  mp_shm_view_proc p;
  lua_newtable(L);
  for (uint32_t i = 0, n = 0, top = mp_shm_view_procs(v); i < top; i++) {
    if (!mp_shm_view_proc_at(v, i, &p)) continue;
    push_proc(L, &p);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* --- objects --- */

static bool push_queue(lua_State *L, const mp_shm_view *v, uint32_t slot) {
  mp_shm_view_queue q;
  if (!mp_shm_view_queue_at(v, slot, &q)) return false;
  lua_createtable(L, 0, 7);
  set_integer(L, "object", slot + UINT64_C(1));
  set_integer(L, "put", q.put);
  set_integer(L, "got", q.got);
  set_integer(L, "returned", q.returned);
  set_integer(L, "most", q.most);
  set_integer(L, "users", q.users);
  lua_pushboolean(L, q.closed);
  lua_setfield(L, -2, "closed");
  return true;
}

/* A list of the processes that read, as their slots. */
static void push_readers(lua_State *L, const mp_shm_view *v, uint32_t slot) {
  lua_newtable(L);
  uint32_t at = 0, n = 0;
  for (uint32_t reader; (reader = mp_shm_view_reader(v, slot, &at));) {
    lua_pushinteger(L, reader);
    lua_rawseti(L, -2, ++n);
  }
  lua_setfield(L, -2, "readers");
}

static bool push_lock(lua_State *L, const mp_shm_view *v, uint32_t slot, int type) {
  uint32_t holder = mp_shm_view_holder(v, slot), at = 0;
  if (!holder && (type != MP_TYPE_RWLOCK || !mp_shm_view_reader(v, slot, &at))) return false;
  lua_createtable(L, 0, 4);
  set_integer(L, "object", slot + UINT64_C(1));
  set_integer(L, "type", (uint64_t)type);
  if (holder) set_integer(L, "holder", holder);
  if (type == MP_TYPE_RWLOCK) push_readers(L, v, slot);
  return true;
}

/* view:objects() -> list of queues, list of locks that somebody holds; SHOWN_MOST of each at most */
static int view_objects(lua_State *L) {
  const mp_shm_view *v = &check(L)->v;
  lua_Integer nqueues = 0, nlocks = 0;
  lua_newtable(L);
  lua_newtable(L);
  for (uint32_t i = 0, top = mp_shm_view_objects(v); i < top; i++) {
    int type = mp_shm_view_type(v, i);
    if (type == MP_TYPE_QUEUE && nqueues < SHOWN_MOST && push_queue(L, v, i))
      lua_rawseti(L, -3, ++nqueues);
    else if (type && type != MP_TYPE_QUEUE && nlocks < SHOWN_MOST && push_lock(L, v, i, type))
      lua_rawseti(L, -2, ++nlocks);
  }
  return 2;
}

/* view:memory() -> bytes of memory that the arena takes, of its size */
static int view_memory(lua_State *L) {
  const view *w = check(L);
  lua_pushinteger(L, (lua_Integer)mp_os_file_memory(w->fd));
  lua_pushinteger(L, (lua_Integer)w->v.size);
  return 2;
}

static const luaL_Reg methods[] = {{"processes", view_processes},
                                   {"objects", view_objects},
                                   {"memory", view_memory},
                                   {"close", view_close},
                                   {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__gc", view_close}, {"__close", view_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"trees", view_trees}, {"view", view_open}, {NULL, NULL}};

void mp_lua_open_view(lua_State *L) {
  luaL_newmetatable(L, MP_VIEW_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
