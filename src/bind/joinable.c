/* SPDX-License-Identifier: MIT */
/* What a JoinableQueue has besides a queue's methods. */
#include "shm/queue/joinable.h"

#include <errno.h>

#include "bind/queue.h"

/* task_done() */
static int queue_task_done(lua_State *L) {
  if (mp_shm_joinable_done(mp_lua_queue_self(L)) == 0) return 0;
  return mp_lua_misuse(L, "task_done() was called more often than messages were taken from the queue");
}

/* join([timeout]) -> true[, "abandoned"] | false, "timeout" */
static int queue_join(lua_State *L) {
  mp_shm_queue *q = mp_lua_queue_self(L);
  mp_shm_wait w = mp_lua_wait(L, mp_lua_deadline(L, 2));
  int r = mp_shm_joinable_join(q, &w);
  if (r < 0 && r != -ETIMEDOUT) return mp_lua_push_failure(L, r, "queue");
  lua_pushboolean(L, r >= 0);
  if (r == 0) return 1;
  if (r == MP_ABANDONED) mp_lua_note_abandoned(L);
  lua_pushstring(L, r == MP_ABANDONED ? "abandoned" : "timeout");
  return 2;
}

/* unfinished() -> messages put and not done */
static int queue_unfinished(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mp_shm_joinable_unfinished(mp_lua_queue_self(L)));
  return 1;
}

const luaL_Reg mp_lua_joinable_methods[] = {
    {"task_done", queue_task_done}, {"join", queue_join}, {"unfinished", queue_unfinished}, {NULL, NULL}};
